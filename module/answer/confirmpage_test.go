package answer

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func confirmation() *callback.Confirmation {
	return &callback.Confirmation{
		Question: callback.Question{Title: callback.Text{"Pay ", "<1>"}, Text: callback.Text{"", "a\u202eb", " now"}},
		Choices:  []callback.Choice{{Name: "yes", Label: "Yes & now"}, {Name: "no", Label: "No", Failed: true}}, Until: 1,
	}
}

func TestPageOfADecision(t *testing.T) {
	t.Parallel()
	p := &callback.Policy{BaseURL: "https://app.test", Redirect: &callback.Redirect{URL: "https://shop.test/x"}, Confirm: &callback.Confirm{}}
	if err := p.Compile(); err != nil {
		t.Fatal(err)
	}
	open, decided := confirmation(), confirmation()
	decided.Decided, decided.Choice, decided.By, decided.At = true, decided.Choices[1], "<al>", 2
	unknown := confirmation()
	unknown.Title, unknown.Text, unknown.Decided = nil, nil, true
	for name, test := range map[string]struct {
		verdict callback.Verdict
		user    string
		status  int
		want    []string
		not     string
	}{
		"open": {callback.Verdict{Kind: callback.Shown, Confirmation: open}, "<al>", http.StatusOK, []string{
			`Pay <span class="given"><bdi>&lt;1&gt;</bdi></span>`, "a‹U+202E›b", `value="yes">Yes &amp; now</button>`, `value="no" class="danger"`, "You decide as <bdi>&lt;al&gt;</bdi>",
		}, `role="status"`},
		"decided":  {callback.Verdict{Kind: callback.Shown, Confirmation: decided}, "", http.StatusOK, []string{`<h2 class="bad">No</h2>`, "<bdi>&lt;al&gt;</bdi>"}, "<form"},
		"too late": {callback.Verdict{Kind: callback.Conflict, Confirmation: decided}, "", http.StatusConflict, []string{"before you chose", "No"}, "<form"},
		"by hand":  {callback.Verdict{Kind: callback.Shown, Confirmation: unknown}, "", http.StatusOK, []string{"Please decide", "<h2 class=\"good\">Decided</h2>"}, "<form"},
	} {
		w := httptest.NewRecorder()
		WriteConfirmation(w, httptest.NewRequest(http.MethodGet, "/cb/x", nil), test.verdict, p, test.user)
		if w.Code != test.status || !strings.Contains(w.Header().Get("Content-Security-Policy"), "form-action 'self' https://shop.test;") {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		for _, want := range test.want {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: the page lacks %s:\n%s", name, want, w.Body)
			}
		}
		if strings.Contains(w.Body.String(), test.not) {
			t.Errorf("%s: the page has %s", name, test.not)
		}
	}
}

func TestWhoHasDecidedSeesWhatIsConfigured(t *testing.T) {
	t.Parallel()
	plain := &callback.Reply{Status: http.StatusOK}
	asks := &callback.Policy{Confirm: &callback.Confirm{}}
	for name, test := range map[string]struct {
		verdict callback.Verdict
		policy  *callback.Policy
		want    bool
	}{
		"nothing":        {callback.Verdict{Kind: callback.Accepted, Reply: plain}, asks, true},
		"a repetition":   {callback.Verdict{Kind: callback.Repeated, Reply: plain}, asks, true},
		"no decision":    {callback.Verdict{Kind: callback.Accepted, Reply: plain}, &callback.Policy{}, false},
		"a response":     {callback.Verdict{Kind: callback.Accepted, Reply: plain}, &callback.Policy{Confirm: asks.Confirm, Respond: &callback.Respond{}}, false},
		"what was asked": {callback.Verdict{Kind: callback.Accepted, Reply: &callback.Reply{Status: 200, Body: "thanks"}}, asks, false},
		"a redirect":     {callback.Verdict{Kind: callback.Accepted, Reply: &callback.Reply{Status: 303, Header: callback.Header{{Name: "Location", Value: "/x"}}}}, asks, false},
		"no reply":       {callback.Verdict{Kind: callback.Conflict}, asks, false},
	} {
		if got := ShowsDecided(test.verdict, test.policy); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
