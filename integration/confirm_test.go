package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// asForm are the header lines of a browser that posts a form of the page itself.
var asForm = append([]string{
	"Content-Type", formMedia, "Origin", harness.BaseURL,
}, append(asBrowser[:len(asBrowser)-1:len(asBrowser)-1], "same-origin")...)

// confirms are the lines of a directive that lets a person decide.
const confirms = `confirm {
	title "Pay {http.callback.request.body.amount}?"
	text "To {http.callback.request.body.to.0.name}, for {http.request.uri.query.for}"
	choice approve "Approve"
	choice reject "Reject" failed
}
`

// gate is a directive whose request goes on when a person has approved it.
func (s *stage) gate(lines string) string {
	return "callback park {\nname gate\nuse_body off\n" + confirms + lines + "\ncall {\nrewrite /tell{uri}\n" + s.toPartner() + "}\nthen {\nrewrite /then{uri}\nrequest_header X-Choice {http.callback.call.choice}\nrequest_header X-By {http.callback.call.by}\n" + s.toPartner() + "}\n}\n"
}

// told sends a request to the gate, and returns the URL at which somebody decides, that of the
// status, and the path that the request goes on with.
func (s *stage) told(t *testing.T, body string) (decide, status, then string) {
	t.Helper()
	path := s.path() + "?for=tea"
	p := s.wantParked(t, harness.Do(t, s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "application/json", body)))
	plain, _, _ := strings.Cut(path, "?")
	decide = s.partner.Received(t, "/tell"+plain).Header.Get(callbackHeader)
	s.NeverLog(anyUUID.FindString(decide))
	return decide, p.StatusURL, "/then" + plain
}

// decide posts the form of the page.
func (s *stage) decide(t *testing.T, target, body string, lines ...string) *harness.Response {
	t.Helper()
	return s.callURL(t, http.MethodPost, target, body, append(append([]string{}, asForm...), lines...)...)
}

func TestRequestGoesOnWhenAPersonHasApproved(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.gate("")})
	decide, status, then := s.told(t, `{"amount":1.10,"to":[{"name":"<b>Bob</b>\u202e"}]}`)
	got := s.browse(t, http.MethodGet, decide)
	wantPage(t, got, http.StatusOK, `Pay <span class="given"><bdi>1.10</bdi></span>?`, "&lt;b&gt;Bob&lt;/b&gt;‹U+202E›", ">tea<",
		`<button name="choice" value="approve">Approve</button>`, `<button name="choice" value="reject" class="danger">Reject</button>`)
	wantHeader(t, got.Header, "Referrer-Policy", "strict-origin")
	s.wantAssets(t, decide, got)
	done := s.decide(t, decide, "choice=approve")
	wantStatus(t, done, http.StatusSeeOther)
	if to := done.Header.Get("Location"); !strings.HasSuffix(decide, "/"+to) {
		t.Errorf("the person is sent to %q", to)
	}
	onward := s.partner.Received(t, then)
	wantHeader(t, onward.Header, "X-Choice", "approve")
	if string(onward.Body) != `{"amount":1.10,"to":[{"name":"<b>Bob</b>\u202e"}]}` {
		t.Errorf("it goes on with %s", onward.Body)
	}
	harness.Eventually(t, "it has ended", func() bool { return s.status(t, status).Phase == "resolved" })
	wantPage(t, s.browse(t, http.MethodGet, decide), http.StatusOK, "Approve", "Decided", "Pay ")
}

func TestRejectedRequestDoesNotGoOn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.gate("")})
	decide, status, then := s.told(t, `{}`)
	wantStatus(t, s.decide(t, decide, "choice=reject"), http.StatusSeeOther)
	st := s.status(t, status)
	if st.Phase != "failed" || st.ErrorCode != "reject" || st.ErrorText != "Reject" {
		t.Errorf("%+v", st)
	}
	if n := s.partner.Arrived(then); n > 0 {
		t.Error("it has gone on")
	}
	wantPage(t, s.decide(t, decide, "choice=approve"), http.StatusConflict, "This was decided before you chose", "Reject")
}

