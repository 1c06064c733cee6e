package pages

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// shows reports whether the page has a text in it.
func (p *person) shows(text string) bool {
	p.t.Helper()
	return strings.Contains(p.text(), text)
}

// An operator's page stays up to date by itself, and stays as it is where it is paused, until
// that is taken back: also when the page is loaded again, and on the next page of the filter.
func TestDashboardIsLiveUntilItIsPaused(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "")
	p, other := comeTo(t, s.Caddy), comeTo(t, s.Caddy)
	for _, op := range []*person{p, other} {
		op.open(deskURL + "list")
		op.mark()
	}
	s.create(t, `{"correlationId":"first"}`)
	p.wantText("first")
	p.wantMarked()
	p.click("Pause")
	p.wantText("The page is paused.")
	p.lookHere("paused")
	p.walk("paused")
	paused := len(p.road.requests(http.MethodGet))
	s.create(t, `{"correlationId":"second"}`)
	other.wantText("second")
	if n := len(p.road.requests(http.MethodGet)); n != paused || p.shows("second") {
		t.Errorf("the paused page has asked %d times for news", n-paused)
	}
	p.reload()
	p.wantText("second")
	p.wantText("The page is paused.")
	p.fill("Name", "none")
	p.click("Filter")
	p.wantAddressHas("name=none")
	p.wantText("The page is paused.")
	p.click("Clear")
	p.wantText("second")
	if p.shows("The page is paused.") {
		p.click("Go live")
	}
	p.mark()
	s.create(t, `{"correlationId":"third"}`)
	p.wantText("third")
	p.wantMarked()
}

// What an operator is typing is not taken away by news, as long as it can still be sent.
func TestNewsLeaveFocusAlone(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "")
	p := comeTo(t, s.Caddy)
	url := s.park(t, "/renders/typed")
	p.open(deskURL + "callback/" + s.newest(t))
	p.click("Resolve it in the partner's place")
	p.fill("Error text, with Failed", "half a sen")
	s.call(t, url, "application/json", `{"percent":50}`)
	p.wantText("progressed")
	if got := evaluate[string](p, "document.activeElement.value ?? ''"); got != "half a sen" {
		t.Errorf("the focus is on something with %q", got)
	}
	s.call(t, url, "application/json", `{"done":true}`)
	p.wantText("resolved")
	p.lookHere("a callback that has ended while its page was open")
}

// The tail shows what happens, as it happens.
func TestTailShowsWhatHappens(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "")
	p := comeTo(t, s.Caddy)
	p.open(deskURL + "live")
	p.wantText("Nothing has happened")
	p.mark()
	c := s.create(t, `{"correlationId":"seen"}`)
	p.wantText("seen")
	s.call(t, c.CallbackURL, "text/plain", "x")
	p.wantText("resolved")
	p.wantMarked()
	p.lookHere("the tail")
	p.walk("the tail")
	p.look(p.address(), "the tail, opened")
}

// Without script the pages load themselves again, unless they are paused, or have a form in which
// somebody may be writing.
func TestDashboardWithoutScriptIsPaused(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "")
	p := comeTo(t, s.Caddy)
	p.useScript(false)
	for _, view := range []string{"list", "callback/" + s.create(t, "{}").ID} {
		p.open(deskURL + view)
		p.wantText("Load it again to see what is new.")
		if evaluate[int](p, "document.querySelectorAll('noscript meta[http-equiv=refresh]').length") != 0 {
			t.Errorf("%q loads itself again, whatever stands in its form", view)
		}
	}
	for _, view := range []string{"", "approvals", "live"} {
		p.open(deskURL + view)
		refreshes := "document.querySelectorAll('noscript meta[http-equiv=refresh]').length"
		if evaluate[int](p, refreshes) != 1 {
			t.Errorf("%q does not load itself again", view)
		}
		p.click("Pause")
		p.wantText("The page is paused.")
		if evaluate[int](p, refreshes) != 0 {
			t.Errorf("%q loads itself again, though it is paused", view)
		}
		p.click("Go live")
		p.wantText("Pause")
	}
}

// The server may be away for a while: the page says so, and goes on when it is back.
func TestDashboardOutlivesTheServer(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "")
	p := comeTo(t, s.Caddy)
	p.open(deskURL)
	p.mark()
	s.Kill(t)
	p.wantText("The server does not answer")
	s.Start(t, s.cfg)
	s.create(t, `{"correlationId":"back"}`)
	p.want("no message", p.text, func(got string) bool { return !strings.Contains(got, "The server does not answer") })
	p.wantMarked()
	// Requests have failed while it was away.
	p.takeFaults()
}

// There are pages, and filters keep to them.
func TestDashboardHasPages(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, s *stage, p *person) {
		for i := range 60 {
			s.create(t, fmt.Sprintf(`{"correlationId":"n-%02d"}`, i))
		}
		p.open(deskURL + "list?phase=waiting")
		p.wantText("n-59")
		p.click("Next page")
		p.wantText("n-00")
		if p.shows("n-59") || !strings.Contains(p.address(), "phase=waiting") {
			t.Errorf("the second page is %s", p.address())
		}
		p.lookHere("the second page")
		p.click("First page")
		p.wantText("n-59")
		p.click("Oldest first")
		p.wantText("n-00")
	})
}
