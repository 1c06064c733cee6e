package callback_test

import (
	"net/http"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestReplyOfAStrangerDoesNotActOnTheSite(t *testing.T) {
	t.Parallel()
	for contentType, sandboxed := range map[string]bool{
		"text/html": true, "TEXT/HTML; charset=utf-8": true, "image/svg+xml": true, "application/xhtml+xml": true, "text/xml": true, "application/pdf": true,
		"multipart/x-mixed-replace": true, "nonsense": true, "text/plain": false, "application/json": false, "application/problem+json": false, "": false,
	} {
		given := callback.Fields{Type: callback.TypeResponse, Body: "<script>", Header: callback.Header{
			{Name: "Access-Control-Allow-Origin", Value: "*"}, {Name: "Set-Cookie", Value: "a=b"}, {Name: "Clear-Site-Data", Value: "*"},
			{Name: "Strict-Transport-Security", Value: "max-age=1"}, {Name: "Content-Security-Policy", Value: "script-src *"}, {Name: "X-Own", Value: "stays"},
		}}
		if contentType != "" {
			given.Header = append(given.Header, callback.Field{Name: "Content-Type", Value: contentType})
		}
		own := &callback.Own{Reply: &given}
		for _, active := range []bool{false, true} {
			p := compiled(t, callback.Policy{})
			r := waiting(p)
			r.Own = own
			c := newCall(http.MethodPost, "x")
			c.ActiveContent = active
			h := receive(r, p, c, born).Reply.Header
			want := ""
			switch {
			case active:
				want = "script-src *"
			case sandboxed:
				want = "sandbox"
			}
			if h.Get("Content-Security-Policy") != want || h.Get("X-Own") != "stays" || (h.Get("Set-Cookie") != "") != active || (h.Get("Access-Control-Allow-Origin") != "") != active {
				t.Errorf("%q, active: %t: %v", contentType, active, h)
			}
		}
	}
}

// A browser takes the last of several types, and some headers act on more than the reply
// that it never shows.
func TestReplyOfAStrangerIsReadAsBrowsersReadIt(t *testing.T) {
	t.Parallel()
	for _, types := range [][]string{{"text/plain", "text/html"}, {"application/json", "text/plain", "image/svg+xml"}, {"text/plain", "nonsense"}} {
		given := callback.Fields{Type: callback.TypeResponse, Body: "<script>"}
		for _, contentType := range types {
			given.Header = append(given.Header, callback.Field{Name: "Content-Type", Value: contentType})
		}
		if got := given.Passive().Header.Get("Content-Security-Policy"); got != "sandbox" {
			t.Errorf("%q: the policy is %q", types, got)
		}
	}
	for _, name := range []string{
		"Nel", "Report-To", "Reporting-Endpoints", "Accept-Ch", "Critical-Ch", "Expect-Ct", "Origin-Agent-Cluster", "Public-Key-Pins", "Public-Key-Pins-Report-Only", "Set-Login", "Use-As-Dictionary",
	} {
		given := callback.Fields{Type: callback.TypeResponse, Header: callback.Header{{Name: name, Value: "x"}}}
		if len(given.Passive().Header) != 0 || given.CheckPassive() == nil {
			t.Errorf("%s acts on the site", name)
		}
	}
}
