package inject_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/unpack"
)

// TestMessageLooksIntoPackedBodies reads a value from a packed body of each kind.
func TestMessageLooksIntoPackedBodies(t *testing.T) {
	t.Parallel()
	const parts = "--B\r\nContent-Disposition: form-data; name=\"p\"\r\n\r\n{\"status\":\"x\"}\r\n--B--\r\n"
	for name, c := range map[string]struct {
		at         inject.Location
		kind, body string
	}{
		"JSON":            {inject.Location{In: inject.JSON, Name: "status"}, "application/json", `{"status":"x"}`},
		"XML":             {inject.Location{In: inject.XML, Name: "/a/b"}, "text/xml", `<a><b>x</b></a>`},
		"a form":          {inject.Location{In: inject.Form, Name: "status"}, "application/x-www-form-urlencoded", "status=x"},
		"JSON in a field": {inject.Location{In: inject.Form, Name: "p.status"}, "application/x-www-form-urlencoded", "p=" + url.QueryEscape(`{"status":"x"}`)},
		"JSON in a part":  {inject.Location{In: inject.Form, Name: "p.status"}, "multipart/form-data; boundary=B", parts},
	} {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(c.body))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		pool := new(memory.Pool)
		pool.SetLimits(1<<20, 1<<20)
		m := inject.Message{Header: http.Header{"Content-Type": {c.kind}, "Content-Encoding": {"gzip"}}, Body: b.Bytes()}
		if _, err := m.Read(c.at); !errors.Is(err, inject.ErrPacked) {
			t.Errorf("%s, and nobody can look: %v", name, err)
		}
		m.Unpacked = unpack.NewBody(m.Body, 1<<20, pool.For(memory.Nobody))
		value, err := m.Read(c.at)
		only, again := m.Only(c.at)
		matches, third := m.Match(c.at, []string{"x"})
		if value.Text != "x" || only != "x" || !matches || errors.Join(err, again, third) != nil {
			t.Errorf("%s: %q, %q, %v, %v", name, value.Text, only, matches, errors.Join(err, again, third))
		}
		if m.Unpacked.Release(); pool.Used() != 0 {
			t.Errorf("%s: %d bytes are still counted", name, pool.Used())
		}

		// What is said to be packed in a way that is not known may not be packed at all.
		m = inject.Message{Header: http.Header{"Content-Type": {c.kind}, "Content-Encoding": {"br"}}, Body: []byte(c.body)}
		if _, err := m.Read(c.at); !errors.Is(err, inject.ErrPacked) {
			t.Errorf("%s, in another coding: %v", name, err)
		}
		if only, err := m.Only(c.at); only != "x" || err != nil {
			t.Errorf("%s, in another coding: %q, %v", name, only, err)
		}
	}
}
