package quoted_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/caddy-callback/caddy-callback/module/linear"
	"github.com/caddy-callback/caddy-callback/module/quoted"
)

// message is a document as it is written here, and as json.Marshal would write it if Body
// were a string.
type message struct {
	Before   string `json:"before"`
	Body     any    `json:"body,omitempty"`
	Encoding string `json:"encoding,omitempty"`
	After    []any  `json:"after"`
}

func newMessage(body any, encoding string) message {
	return message{"<\u2028 \"body\":", body, encoding, []any{1, nil, `"body":"`}}
}

// marshalled returns the message with a body as json.Marshal writes it.
func marshalled(t testing.TB, body []byte) string {
	t.Helper()
	m := newMessage(string(body), "")
	if !utf8.Valid(body) {
		m = newMessage(base64.StdEncoding.EncodeToString(body), "base64")
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// opener returns what opens a body that wrap, which may be nil, has changed.
func opener(body []byte, wrap func(io.Reader) io.Reader) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		var r io.Reader = bytes.NewReader(body)
		if wrap != nil {
			r = wrap(r)
		}
		return io.NopCloser(r), nil
	}
}

// document returns the message with a body, of which one piece at a time is looked at.
func document(t testing.TB, open func() (io.ReadCloser, error), piece []byte) *quoted.Document {
	t.Helper()
	b, err := quoted.Look(open, piece)
	if err != nil {
		t.Fatal(err)
	}
	d, err := quoted.New(newMessage(b, b.Encoding()), b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// ways are the ways to read a document.
var ways = map[string]func(r io.Reader) (string, error){
	"at once": func(r io.Reader) (string, error) {
		data, err := io.ReadAll(struct{ io.Reader }{r})
		return string(data), err
	},
	"one byte at a time": func(r io.Reader) (string, error) {
		data, err := io.ReadAll(iotest.OneByteReader(r))
		return string(data), err
	},
	"written": func(r io.Reader) (string, error) {
		var b strings.Builder
		n, err := r.(io.WriterTo).WriteTo(&b)
		if n != int64(b.Len()) {
			return "", errors.New("the number of bytes written is wrong")
		}
		return b.String(), err
	},
	"begun, and the rest written": func(r io.Reader) (string, error) {
		var b strings.Builder
		if _, err := io.CopyN(&b, r, 25); err != nil {
			return b.String(), err
		}
		_, err := r.(io.WriterTo).WriteTo(&b)
		return b.String(), err
	},
}

// check reads a document in all ways, and compares it with what json.Marshal writes.
func check(t testing.TB, body []byte, wrap func(io.Reader) io.Reader, piece []byte) {
	t.Helper()
	d, want := document(t, opener(body, wrap), piece), marshalled(t, body)
	if d.Size() != int64(len(want)) {
		t.Fatalf("%q, pieces of %d: the size is %d instead of %d", body, len(piece), d.Size(), len(want))
	}
	for way, read := range ways {
		r, err := d.Open(piece)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(r); got != want || err != nil {
			t.Fatalf("%q, pieces of %d, %s: got\n%q (%v) instead of\n%q", body, len(piece), way, got, err, want)
		}
		if n, err := r.Read(make([]byte, 9)); n != 0 || err != io.EOF {
			t.Fatalf("after the end: %d bytes and %v", n, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// wraps are readers that hand a body on in different ways.
var wraps = map[string]func(io.Reader) io.Reader{
	"as it is":     nil,
	"single bytes": iotest.OneByteReader,
	"halves":       iotest.HalfReader,
	"end at once":  iotest.DataErrReader,
	"nothing first": func(r io.Reader) io.Reader {
		return io.MultiReader(&idle{times: 99}, r)
	},
}

// idle is a reader that brings nothing for some times.
type idle struct{ times int }

func (i *idle) Read([]byte) (int, error) {
	if i.times--; i.times < 0 {
		return 0, io.EOF
	}
	return 0, nil
}

func TestTheBodyStandsInItsDocumentAsJSONHasIt(t *testing.T) {
	t.Parallel()
	var ascii []byte
	for c := range byte(utf8.RuneSelf) {
		ascii = append(ascii, c)
	}
	for name, body := range map[string]string{
		"empty":                     "",
		"text":                      "order 17 is done",
		"all of ASCII":              string(ascii),
		"escapes only":              strings.Repeat("\x00", 50),
		"HTML":                      `<a href="x">&amp;</a>`,
		"a document":                marshalled(t, []byte(`"\`)),
		"two bytes":                 strings.Repeat("ä", 50),
		"three bytes":               strings.Repeat("€", 50),
		"four bytes":                strings.Repeat("😀", 50),
		"first and last of a size":  "\u007f\u0080\u07ff\u0800\uffff\U00010000\U0010ffff",
		"around the surrogates":     "\ud7ff\ue000",
		"line separators":           strings.Repeat("\u2028\u2029\u2027\u202a", 20),
		"a replacement character":   "\ufffd",
		"a byte order mark":         "\ufefftext",
		"a single byte":             "\xff",
		"two odd bytes":             "\xff\xfe",
		"three odd bytes":           "\xff\xfe\xfd",
		"binary":                    strings.Repeat("\x00\x80\xff", 50),
		"text until the end":        strings.Repeat("text ", 20) + "\xc3",
		"three of four bytes":       "text \xf0\x9f\x98",
		"cut inside":                "text \xf0\x9f\x98 text",
		"a continuation alone":      "\x80",
		"overlong":                  "\xc0\x80",
		"surrogates":                "\xed\xa0\xbd\xed\xb8\x80",
		"above all characters":      "\xf4\x90\x80\x80",
		"a line separator, cut":     "\xe2\x80",
		"odd, and then much text":   "\xff" + strings.Repeat("text ", 50),
		"odd in the middle of text": strings.Repeat("text ", 50) + "\xff" + strings.Repeat("text ", 50),
	} {
		for kind, wrap := range wraps {
			for _, size := range []int{0, 1, 15, 16, 17, 64, 4096} {
				if check(t, []byte(body), wrap, make([]byte, size)); t.Failed() {
					t.Fatalf("%s, %s", name, kind)
				}
			}
		}
	}
}

// TestCharactersAreWholeWhereverAPieceEnds moves what takes several bytes past the borders
// of pieces of all sizes.
func TestCharactersAreWholeWhereverAPieceEnds(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"ä", "€", "😀", "\u2028", "\u2029", "\x00", `"`, "<", "\xf0\x9f\x98", "\xed\xa0\xbd"} {
		for size := range 48 {
			for before := range size + 2 {
				check(t, []byte(strings.Repeat("x", before)+text+text+"x"), nil, make([]byte, size))
			}
		}
	}
}

// alphabet is what random bodies are made of. Some of it is not UTF-8.
var alphabet = []string{
	"a", "text", "\x00", "\b", "\f", "\n", "\r", "\t", "\x1f", "\x7f", `"`, `\`, "/", "<", ">", "&", "'",
	"ä", "€", "😀", "\u2028", "\u2029", "\ufffd", "\ufeff", "\u0085",
	"\x80", "\xc3", "\xe2\x80", "\xf0\x9f\x98", "\xff", "\xed\xa0\xbd", "\xc0\x80",
}

func TestRandomBodiesStandInTheirDocumentAsJSONHasThem(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		// Most bodies must be UTF-8, however long they are.
		letters := alphabet[:len(alphabet)-random.IntN(2)*7]
		var body []byte
		for range random.IntN(60) {
			body = append(body, letters[random.IntN(len(letters))]...)
		}
		for _, wrap := range wraps {
			check(t, body, wrap, make([]byte, 1+random.IntN(2+len(body))))
		}
	}
}

func TestTheReaderOfADocumentIsAReader(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", strings.Repeat("text <\u2028 ", 30), strings.Repeat("\xff", 100)} {
		r, err := document(t, opener([]byte(body), nil), nil).Open(make([]byte, 50))
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(r, []byte(marshalled(t, []byte(body)))); err != nil {
			t.Error(err)
		}
	}
}

func TestTheBodyStandsAtAnyPlaceOfItsDocument(t *testing.T) {
	t.Parallel()
	type embedded struct{ message }
	for name, value := range map[string]func(body any) any{
		"alone":     func(body any) any { return body },
		"in a list": func(body any) any { return []any{"", body, ""} },
		"in a map":  func(body any) any { return map[string]any{"a": "", "b": body} },
		"embedded":  func(body any) any { return embedded{newMessage(body, "")} },
		"deep":      func(body any) any { return []any{map[string]any{"x": []any{body}}} },
		"nowhere":   func(any) any { return []any{"body"} },
		"nil":       func(any) any { return nil },
	} {
		want, err := json.Marshal(value("the <body>"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := quoted.Look(opener([]byte("the <body>"), nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		d, err := quoted.New(value(b), b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r, err := d.Open(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); string(got) != string(want) || d.Size() != int64(len(want)) || err != nil {
			t.Errorf("%s: got %q (%v) of %d bytes instead of %q", name, got, err, d.Size(), want)
		}
	}
}

func TestADocumentWithoutABodyIsWrittenAsItIs(t *testing.T) {
	t.Parallel()
	d, err := quoted.New(newMessage((*quoted.Body)(nil), ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(newMessage((*quoted.Body)(nil), ""))
	for way, read := range ways {
		r, err := d.Open(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(r); got != string(want) || err != nil {
			t.Errorf("%s: got %q (%v)", way, got, err)
		}
	}
	if d.Size() != int64(len(want)) {
		t.Errorf("the size is %d", d.Size())
	}
}

// inside shows a body where it cannot be replaced: in a string that has more than it.
type inside struct{ body *quoted.Body }

func (i inside) MarshalJSON() ([]byte, error) {
	mark, err := json.Marshal(i.body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(mark))
}

func TestADocumentShowsItsBodyOnce(t *testing.T) {
	t.Parallel()
	b, err := quoted.Look(opener([]byte("text"), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"twice":                []any{b, b},
		"within a string":      inside{b},
		"cannot be marshalled": func() {},
	} {
		if _, err := quoted.New(v, b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDocumentsAreWrittenInLinearTime(t *testing.T) {
	for _, text := range []string{"text", "<\u2028\x00", "\xff\x00"} {
		linear.Check(t, 100_000, func(n int) func() {
			open := opener([]byte(strings.Repeat(text, n/len(text))), nil)
			piece := make([]byte, 4096)
			return func() {
				r, err := document(t, open, piece).Open(piece)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
