package oauth

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// modes are the ways in which the provider answers, and the method of the call that
// each comes to.
var modes = map[string]string{"query": http.MethodGet, "form_post": http.MethodPost}

// inEachMode runs a test once for every way in which the provider answers.
func inEachMode(t *testing.T, test func(t *testing.T, s *stage, mode string)) {
	t.Helper()
	s := start(t)
	for mode := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			test(t, s, mode)
		})
	}
}

// begin opens the app's way in, which ends at the provider's login page.
func (s *stage) begin(t *testing.T, b *browser, mode string) *signIn {
	t.Helper()
	b.open(t, harness.BaseURL+"/sign-in?mode="+mode)
	if b.page.form == nil || strings.HasPrefix(b.page.url.String(), harness.BaseURL) {
		t.Fatalf("the way in ends at %s: %d %s", b.page.url, b.page.status, b.page.text)
	}
	return s.app.signInOf(b)
}

// decide fills the provider's login page in.
func decide(t *testing.T, b *browser, user, decision string) {
	t.Helper()
	b.submit(t, map[string]string{"username": user, "password": password, "decision": decision})
}

// wantPage checks where the browser has arrived, and what it shows.
func wantPage(t *testing.T, b *browser, status int, text string) {
	t.Helper()
	if got, want := b.page.url.String(), harness.BaseURL+signedIn; got != want {
		t.Errorf("the browser is at %s, want %s", got, want)
	}
	if b.page.status != status || !strings.Contains(b.page.text, text) {
		t.Errorf("the page is %d %q, want %d %q", b.page.status, b.page.text, status, text)
	}
}

// known returns what the API tells of a sign-in's callback, but for its history, which also has
// the calls that change nothing.
func (s *stage) known(t *testing.T, in *signIn) string {
	t.Helper()
	answer, err := s.api.read(t.Context(), in.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(answer, &members); err != nil {
		t.Fatal(err)
	}
	delete(members, "history")
	if answer, err = json.Marshal(members); err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestAppReadsTheCodeFromItsCallback(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, s *stage, mode string) {
		b := newBrowser(t, s)
		in := s.begin(t, b, mode)
		decide(t, b, alice, "allow")
		wantPage(t, b, http.StatusOK, "Signed in as "+aliceName+".")

		if want := harness.BaseURL + "/cbq/state"; in.RedirectURI != want {
			t.Errorf("redirectUri is %s, want %s, as it is registered", in.RedirectURI, want)
		}
		if told := strings.ToUpper(in.told().LatestCall.Method); b.called.method != modes[mode] || told != modes[mode] {
			t.Errorf("the browser called with %s and the app is told of %s, want %s",
				b.called.method, told, modes[mode])
		}
		if phase := in.told().Phase; phase != "resolved" {
			t.Errorf("the phase is %s", phase)
		}
		if known := s.known(t, in); strings.Contains(known, in.State) {
			t.Errorf("what the API tells of the call has the state in it: %s", known)
		}
	})
}

func TestStateIsOnlyWhereTheModePutsIt(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, s *stage, mode string) {
		b := newBrowser(t, s)
		in := s.begin(t, b, mode)
		decide(t, b, alice, "allow")
		inQuery, inBody := strings.Contains(b.called.url, in.State), strings.Contains(string(b.called.body), in.State)
		if form := mode == "form_post"; inQuery == form || inBody != form {
			t.Errorf("with %s the state is in the query: %v, in the body: %v", mode, inQuery, inBody)
		}
	})
}

func TestBackButtonRedirectsAgainAndChangesNothing(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, s *stage, mode string) {
		b := newBrowser(t, s)
		in := s.begin(t, b, mode)
		decide(t, b, alice, "allow")
		before := s.known(t, in)
		for range 2 {
			wantRedirect(t, b.again(t, s), b.called.method)
		}
		if after := s.known(t, in); after != before {
			t.Errorf("the callback was\n%s and is\n%s", before, after)
		}
		b.open(t, harness.BaseURL+signedIn)
		wantPage(t, b, http.StatusOK, "Signed in as "+aliceName+".")
	})
}

// wantRedirect checks that whoever calls is sent to the app's page.
func wantRedirect(t *testing.T, got *harness.Response, method string) {
	t.Helper()
	status := http.StatusSeeOther
	if method == http.MethodGet {
		status = http.StatusFound
	}
	if got.Status != status || got.Header.Get("Location") != harness.BaseURL+signedIn {
		t.Errorf("the reply is %d to %q, want %d to %s", got.Status, got.Header.Get("Location"), status, harness.BaseURL+signedIn)
	}
}

