package pages

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// Whatever clients and partners send is text to operators, and breaks no page.
func TestHostileCallbacksAreText(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "bodies show\n")
	p := comeTo(t, s.Caddy)
	var ids []string
	for i, text := range hostile {
		given := map[string]any{"data": map[string]any{text: text}}
		if len(text) <= 256 && isPrintable(text) {
			given["correlationId"] = text
		}
		c := s.create(t, asJSON(given))
		lines := []string{"X-Stranger", text, "Content-Language", text}
		if i%2 == 0 {
			lines = append(lines, "X-Link-Status", "Failed", "X-Link-Error-Code", text, "X-Link-Error-Text", text, "X-Link-Document-Status", text)
		}
		s.call(t, c.CallbackURL+"?"+url.QueryEscape(text)+"="+url.QueryEscape(text), "text/plain", text, lines...)
		ids = append(ids, c.ID)
	}
	for i, id := range ids {
		state := fmt.Sprintf("%.60q", hostile[i])
		p.open(deskURL + "callback/" + id)
		p.wantTitle("Callback " + id)
		p.harmless(state)
	}
	for view := range views {
		p.open(deskURL + view + "?limit=100")
		p.harmless(view)
	}
	p.look(deskURL+"callback/"+ids[0], "a hostile callback")
}

// Filters are data, too.
func TestHostileFiltersAreText(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "")
	p := comeTo(t, s.Caddy)
	names := []string{"name", "q", "phase", "cursor", "live", "order", "id", "correlationId"}
	for i, text := range append(append([]string{}, hostile...), hostileBytes...) {
		name := names[i%len(names)]
		p.open(deskURL + "list?" + name + "=" + url.QueryEscape(text))
		p.harmless(fmt.Sprintf("%s=%.60q", name, text))
	}
}

// Bodies of every kind are shown as text or bytes, and saved as they came.
func TestHostileBodiesAreText(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "")
	p := comeTo(t, s.Caddy)
	for _, body := range []struct{ mediaType, content string }{
		{"application/json", asHostileJSON()},
		{"text/html", strings.Join(hostile, "\n")},
		{"image/svg+xml", hostile[4]},
		{"application/xhtml+xml", `<html xmlns="http://www.w3.org/1999/xhtml"><script>pwned=1;alert(1)</script></html>`},
		{"text/javascript", "pwned=1;alert(1)"},
		{"text/plain", strings.Join(hostileBytes, "")},
		{"application/octet-stream", strings.Repeat("\x00<script>alert(1)</script>", 390_000)},
		{`text/html; charset="><script>alert(1)</script>`, "x"},
		{"", "<script>pwned=1;alert(1)</script>"},
	} {
		c := s.create(t, "{}")
		s.call(t, c.CallbackURL, body.mediaType, body.content)
		p.open(deskURL + "callback/" + c.ID)
		p.harmless(body.mediaType)
		saved := p.downloads(func() { p.click("Download") })
		if saved.content != body.content {
			t.Errorf("%s: another body was saved, of %d bytes", body.mediaType, len(saved.content))
		}
		p.click("Show")
		p.want("the body", p.title, func(got string) bool { return got != "Callback "+c.ID && got != "" })
		p.harmless(body.mediaType + ", shown")
	}
}

// A header as large as Caddy takes, which is 16 KiB unless it is told otherwise, breaks nothing.
func TestLargeHeadersAreCut(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "")
	p := comeTo(t, s.Caddy)
	c := s.create(t, "{}")
	s.call(t, c.CallbackURL, "text/plain", "x", "X-Large", strings.Repeat("<b>", 5_000))
	p.look(deskURL+"callback/"+c.ID, "a call with a large header")
	if n := evaluate[int](p, "document.documentElement.outerHTML.length"); n > 100_000 {
		t.Errorf("the page has %d characters", n)
	}
}
