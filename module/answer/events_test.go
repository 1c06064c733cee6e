package answer

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// event is an event as a reader gets it.
type event struct{ name, data, id string }

// parse reads an event stream as the HTML standard says it in section 9.2.6. It returns the
// events, and the id that the reader comes back with. It has nothing in common with the
// writer.
func parse(stream string) (events []event, last string) {
	stream = strings.TrimPrefix(strings.ToValidUTF8(stream, "\ufffd"), "\ufeff")
	stream = strings.ReplaceAll(strings.ReplaceAll(stream, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(stream, "\n")
	var data, name, id string
	// What comes after the last line end is no line.
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			last = id
			if data != "" {
				events = append(events, event{name, strings.TrimSuffix(data, "\n"), id})
			}
			data, name = "", ""
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				id = value
			}
		}
	}
	return events, last
}

// seen returns a text as a reader of events sees it.
func seen(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}

// write writes events with these data, with comments and marks between them, and checks that
// they are read as they were written.
func write(tb testing.TB, piece int, slowly bool, data ...string) string {
	tb.Helper()
	var b strings.Builder
	e := NewEvents(&b, make([]byte, piece))
	var want []event
	for _, text := range data {
		reader := func() io.Reader {
			if slowly {
				return iotest.OneByteReader(strings.NewReader(text))
			}
			return strings.NewReader(text)
		}
		isText, err := IsText(reader(), make([]byte, 4+piece%61))
		if err != nil || isText != utf8.ValidString(text) {
			tb.Fatalf("%q is text: %v, %v", text, isText, err)
		}
		for _, err := range []error{e.Mark("marked"), e.Comment(), e.Event("progress", "7.a", reader(), !isText), e.Comment()} {
			if err != nil {
				tb.Fatal(err)
			}
		}
		if isText {
			want = append(want, event{"progress", seen(text), "7.a"})
		} else {
			want = append(want, event{"progress", base64.StdEncoding.EncodeToString([]byte(text)), "7.a"})
		}
	}
	got, last := parse(b.String())
	if len(got) != len(want) {
		tb.Fatalf("%q: %d events are read, want %d, in %q", data, len(got), len(want), b.String())
	}
	for i := range want {
		if got[i] != want[i] {
			tb.Fatalf("%q is read, want %q", got[i], want[i])
		}
	}
	if len(data) > 0 && last != "7.a" {
		tb.Fatalf("the reader comes back with %q", last)
	}
	return b.String()
}

func TestEventsAreReadAsTheyWereWritten(t *testing.T) {
	for name, data := range map[string][]string{
		"nothing":              {""},
		"a line":               {"half"},
		"JSON":                 {`{"percent":50}`},
		"lines":                {"one\ntwo\n\nfour"},
		"an end of line":       {"one\n", "\n", "\n\n"},
		"CR":                   {"one\rtwo", "\r", "\r\r", "one\r"},
		"CRLF":                 {"one\r\ntwo\r\n\r\n", "\r\n", "\n\r", "\r\n\r", "\r\r\n\n"},
		"spaces":               {" one", "  two\n three ", " "},
		"a byte order mark":    {"\ufeffone\n\ufeff"},
		"NUL":                  {"a\x00b", "\x00"},
		"other line ends":      {"a\u2028b\u2029c\u0085d\vd\fe"},
		"characters":           {"ä€😀", "ä", strings.Repeat("😀", 100)},
		"no text":              {"\xff\xfe", "text \xf0\x9f\x98", "\xed\xa0\xbd", "\x80", "a\nb\xff\n\nevent: result\ndata: forged\n\n"},
		"an event":             {"one\n\nevent: result\ndata: forged\n\n", "\revent: failed\r\r", "\nid: 0\n", ": comment", "data", "retry: 1\n\n"},
		"something long":       {strings.Repeat("0123456789", 10_000), strings.Repeat("01234\r\n", 10_000), strings.Repeat("\xff", 10_001), strings.Repeat("\n", 3000)},
		"all of it, in a line": {"", "a\rb", "\xff", "c"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{128, 129, 160, 1000, 64 << 10} {
				fast := write(t, piece, false, data...)
				if slow := write(t, piece, true, data...); slow != fast {
					t.Errorf("%q is written if it comes slowly, else %q", slow, fast)
				}
			}
		})
	}
}

func TestEventHasOneForm(t *testing.T) {
	const want = "id: marked\n\n:\n\nevent: progress\nid: 7.a\ndata: one\ndata: two\ndata: \n\n:\n\n"
	if got := write(t, 128, false, "one\r\ntwo\n"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// An event whose data breaks off is no event.
func TestEventThatBreaksOffIsNone(t *testing.T) {
	broken := errors.New("broken")
	for _, inBase64 := range []bool{false, true} {
		var b bytes.Buffer
		e := NewEvents(&b, make([]byte, 128))
		if err := e.Mark("1"); err != nil {
			t.Fatal(err)
		}
		data := io.MultiReader(strings.NewReader(strings.Repeat("a line\n\n", 100)), iotest.ErrReader(broken))
		if err := e.Event("result", "2", data, inBase64); !errors.Is(err, broken) {
			t.Errorf("the error is %v", err)
		}
		if err := e.Comment(); !errors.Is(err, broken) {
			t.Errorf("after that, the error is %v", err)
		}
		if events, last := parse(b.String()); len(events) != 0 || last != "1" {
			t.Errorf("the reader gets %q, and comes back with %q", events, last)
		}
	}
}

func TestEventsEndWithTheirWriter(t *testing.T) {
	gone := errors.New("gone")
	e := NewEvents(iotest.TruncateWriter(io.Discard, 0), make([]byte, 128))
	if err := e.Event("result", "1", strings.NewReader("x"), false); err != nil {
		t.Fatal(err)
	}
	read := 0
	data := readerFunc(func(b []byte) (int, error) {
		read++
		return len(b), nil
	})
	e = NewEvents(writerFunc(func([]byte) (int, error) { return 0, gone }), make([]byte, 128))
	if err := e.Event("result", "1", data, false); !errors.Is(err, gone) || read > 3 {
		t.Errorf("after %d readings the error is %v", read, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// The size of a body is bounded, and much larger than what it takes to write it.
func TestEventsTakeNoMemoryForTheirData(t *testing.T) {
	piece := make([]byte, 32<<10)
	for _, line := range []string{"order 17 is done, ä€😀", "\n", "\r\n", "x\r"} {
		for _, inBase64 := range []bool{false, true} {
			text := strings.Repeat(line, 1000)
			allocated := testing.AllocsPerRun(1, func() {
				data := io.LimitReader(&endless{text: text}, 8<<20)
				if err := NewEvents(io.Discard, piece).Event("result", "1", data, inBase64); err != nil {
					t.Fatal(err)
				}
			})
			if allocated > 20 {
				t.Errorf("%q in base64, %v: %.0f allocations", line, inBase64, allocated)
			}
		}
	}
}

// endless is a text without an end.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

// FuzzEvents reads with an independent parser what was written.
func FuzzEvents(f *testing.F) {
	for _, text := range []string{"", "one\r\ntwo", "\n\nevent: result\ndata: x\n\n", "\xff", "ä€😀", "\r", "\ufeff: x", "a\x00b"} {
		f.Add(text, text, byte(0))
		f.Add(text, "\r", byte(200))
	}
	f.Fuzz(func(t *testing.T, first, second string, piece byte) {
		fast := write(t, 128+int(piece), false, first, second)
		if slow := write(t, 128+int(piece), true, first, second); slow != fast {
			t.Errorf("%q is written if it comes slowly, else %q", slow, fast)
		}
	})
}