// Scanners, previews and programs look; only the button of the page decides.
func TestLookingDecidesNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.gate("")})
	decide, status, then := s.told(t, `{}`)
	wantStatus(t, s.callURL(t, http.MethodHead, decide, ""), http.StatusOK)
	look := s.callURL(t, http.MethodOptions, decide, "")
	wantStatus(t, look, http.StatusNoContent)
	wantHeader(t, look.Header, "Allow", "GET, POST, HEAD, OPTIONS")
	wantProblem(t, s.callURL(t, http.MethodGet, decide, ""), http.StatusMethodNotAllowed, "method-not-allowed")
	wantProblem(t, s.callURL(t, http.MethodGet, decide+"?choice=approve", ""), http.StatusMethodNotAllowed, "method-not-allowed")
	wantPage(t, s.browse(t, http.MethodGet, decide+"?choice=approve"), http.StatusOK)
	wantProblemPage(t, s.browse(t, http.MethodGet, decide, "Sec-Purpose", "prefetch"), http.StatusMethodNotAllowed)
	wantProblemPage(t, s.decide(t, decide, ""), http.StatusBadRequest, "must be one of: approve, reject")
	wantProblemPage(t, s.decide(t, decide, "choice=delete"), http.StatusBadRequest)
	for _, lines := range [][]string{
		{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"}, {"Sec-Fetch-Site", "same-site", "Origin", "http://other.callbacks.test"}, {"Sec-Fetch-Site", "cross-site", "Origin", "null"},
	} {
		wantProblemPage(t, s.decide(t, decide, "choice=approve", lines...), http.StatusForbidden)
	}
	wantProblem(t, s.callURL(t, http.MethodPost, decide, "choice=approve", "Content-Type", formMedia, "Origin", "http://evil.test"), http.StatusForbidden, "cross-site")
	wantProblem(t, s.callURL(t, http.MethodPost, decide+"/failed", "choice=approve", "Content-Type", formMedia), http.StatusNotFound, "unknown-state")
	if st := s.status(t, status); st.Phase != "waiting" || s.partner.Arrived(then) > 0 {
		t.Errorf("%+v", st)
	}
	// A program that is meant to decide can.
	wantStatus(t, s.callURL(t, http.MethodPost, decide, "choice=approve", "Content-Type", formMedia), http.StatusOK)
	s.partner.Received(t, then)
}

// Of two people who decide at once one does, and the other sees what was decided.
func TestTwoPeopleWhoDecideAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.gate(""), Public: "callback_server {\nuser {http.request.header.Remote-User}\n}"})
	for range 5 {
		decide, _, then := s.told(t, `{}`)
		answers := make([]*harness.Response, 2)
		concurrently(2, 2, func(i int) {
			answers[i] = s.decide(t, decide, "choice="+[]string{"approve", "reject"}[i], "Remote-User", []string{"alice", "bob"}[i])
		})
		won := 0
		if answers[1].Status == http.StatusSeeOther {
			won = 1
		}
		wantStatus(t, answers[won], http.StatusSeeOther)
		wantPage(t, answers[1-won], http.StatusConflict, []string{"Approve", "Reject"}[won], "<bdi>"+[]string{"alice", "bob"}[won]+"</bdi>")
		if won == 0 {
			wantHeader(t, s.partner.Received(t, then).Header, "X-By", "alice")
		}
		// A double click is no conflict.
		wantStatus(t, s.decide(t, decide, "choice="+[]string{"approve", "reject"}[won], "Remote-User", []string{"alice", "bob"}[won]), http.StatusSeeOther)
	}
}

