package deliver_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/memory"
)

// space returns memory of that many bytes, and checks in the end that nothing is taken of it.
func space(t *testing.T, bytes int64) memory.Space {
	t.Helper()
	pool := new(memory.Pool)
	pool.SetLimits(bytes, bytes)
	t.Cleanup(func() {
		if used := pool.Used(); used != 0 {
			t.Errorf("%d bytes are still taken", used)
		}
	})
	return pool.For(memory.OwnerOf("a"))
}

// pieces returns the pieces of an envelope whose texts are all as they stand there.
func pieces(t *testing.T, text string) []callback.Piece {
	t.Helper()
	e, err := callback.NewEnvelope(text)
	if err != nil {
		t.Fatal(err)
	}
	return e.Fill(func(string) string { return "" })
}

// opened reads a body, and checks its length.
func opened(t *testing.T, b deliver.Body) string {
	t.Helper()
	r, size, err := b(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(iotest.OneByteReader(r))
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(content)) != size {
		t.Errorf("%d bytes come, and %d were announced: %s", len(content), size, content)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return string(content)
}

func TestBodyStandsInItsEnvelope(t *testing.T) {
	long := strings.Repeat(`a"é`, 50_000)
	longQuoted, _ := json.Marshal(long)
	for name, c := range map[string]struct{ text, body, want string }{
		"text":                   {"<{http.callback.result.body}>", "a\"\xff", "<a\"\xff>"},
		"text, nothing":          {"<{http.callback.result.body}>", "", "<>"},
		"text, twice":            {"{http.callback.result.body}{http.callback.result.body}", "ab", "abab"},
		"no body":                {`{"a":1}`, "ab", `{"a":1}`},
		"in a string":            {`{"a":"<{http.callback.result.body}>"}`, "\"\\\n<é", `{"a":"<\"\\\n\u003cé>"}`},
		"in a string, nothing":   {`{"a":"<{http.callback.result.body}>"}`, "", `{"a":"<>"}`},
		"in a string, JSON":      {`["{http.callback.result.body}"]`, `{"b":1}`, `["{\"b\":1}"]`},
		"in a string, not UTF-8": {`["{http.callback.result.body}"]`, "\xff\xfe", `["//4="]`},
		"value":                  {`{"a":{http.callback.result.body}}`, ` {"b":[1]} `, `{"a": {"b":[1]} }`},
		"value, nothing":         {`{"a":{http.callback.result.body}}`, "", `{"a":null}`},
		"value, text":            {`{"a":{http.callback.result.body}}`, `{"b":`, `{"a":"{\"b\":"}`},
		"value, not UTF-8":       {`[{http.callback.result.body}]`, "\"\xff\"", `["` + base64.StdEncoding.EncodeToString([]byte("\"\xff\"")) + `"]`},
		"value and string":       {`[{http.callback.result.body},"{http.callback.result.body}"]`, `1`, `[1,"1"]`},
		"long, in a string":      {`["{http.callback.result.body}"]`, long, "[" + string(longQuoted) + "]"},
		"long, as a value":       {`[{http.callback.result.body}]`, string(longQuoted), "[" + string(longQuoted) + "]"},
		"long, text as a value":  {`[{http.callback.result.body}]`, long, "[" + string(longQuoted) + "]"},
	} {
		t.Run(name, func(t *testing.T) {
			b := deliver.Fill(pieces(t, c.text), deliver.Bytes([]byte(c.body)), space(t, 8<<20))
			// It is the same each time: a signature is made of what is sent.
			for range 2 {
				if got := opened(t, b); got != c.want {
					t.Errorf("%.100s, want %.100s", got, c.want)
				}
			}
		})
	}
}

func TestEnvelopeThatIsClosedEarlyTakesNoMemory(t *testing.T) {
	b := deliver.Fill(pieces(t, `["{http.callback.result.body}", "{http.callback.result.body}"]`), deliver.Bytes(bytes.Repeat([]byte("a"), 100_000)), space(t, 1<<20))
	r, _, err := b(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestEnvelopeForWhichThereIsNoMemoryIsNotOpened(t *testing.T) {
	for _, text := range []string{`["{http.callback.result.body}"]`, `[{http.callback.result.body}]`} {
		b := deliver.Fill(pieces(t, text), deliver.Bytes(bytes.Repeat([]byte("1"), 100_000)), space(t, 1000))
		if _, _, err := b(t.Context()); !errors.Is(err, memory.ErrBusy) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestEnvelopeOfABodyThatCannotBeReadIsNotOpened(t *testing.T) {
	broken := errors.New("broken")
	for _, text := range []string{"{http.callback.result.body}", `["{http.callback.result.body}"]`, `[{http.callback.result.body}]`} {
		b := deliver.Fill(pieces(t, text), func(context.Context) (io.ReadCloser, int64, error) { return nil, 0, broken }, space(t, 1<<20))
		if _, _, err := b(t.Context()); !errors.Is(err, broken) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
