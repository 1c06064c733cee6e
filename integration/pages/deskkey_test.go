package pages

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/chromedp"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// asked lets the person answer when a site asks for name and password: with these, once for each
// request, and after that not at all.
func (p *person) whenAsked(name, password string) {
	p.t.Helper()
	tried := make(map[fetch.RequestID]bool)
	err := chromedp.Listen(p.ctx, func(event any) {
		switch e := event.(type) {
		case *fetch.EventRequestPaused:
			go func() {
				_ = chromedp.Do(p.ctx, call(fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: e.RequestID}))
			}()
		case *fetch.EventAuthRequired:
			answer := &fetch.AuthChallengeResponse{Response: fetch.AuthChallengeResponseResponseProvideCredentials, Username: name, Password: password}
			if tried[e.RequestID] {
				answer = &fetch.AuthChallengeResponse{Response: fetch.AuthChallengeResponseResponseCancelAuth}
			}
			tried[e.RequestID] = true
			go func() {
				_ = chromedp.Do(p.ctx, call(fetch.ContinueWithAuth, fetch.ContinueWithAuthParams{RequestID: e.RequestID, AuthChallengeResponse: answer}))
			}()
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.do(call(fetch.Enable, fetch.EnableParams{HandleAuthRequests: new(true)}))
}

// Whoever looks shows a key, as a browser asks for it. A key that may only see is not offered
// anything else.
func TestDashboardAsksForAKey(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	operator, auditor := strings.Repeat("o", 40), strings.Repeat("a", 40)
	s.Setenv("CB_OPERATOR", operator)
	s.Setenv("CB_AUDITOR", auditor)
	s.NeverLog(operator)
	s.begin(t, harness.Config{
		Callback: "key operator {env.CB_OPERATOR} read manage\nkey auditor {env.CB_AUDITOR} read\n",
		Sites:    s.Site("desk", "callback_dashboard"),
	})
	c := s.create(t, "{}")

	stranger := comeTo(t, s.Caddy)
	stranger.whenAsked("operator", auditor)
	stranger.open(deskURL)
	stranger.wantTitle("These pages need a key.")
	stranger.lookHere("without a key")

	reader := comeTo(t, s.Caddy)
	reader.whenAsked("auditor", auditor)
	reader.look(deskURL+"callback/"+c.ID, "a callback for who may see")
	reader.wantText("Your key may see, but not act.")
	reader.walk("a callback for who may see")
	reader.look(deskURL+"list/close", "all callbacks for who may see")

	o := comeTo(t, s.Caddy)
	o.whenAsked("operator", operator)
	o.open(deskURL + "callback/" + c.ID)
	o.wantText("You are operator")
	o.click("Close")
	o.wantText("The callback has ended")
	o.wantText("By operator.")
	for _, a := range o.road.requests(http.MethodPost) {
		if a.Status != http.StatusSeeOther {
			t.Errorf("%s: %d", a.URL, a.Status)
		}
	}
	// What is heard of needs the key, too.
	o.open(deskURL + "list")
	o.mark()
	s.create(t, `{"correlationId":"heard"}`)
	o.wantText("heard")
	o.wantMarked()
}

// Each directive is shown with its options, and whether partners reach the server is checked.
func TestRoutesAreChecked(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, s *stage, p *person) {
		p.open(deskURL + "routes")
		p.wantText("renders")
		p.click("Check now")
		p.want("the outcome", p.text, func(got string) bool { return !strings.Contains(got, "not checked") && got != "" })
		p.lookHere("routes that were checked")
		p.walk("routes that were checked")
		if sent := p.road.requests(http.MethodPost); len(sent) != 1 || sent[0].Status != http.StatusSeeOther {
			t.Errorf("the browser has sent %+v", sent)
		}
	})
}

// A call can be made again on another callback.
func TestCallIsReplayed(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, s *stage, p *person) {
		done, waits := s.create(t, "{}"), s.create(t, `{"correlationId":"the next"}`)
		s.call(t, done.CallbackURL+"?a=1&b=%3Cb%3E", "application/json", `{"text":"</textarea><script>pwned=1</script>","n":1e400}`, "X-Stranger", hostile[0])
		p.open(deskURL + "callback/" + done.ID)
		p.click("Replay the call")
		p.wantTitle("Replay a call")
		p.lookHere("a replay")
		p.walk("a replay")
		p.fill("Id or correlation id of the callback", "the next")
		p.click("Make the call")
		p.wantTitle("Callback " + waits.ID)
		p.harmless("what was replayed")
		if got := s.send(t, http.MethodGet, apiURL+"/"+waits.ID+"/result", "", ""); string(got.Body) != `{"text":"</textarea><script>pwned=1</script>","n":1e400}` {
			t.Errorf("the result is %s", got.Body)
		}
	})
}
