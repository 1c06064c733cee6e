package pages

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// inBothWays runs a test with script and without, each on a stage of its own.
func inBothWays(t *testing.T, test func(t *testing.T, s *stage, p *person)) {
	t.Helper()
	for _, script := range []bool{true, false} {
		t.Run(fmt.Sprintf("script=%v", script), func(t *testing.T) {
			t.Parallel()
			s := startDesk(t, "")
			p := comeTo(t, s.Caddy)
			p.useScript(script)
			test(t, s, p)
		})
	}
}

// wantPhase makes sure that a callback is in a phase.
func (s *stage) wantPhase(t *testing.T, id, phase string) {
	t.Helper()
	if got := s.status(t, id).Phase; got != phase {
		t.Errorf("%s is %s, want %s", id, got, phase)
	}
}

// An operator finds a callback by its correlation id, and ends it.
func TestOperatorClosesACallback(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, s *stage, p *person) {
		for i := range 3 {
			s.create(t, fmt.Sprintf(`{"correlationId":"order-%d"}`, i))
		}
		c := s.create(t, `{"correlationId":"the one"}`)
		p.open(deskURL)
		p.click("Callbacks")
		p.wantTitle("Callbacks")
		p.fill("Id or correlation id", "the one")
		p.click("Find")
		p.wantAddressHas("the+one")
		p.click(c.ID)
		p.wantTitle("Callback " + c.ID)
		p.click("Close")
		p.wantText("The callback has ended")
		s.wantPhase(t, c.ID, "closed")
		p.lookHere("a closed callback")
		// Neither is done again.
		p.reload()
		p.wantTitle("Callback " + c.ID)
		if acts := p.road.requests(http.MethodPost); len(acts) != 1 || acts[0].Status != http.StatusSeeOther {
			t.Errorf("the browser has sent %+v", acts)
		}
	})
}

// An operator answers in the partner's place, with a body or as a failure.
func TestOperatorResolvesACallback(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, s *stage, p *person) {
		ok, failed := s.create(t, "{}"), s.create(t, "{}")
		p.open(deskURL + "callback/" + ok.ID)
		p.click("Resolve it in the partner's place")
		p.walk("the form to resolve")
		p.lookHere("the form to resolve")
		p.fill("Body, which is the result", `{"by":"hand"}`)
		p.click("Resolve")
		p.wantText("resolved")
		if got := s.send(t, http.MethodGet, apiURL+"/"+ok.ID+"/result", "", ""); string(got.Body) != `{"by":"hand"}` {
			t.Errorf("the result is %q", got.Body)
		}
		p.open(deskURL + "callback/" + failed.ID)
		p.click("Resolve it in the partner's place")
		p.click("Failed")
		p.fill("Error code, with Failed", "E-1")
		p.fill("Error text, with Failed", hostile[0])
		p.click("Resolve")
		p.wantText("E-1")
		p.harmless("a failure by hand")
		s.wantPhase(t, failed.ID, "failed")
	})
}

// What is done to all that match is counted first, and reported.
func TestOperatorActsOnAllThatMatch(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, s *stage, p *person) {
		for i := range 4 {
			s.park(t, fmt.Sprintf("/renders/%d", i))
		}
		other := s.create(t, "{}")
		p.open(deskURL + "list")
		p.fill("Name", "renders")
		p.click("Filter")
		p.wantAddressHas("name=renders")
		p.click("Close all that match")
		p.wantTitle("Close all that match")
		p.wantText("4 callbacks match")
		p.lookHere("how many are closed")
		p.walk("how many are closed")
		// What comes after the count is not closed unseen.
		s.park(t, "/renders/late")
		p.click("Close 4 callbacks")
		p.wantText("4 were closed")
		p.lookHere("the report")
		s.wantPhase(t, other.ID, "waiting")
		s.wantPhase(t, s.newest(t), "waiting")
		if strings.Contains(p.address(), "expect") {
			t.Errorf("the report is at %s", p.address())
		}
	})
}

// A second click on a button does nothing more.
func TestDoubleClickActsOnce(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "")
	p := comeTo(t, s.Caddy)
	c := s.create(t, "{}")
	p.open(deskURL + "callback/" + c.ID)
	p.click("Close", 2)
	p.wantText("The callback has ended")
	s.wantPhase(t, c.ID, "closed")
}

// Bodies are shown when somebody asks for one, and saved as what they are.
func TestBodiesAreHidden(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "")
	p := comeTo(t, s.Caddy)
	c := s.create(t, "{}")
	body := `{"card":"4111 1111 1111 1111","amount":12345678901234567890.10,"note":"<script>pwned=1</script>"}`
	s.call(t, c.CallbackURL, "application/json", body)
	p.open(deskURL + "callback/" + c.ID)
	if strings.Contains(evaluate[string](p, "document.documentElement.outerHTML"), "4111") {
		t.Error("the page has the body in it")
	}
	saved := p.downloads(func() { p.click("Download") })
	if saved.content != body || !strings.HasSuffix(saved.name, ".bin") {
		t.Errorf("%+v was saved", saved)
	}
	p.click("Show")
	p.wantText("12345678901234567890.10")
	p.lookHere("a body")
	p.walk("a body")
}

// The pages are the same below a path, also where that lacks its slash.
func TestDashboardBelowAPath(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "")
	p := comeTo(t, s.Caddy)
	c := s.create(t, `{"correlationId":"below"}`)
	p.look(opsURL+"callback/"+c.ID, "a callback below a path")
	p.open(opsURL)
	for _, tab := range []string{"Callbacks", "Now"} {
		p.click(tab)
		p.wantTitle(tab)
	}
	p.click("Callbacks")
	p.wantTitle("Callbacks")
	p.click(c.ID)
	p.wantTitle("Callback " + c.ID)
	p.click("Close")
	p.wantText("The callback has ended")
	if !strings.HasPrefix(p.address(), opsURL+"callback/") {
		t.Errorf("the browser is at %s", p.address())
	}
	for _, a := range p.road.requests(http.MethodGet) {
		if !strings.HasPrefix(a.URL, opsURL+"") && !strings.HasSuffix(a.URL, "/favicon.ico") {
			t.Errorf("the browser has asked for %s", a.URL)
		}
	}
}
