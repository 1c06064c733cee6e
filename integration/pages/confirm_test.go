package pages

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// startDecisions returns a stage on which people decide about requests.
func startDecisions(t *testing.T, lines string) *stage {
	t.Helper()
	s := newStage(t)
	s.begin(t, harness.Config{
		Private: `
callback park {
	confirm {
		title "Pay {http.request.header.X-Amount}?"
		text "Asked for by {http.request.header.X-Who}."
		choice approve "Approve"
		choice reject "Reject" failed
	}
` + lines + `}
` + s.toPartner(),
		Sites: s.Site("shop", "header Content-Type text/html\nrespond <<HTML\n"+mail+"\nHTML"),
	})
	return s
}

// mail is a page that makes the browser fetch what it links to before anybody clicks.
const mail = `<!DOCTYPE html><html lang="en"><title>Mail</title><h1>Mail</h1><link rel="prefetch" href="{query.url}"><a href="{query.url}">Decide</a></html>`

// ask sends a request about which somebody decides, and returns the link to the page.
func (s *stage) ask(t *testing.T, path, amount, who string) (link, id string) {
	t.Helper()
	got := s.send(t, http.MethodPost, appURL+path, "text/plain", "x", "X-Amount", amount, "X-Who", who)
	if got.Status != http.StatusAccepted {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	var parked struct {
		ID string `json:"id"`
	}
	decode(t, got.Body, &parked)
	return s.called(t, path), parked.ID
}

// A person decides by mouse, and the page says what was decided, with and without script.
func TestPersonDecides(t *testing.T) {
	t.Parallel()
	s := startDecisions(t, "")
	for _, script := range []bool{true, false} {
		p := comeTo(t, s.Caddy)
		link, id := s.ask(t, s.path(), "12 EUR", "Ada")
		p.look(link, "a decision")
		p.useScript(script)
		p.open(link)
		p.wantTitle("Pay 12 EUR?")
		p.walk("a decision")
		s.wantPhase(t, id, "waiting")
		p.click("Approve")
		p.wantText("Decided")
		s.wantPhase(t, id, "resolved")
		p.look(link, "what was decided")
		p.reload()
		p.wantText("Decided")
		if n := len(p.road.requests(http.MethodPost)); n != 1 {
			t.Errorf("the choice was sent %d times", n)
		}
	}
}

// The keyboard is enough to decide.
func TestPersonDecidesByKeyboard(t *testing.T) {
	t.Parallel()
	s := startDecisions(t, "")
	p := comeTo(t, s.Caddy)
	link, id := s.ask(t, s.path(), "12 EUR", "Ada")
	p.open(link)
	for range 10 {
		p.do(chromedp.KeyEvent(kb.Tab))
		if evaluate[string](p, "document.activeElement.innerText") == "Reject" {
			p.do(chromedp.KeyEvent(kb.Enter))
			break
		}
	}
	p.wantText("Decided")
	s.wantPhase(t, id, "failed")
}

// A double click decides once, and shows what was decided.
func TestDoubleClickDecidesOnce(t *testing.T) {
	t.Parallel()
	s := startDecisions(t, "")
	p := comeTo(t, s.Caddy)
	link, id := s.ask(t, s.path(), "12 EUR", "Ada")
	p.open(link)
	p.click("Approve", 2)
	p.wantText("Decided")
	s.wantPhase(t, id, "resolved")
	if p.shows("This was decided before you chose.") {
		t.Error("the second click is called too late")
	}
}

// Of two people who decide at once one does, and the other sees what was decided.
func TestOfTwoPeopleOneDecides(t *testing.T) {
	t.Parallel()
	s := startDecisions(t, "")
	link, id := s.ask(t, s.path(), "12 EUR", "Ada")
	people := map[string]*person{"Approve": comeTo(t, s.Caddy), "Reject": comeTo(t, s.Caddy)}
	for choice, p := range people {
		p.open(link)
		evaluate[bool](p, fmt.Sprintf("[...document.querySelectorAll('button')].find(b => b.innerText === %q).focus() ?? true", choice))
	}
	var both sync.WaitGroup
	for _, p := range people {
		both.Go(func() { _ = chromedp.Do(p.ctx, chromedp.KeyEvent(kb.Enter)) })
	}
	both.Wait()
	late := 0
	for _, p := range people {
		p.wantText("Decided")
		if p.shows("This was decided before you chose.") {
			late++
			p.lookHere("too late")
		}
	}
	if late != 1 {
		t.Errorf("%d of the two are told that they were too late", late)
	}
	phase := s.status(t, id).Phase
	for choice, p := range people {
		decided := map[string]string{"resolved": "Approve", "failed": "Reject"}[phase]
		if !p.shows(decided) {
			t.Errorf("who has chosen %s does not see that it is %s", choice, decided)
		}
	}
}

// Whoever goes back and chooses otherwise is told that it is too late.
func TestNobodyDecidesTwice(t *testing.T) {
	t.Parallel()
	s := startDecisions(t, "")
	p := comeTo(t, s.Caddy)
	link, id := s.ask(t, s.path(), "12 EUR", "Ada")
	p.open(link)
	p.click("Approve")
	p.wantText("Decided")
	p.back()
	p.want("the page before", p.text, func(got string) bool { return strings.Contains(got, "Pay 12 EUR?") })
	if p.shows("Reject") {
		p.click("Reject")
		p.wantText("This was decided before you chose.")
	}
	s.wantPhase(t, id, "resolved")
}

// What a browser fetches before anybody clicks decides nothing.
func TestPrefetchDecidesNothing(t *testing.T) {
	t.Parallel()
	s := startDecisions(t, "")
	p := comeTo(t, s.Caddy)
	link, id := s.ask(t, s.path(), "12 EUR", "Ada")
	p.open("http://shop.test/?url=" + link)
	harness.Eventually(t, "the browser fetches it before", func() bool {
		for _, a := range p.road.requests(http.MethodGet) {
			if a.URL == link && a.Status != 0 {
				return true
			}
		}
		return false
	})
	s.wantPhase(t, id, "waiting")
	p.click("Decide")
	p.wantTitle("Pay 12 EUR?")
	p.click("Approve")
	p.wantText("Decided")
	s.wantPhase(t, id, "resolved")
	// That nothing is fetched before is what the browser complains of.
	for _, fault := range p.takeFaults() {
		if !strings.Contains(fault, "answers 405") {
			t.Error(fault)
		}
	}
}

// What the request says is text in the question.
func TestHostileQuestionIsText(t *testing.T) {
	t.Parallel()
	s := startDecisions(t, "")
	p := comeTo(t, s.Caddy)
	for _, text := range hostile {
		link, _ := s.ask(t, s.path(), text, text)
		p.open(link)
		p.wantText("Approve")
		p.harmless(fmt.Sprintf("%.60q", text))
	}
}

// A decision may lead to another site.
func TestDecisionLeadsOn(t *testing.T) {
	t.Parallel()
	s := startDecisions(t, "redir http://shop.test/thanks\n")
	p := comeTo(t, s.Caddy)
	link, _ := s.ask(t, s.path(), "12 EUR", "Ada")
	p.open(link)
	p.click("Approve")
	p.wantTitle("Mail")
}

// Decisions that are to be made stand in the dashboard.
func TestApprovalsStandInTheDashboard(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.begin(t, harness.Config{
		Private: "callback park {\nname payments\nconfirm {\ntitle \"Pay?\"\nchoice yes \"Yes\"\nchoice no \"No\" failed\n}\n}\n" + s.toPartner(),
		Sites:   s.Site("desk", "callback_dashboard {\nkey off\n}"),
	})
	p := comeTo(t, s.Caddy)
	p.open(deskURL + "approvals")
	p.mark()
	link, id := s.ask(t, s.path(), "", "")
	p.wantText(id)
	p.wantMarked()
	p.look(deskURL+"approvals", "approvals")
	p.walk("approvals")
	other := comeTo(t, s.Caddy)
	other.open(link)
	other.click("Yes")
	other.wantText("Decided")
	p.open(deskURL + "callback/" + id)
	p.wantText("decided")
	p.lookHere("a callback that was decided")
}