// Who decides is who the guard of the site says, and nobody who only says so.
func TestGuardedSiteOwnsTheApprovals(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const hash = "$2a$04$S0GLu8IzF3Qetxj9lOCLbezVX8q8D6rzZ11bD39Fi708ym2Lf5G62"
	guarded := "route {\nbasic_auth {\nalice " + hash + "\n}\ncallback_server {\nnames gate\n}\n}\nrespond 404"
	s.Start(t, harness.Config{
		Private: s.gate("base_url http://guarded.test\nstatus_url " + harness.BaseURL), Sites: s.Site("guarded", guarded),
	})
	decide, status, then := s.told(t, `{}`)
	if !strings.HasPrefix(decide, "http://guarded.test/cb/") {
		t.Fatal(decide)
	}
	public := strings.Replace(decide, "http://guarded.test", harness.BaseURL, 1)
	wantProblem(t, s.callURL(t, http.MethodPost, public, "choice=approve", "Content-Type", formMedia), http.StatusNotFound, "unknown-state")
	wantProblemPage(t, s.browse(t, http.MethodGet, public), http.StatusNotFound)
	wantStatus(t, s.callURL(t, http.MethodHead, public, ""), http.StatusNotFound)
	wantStatus(t, s.browse(t, http.MethodGet, decide), http.StatusUnauthorized)
	const alice = "Basic YWxpY2U6c2VjcmV0"
	wantPage(t, s.browse(t, http.MethodGet, decide, "Authorization", alice), http.StatusOK, "You decide as <bdi>alice</bdi>")
	wantStatus(t, s.decide(t, decide, "choice=approve", "Authorization", alice, "Origin", "http://guarded.test", "X-By", "mallory", "Remote-User", "mallory"), http.StatusSeeOther)
	wantHeader(t, s.partner.Received(t, then).Header, "X-By", "alice")
	wantStatus(t, s.fetch(t, status), http.StatusOK)
}

// What was asked, chosen, and by whom outlives the process.
func TestDecisionOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := harness.Config{Private: s.gate(""), Public: "callback_server {\nuser {http.request.header.Remote-User}\n}"}
	s.Start(t, cfg)
	decide, _, then := s.told(t, `{"amount":7}`)
	s.partner.Handle(then, harness.Ack(http.StatusServiceUnavailable, nil, ""))
	s.Kill(t)
	s.Start(t, cfg)
	wantPage(t, s.browse(t, http.MethodGet, decide), http.StatusOK, `Pay <span class="given"><bdi>7</bdi></span>?`)
	wantStatus(t, s.decide(t, decide, "choice=approve", "Remote-User", "alice"), http.StatusSeeOther)
	wantHeader(t, s.partner.Received(t, then).Header, "X-By", "alice")
	s.Kill(t)
	s.partner.Handle(then, harness.Ack(http.StatusOK, nil, "done"))
	s.Start(t, cfg)
	again := s.partner.Received(t, then)
	wantHeader(t, again.Header, "X-By", "alice")
	wantHeader(t, again.Header, "X-Choice", "approve")
	wantPage(t, s.browse(t, http.MethodGet, decide), http.StatusOK, "Approve", "<bdi>alice</bdi>")
}

func TestNamesThatNoDirectiveHasAreRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	code, output := s.StartFails(t, harness.Config{Private: s.gate(""), Sites: s.Site("guarded", "callback_server {\nnames gaet\n}\nrespond 404")})
	if code == 0 || !strings.Contains(output, "callback_server: names: no directive has the name gaet; did you mean gate?") {
		t.Errorf("%d %s", code, output)
	}
}

func TestHeldClientIsAnsweredByTheChoice(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "redir https://shop.example.com/thanks\nredir_failed https://shop.example.com/no\n" + confirms})
	x := s.post(t, "application/json", `{"amount":"two"}`)
	page := s.browse(t, http.MethodGet, x.url)
	wantPage(t, page, http.StatusOK, ">two<")
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https://shop.example.com;") {
		t.Errorf("the policy is %q", policy)
	}
	sent := s.decide(t, x.url, "choice=approve")
	wantStatus(t, sent, http.StatusSeeOther)
	wantHeader(t, sent.Header, "Location", "https://shop.example.com/thanks")
	wantAnswer(t, x.Answer(t), http.StatusOK, "choice=approve")
	late := s.post(t, "application/json", `{}`)
	wantStatus(t, s.callURL(t, http.MethodPost, late.url, "choice=reject", "Content-Type", formMedia), http.StatusSeeOther)
	wantProblem(t, late.Answer(t), http.StatusFailedDependency, "failed")
	wantPage(t, s.browse(t, http.MethodGet, late.url), http.StatusOK, "Reject")
}
