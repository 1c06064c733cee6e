package server

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// gzipped returns text as gzip.
func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestStateIsFoundInAPackedFormAndNotKept(t *testing.T) {
	const formType, state, other = "application/x-www-form-urlencoded", "state=" + secretText, "state=a49bee55-6c64-4d06-9c28-c8e0e0b4d8cb"
	const formData, part, rest = "multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=\"state\"\r\n\r\n" + secretText + "\r\n", "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n"
	s := &Server{app: &app.App{MaxBodySize: 1 << 20}}
	same := "the same"
	for name, c := range map[string]struct {
		query, coding, body string
		left                string
		// slug and status are of the problem that is answered; none is for 404.
		slug   string
		status int
	}{
		"in the form":              {"", "gzip", gzipped(t, state+"&a=1"), "a=1", "", 0},
		"alone":                    {"", "x-gzip", gzipped(t, state), "", "", 0},
		"in both":                  {state, "gzip", gzipped(t, "a=1&"+state), "a=1", "", 0},
		"in a part":                {"", "gzip", gzipped(t, part+rest), rest, "", 0},
		"in the query, in parts":   {state, "gzip", gzipped(t, rest), same, "", 0},
		"in the query":             {state, "gzip", gzipped(t, "a=1"), same, "", 0},
		"in the query, garbage":    {state, "gzip", "a=1", same, "", 0},
		"in the query, another":    {state, "br", "a=1", same, "", 0},
		"in both, and different":   {state, "gzip", gzipped(t, other), "", "none", 0},
		"nowhere":                  {"", "gzip", gzipped(t, "a=1"), "", "none", 0},
		"in garbage":               {"", "gzip", "garbage", "", "unreadable", 400},
		"in a bomb":                {"", "gzip", gzipped(t, state+"&a="+string(make([]byte, 66<<10))), "", "unreadable", 400},
		"packed in a way unknown":  {"", "br", "garbage", "", "unreadable", 415},
		"packed twice":             {"", "gzip, gzip", gzipped(t, gzipped(t, state)), "", "unreadable", 415},
		"said to be packed, empty": {"", "gzip", "", "", "none", 0},
	} {
		r := httptest.NewRequest(http.MethodPost, "/cbq/state", bytes.NewReader([]byte(c.body)))
		r.URL.RawQuery = c.query
		r.Header.Set("Content-Type", formType)
		if strings.Contains(name, "part") {
			r.Header.Set("Content-Type", formData)
		}
		r.Header.Set("Content-Encoding", c.coding)
		r.Header.Set("Content-Digest", "sha-256=:abc:")
		in, err := readCall(t, s, r)
		if c.slug != "" {
			var p problem.Problem
			if c.slug == "none" && !errors.Is(err, store.ErrNotFound) || c.slug != "none" && (!errors.As(err, &p) || p.Slug != c.slug || p.Status != c.status) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		in.Lease.Release()
		left, coding := c.left, ""
		if left == same {
			left, coding = c.body, c.coding
		}
		if in.State.String() != secretText || string(in.Call.Body.Data) != left || in.Call.Body.Size != int64(len(left)) {
			t.Errorf("%s: state %s, body %q", name, in.State, in.Call.Body.Data)
		}
		if in.Call.Header.Get("Content-Encoding") != coding || (in.Call.Header.Get("Content-Digest") == "") != (coding == "") {
			t.Errorf("%s: header %v", name, in.Call.Header)
		}
	}
}
