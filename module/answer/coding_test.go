package answer

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestClientGetsOnlyWhatItTakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		accepted []string
		// gzip and zstd say what a client gets unpacked.
		gzip, zstd bool
	}{
		"says nothing":                  {nil, true, true},
		"says that it takes nothing":    {[]string{""}, true, true},
		"identity":                      {[]string{"identity"}, true, true},
		"gzip":                          {[]string{"gzip"}, false, true},
		"GZIP among others":             {[]string{"br , GZIP"}, false, true},
		"its old name":                  {[]string{"x-gzip;q=0.5"}, false, true},
		"in two lines":                  {[]string{"br", "zstd"}, true, false},
		"not gzip":                      {[]string{"gzip;q=0, zstd"}, true, false},
		"not gzip, exactly":             {[]string{"zstd, gzip; Q=0.000"}, true, false},
		"a little":                      {[]string{"gzip;q=0.001"}, false, true},
		"everything":                    {[]string{"*"}, false, false},
		"everything but gzip":           {[]string{"gzip;q=0, *"}, true, false},
		"nothing else":                  {[]string{"gzip, *;q=0"}, false, false},
		"identity, nothing else":        {[]string{"identity, *;q=0"}, true, true},
		"not as it is":                  {[]string{"identity;q=0"}, false, false},
		"not as it is, but with zstd":   {[]string{"zstd, identity;q=0"}, false, false},
		"a weight that cannot be read":  {[]string{"gzip;q=high"}, true, true},
		"a parameter that is no weight": {[]string{"gzip;level=1"}, false, true},
		"what browsers say":             {[]string{"gzip, deflate, br, zstd"}, false, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Accept-Encoding"] = c.accepted
		if c.accepted == nil {
			r.Header.Del("Accept-Encoding")
		}
		for coding, want := range map[string]bool{"gzip": c.gzip, "X-Gzip": c.gzip, "zstd": c.zstd, "br": false, "gzip, gzip": false, "identity": false} {
			result := callback.Result{Status: 200, Body: &callback.Body{}, Header: callback.Header{{Name: "Content-Encoding", Value: coding}}}
			if got := unpacks(r, result); got != want {
				t.Errorf("%s, %s: unpacked: %t", name, coding, got)
			}
			for _, kept := range []callback.Result{
				{Status: 206, Body: result.Body, Header: result.Header}, {Status: 424, Header: result.Header},
				{Status: 200, Body: result.Body, Header: append(callback.Header{{Name: "Cache-Control", Value: "no-store, No-Transform"}}, result.Header...)},
			} {
				if unpacks(r, kept) {
					t.Errorf("%s, %s: %+v is unpacked", name, coding, kept)
				}
			}
		}
	}
}

func TestHeaderOfAnUnpackedResultIsTrue(t *testing.T) {
	t.Parallel()
	h := callback.Header{
		{Name: "Accept-Ranges", Value: "bytes"}, {Name: "Content-Digest", Value: "sha-256=:a:"}, {Name: "Content-Encoding", Value: "gzip"},
		{Name: "Content-Type", Value: "application/json"}, {Name: "Etag", Value: `W/"v1"`}, {Name: "Repr-Digest", Value: "sha-256=:a:"}, {Name: "X-A", Value: "b"},
	}
	got := unpackedHeader(h)
	if len(got) != 3 || got.Get("Content-Type") != "application/json" || got.Get("Etag") != `W/"v1-unpacked"` || got.Get("X-A") != "b" {
		t.Errorf("%v", got)
	}
	if len(h) != 7 || h.Get("Etag") != `W/"v1"` {
		t.Errorf("the header of the packed result has changed: %v", h)
	}
	for tag, want := range map[string]string{`"v, 1"`: `"v, 1-unpacked"`, `""`: `"-unpacked"`, "v1": "", "": ""} {
		if got := unpackedTag(tag); got != want {
			t.Errorf("%s: %s", tag, got)
		}
	}
}

func TestVaryNamesAcceptEncodingOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ before, after []string }{
		{nil, []string{"Accept-Encoding"}}, {[]string{"Accept"}, []string{"Accept", "Accept-Encoding"}},
		{[]string{"Accept, accept-encoding"}, []string{"Accept, accept-encoding"}}, {[]string{"*"}, []string{"*"}},
	} {
		h := http.Header{"Vary": c.before}
		addVary(h)
		if got := h["Vary"]; len(got) != len(c.after) || got[len(got)-1] != c.after[len(c.after)-1] {
			t.Errorf("%q becomes %q", c.before, got)
		}
	}
}