func TestAnotherCodeAfterTheFirstChangesNothing(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, s *stage, mode string) {
		b := newBrowser(t, s)
		in := s.begin(t, b, mode)
		decide(t, b, alice, "allow")
		before := s.known(t, in)
		client := s.Client(t, harness.HTTP1)
		forged := url.Values{"state": {in.State}, "code": {"of-somebody-else"}}.Encode()

		got := harness.Do(t, client, harness.NewRequest(t, http.MethodGet, in.RedirectURI+"?"+forged, "", ""))
		if mode == "query" {
			wantRedirect(t, got, http.MethodGet)
		} else if got.Status != http.StatusConflict {
			t.Errorf("a GET after the form is answered with %d", got.Status)
		}
		got = harness.Do(t, client, harness.NewRequest(t, http.MethodPost, in.RedirectURI, "application/x-www-form-urlencoded", forged))
		// A form is posted by a browser: its person is sent on, and nothing changes.
		if got.Status != http.StatusSeeOther {
			t.Errorf("another form is answered with %d", got.Status)
		}
		if after := s.known(t, in); after != before {
			t.Errorf("the callback was\n%s and is\n%s", before, after)
		}
	})
}

func TestDenialReachesTheApp(t *testing.T) {
	t.Parallel()
	// Providers send an error in the query, also where a form was asked for.
	inEachMode(t, func(t *testing.T, s *stage, mode string) {
		b := newBrowser(t, s)
		in := s.begin(t, b, mode)
		decide(t, b, alice, "deny")
		wantPage(t, b, http.StatusForbidden, "the provider says access_denied: The user does not want to.")
		if query := in.told().LatestCall.Query; b.called.method != http.MethodGet || string(query["error"]) != `"access_denied"` {
			t.Errorf("the call is %s with %s", b.called.method, query)
		}
	})
}

func TestUsersWhoSignInAtOnceGetTheirOwnCode(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, s *stage, mode string) {
		a, b := newBrowser(t, s), newBrowser(t, s)
		first, second := s.begin(t, a, mode), s.begin(t, b, mode)
		if first.RedirectURI != second.RedirectURI || first.State == second.State {
			t.Errorf("redirect URIs %s and %s should be one, the states two", first.RedirectURI, second.RedirectURI)
		}
		decide(t, b, bob, "allow")
		wantPage(t, b, http.StatusOK, "Signed in as "+bobName+".")
		decide(t, a, alice, "allow")
		wantPage(t, a, http.StatusOK, "Signed in as "+aliceName+".")
	})
}

func TestCallbackOfAnotherBrowserSignsNobodyIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	attacker, victim := newBrowser(t, s), newBrowser(t, s)
	s.begin(t, attacker, "query")
	attacker.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), harness.BaseURL) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	decide(t, attacker, bob, "allow")
	victim.open(t, attacker.page.location)
	wantPage(t, victim, http.StatusForbidden, "Nobody has begun to sign in here.")
}

func TestUnknownStateIsNotFound(t *testing.T) {
	t.Parallel()
	s := start(t)
	waiting, err := s.api.create(t.Context(), "state")
	if err != nil {
		t.Fatal(err)
	}
	const unknown = "code=c&state=7a1f2f0e-4f0b-4c4e-9a51-0c8f3a6f9a10"
	known := "code=c&state=" + waiting.State
	const form = "application/x-www-form-urlencoded"
	for name, req := range map[string]*http.Request{
		"in the query":         harness.NewRequest(t, http.MethodGet, waiting.RedirectURI+"?"+unknown, "", ""),
		"in a form":            harness.NewRequest(t, http.MethodPost, waiting.RedirectURI, form, unknown),
		"missing in the query": harness.NewRequest(t, http.MethodGet, waiting.RedirectURI+"?code=c", "", ""),
		"missing in a form":    harness.NewRequest(t, http.MethodPost, waiting.RedirectURI, form, "code=c"),
		"twice, different":     harness.NewRequest(t, http.MethodPost, waiting.RedirectURI, form, known+"&state=7a1f2f0e-4f0b-4c4e-9a51-0c8f3a6f9a10"),
		"in a body of no form": harness.NewRequest(t, http.MethodPost, waiting.RedirectURI, "text/plain", known),
		"of another parameter": harness.NewRequest(t, http.MethodGet, harness.BaseURL+"/cbq/RelayState?RelayState="+waiting.State, "", ""),
		"in the path":          harness.NewRequest(t, http.MethodGet, harness.BaseURL+"/cb/"+waiting.State, "", ""),
	} {
		if got := harness.Do(t, s.Client(t, harness.HTTP1), req); got.Status != http.StatusNotFound {
			t.Errorf("a state %s is answered with %d %s", name, got.Status, got.Body)
		}
	}
	if told, err := s.api.read(t.Context(), waiting.ID, ""); err != nil || !strings.Contains(string(told), `"waiting"`) {
		t.Errorf("the callback does not wait any more: %v %s", err, told)
	}
}
