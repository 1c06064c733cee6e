package integration

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// wantForm checks in which form an answer came: packed, or unpacked for a client that does
// not take it packed.
func wantForm(t *testing.T, got *harness.Response, p packing, packed, text, tag string) {
	t.Helper()
	wantStatus(t, got, http.StatusOK)
	wantHeader(t, got.Header, "Vary", "Prefer", "Accept-Encoding")
	wantHeader(t, got.Header, "Content-Type", jsonType)
	if packed != "" {
		wantHeader(t, got.Header, "Content-Encoding", p.coding)
		wantHeader(t, got.Header, "Etag", tag)
		text = packed
	} else {
		wantHeader(t, got.Header, "Content-Encoding")
		wantHeader(t, got.Header, "Content-Digest")
		wantHeader(t, got.Header, "Etag", strings.TrimSuffix(tag, `"`)+`-unpacked"`)
	}
	wantHeader(t, got.Header, "Content-Length", strconv.Itoa(len(text)))
	if len(got.Body) > 0 && string(got.Body) != text {
		t.Errorf("body is %s, want %s", short(got.Body), short([]byte(text)))
	}
}

func TestHeldClientGetsAResultInAFormThatItTakes(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true, Hold: "copy_headers Content-Type Content-Encoding Content-Digest ETag"})
	text := `{"text":"` + strings.Repeat("all work and no play ", 20) + `"}`
	for _, protocol := range harness.Protocols {
		for name, p := range packings {
			t.Run(string(protocol)+"/"+name, func(t *testing.T) {
				t.Parallel()
				for accepted, takes := range map[string]bool{"none": false, "": false, "identity": false, "br": false, p.coding + ";q=0": false, "br, " + p.coding: true, "*": true} {
					req := harness.NewRequest(t, http.MethodGet, protocol.URL(s.path()), "", "")
					if accepted != "none" {
						req.Header["Accept-Encoding"] = []string{accepted}
					}
					x := s.forward(t, protocol, req)
					packed := p.of(t, text)
					wantStatus(t, s.callURL(t, http.MethodPost, x.url, packed, "Content-Type", jsonType, "Content-Encoding", p.coding,
						"Content-Digest", "sha-256=:abc:", "ETag", `"v1"`), http.StatusOK)
					if !takes {
						packed = ""
					}
					wantForm(t, x.Answer(t), p, packed, text, `"v1"`)
				}
			})
		}
	}
}

func TestResultIsFetchedInAFormThatTheClientTakes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := withAPI(s, harness.Config{Private: s.parks("")}, "key off")
	s.Start(t, cfg)
	type result struct {
		parked
		packing
		packed, text, tag string
	}
	var results []result
	for _, p := range packings {
		for size, given := range map[int]string{20: "", 90_000: `"v1"`} {
			x := s.get(t)
			// Half of it is noise, so that it is stored in a file of its own.
			r := result{parked: s.wantParked(t, x.Answer(t)), packing: p, text: noise(size) + strings.Repeat("x", size), tag: given}
			r.packed = p.of(t, r.text)
			lines := []string{"Content-Type", jsonType, "Content-Encoding", p.coding}
			if given != "" {
				lines = append(lines, "ETag", given)
			}
			wantStatus(t, s.callURL(t, http.MethodPost, x.url, r.packed, lines...), http.StatusOK)
			if given == "" {
				r.tag = s.callURL(t, http.MethodGet, r.ResultURL, "", "Accept-Encoding", p.coding).Header.Get("ETag")
			}
			results = append(results, r)
		}
	}
	s.Kill(t)
	s.Start(t, cfg)
	for _, r := range results {
		for _, url := range []string{r.ResultURL, apiURL + "/" + r.ID + "/result"} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				taken := s.callURL(t, method, url, "", "Accept-Encoding", r.coding)
				wantForm(t, taken, r.packing, r.packed, r.text, r.tag)
				plain := s.callURL(t, method, url, "")
				wantForm(t, plain, r.packing, "", r.text, r.tag)
				mine := plain.Header.Get("ETag")
				again := s.public(t, having(t, method, url, mine))
				wantUnchanged(t, again, mine)
				wantHeader(t, again.Header, "Vary", "Prefer", "Accept-Encoding")
				wantUnchanged(t, s.public(t, having(t, method, url, r.tag, "Accept-Encoding", r.coding)), r.tag)
				wantForm(t, s.public(t, having(t, method, url, r.tag)), r.packing, "", r.text, r.tag)
				wantForm(t, s.public(t, having(t, method, url, mine, "Accept-Encoding", r.coding)), r.packing, r.packed, r.text, r.tag)
			}
		}
	}
}

// A result that cannot be unpacked is not lost: the client gets it as it came.
func TestResultThatCannotBeUnpackedIsHandedOnAsItIs(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "copy_headers Content-Type Content-Encoding"})
	gz := packings["gzip"].of(t, "hello")
	for name, c := range map[string]struct{ coding, body string }{
		"garbage":       {"gzip", "garbage"},
		"cut short":     {"gzip", gz[:len(gz)-3]},
		"two members":   {"gzip", gz + gz},
		"a bomb":        {"gzip", packings["gzip"].of(t, strings.Repeat("x", 1<<20))},
		"another":       {"br", "garbage"},
		"several":       {"gzip, gzip", packings["gzip"].of(t, gz)},
		"a frame alone": {"zstd", "\x50\x2a\x4d\x18\x00\x00\x00\x00"},
	} {
		x := s.get(t)
		wantStatus(t, s.callURL(t, http.MethodPost, x.url, c.body, "Content-Encoding", c.coding), http.StatusOK)
		answer := x.Answer(t)
		if answer.Status != http.StatusOK || string(answer.Body) != c.body {
			t.Errorf("%s: %d, %s", name, answer.Status, short(answer.Body))
		}
		wantHeader(t, answer.Header, "Content-Encoding", c.coding)
	}
}
