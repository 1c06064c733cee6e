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
