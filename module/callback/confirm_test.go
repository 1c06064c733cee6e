package callback_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func confirmPolicy() callback.Policy {
	return callback.Policy{BaseURL: base, Confirm: &callback.Confirm{
		Title: "Pay?", Choices: []callback.Choice{{Name: "approve", Label: "Approve"}, {Name: "reject", Label: "Reject", Failed: true}},
	}}
}

// choice is a call of a person who decides.
func choice(body, by string) *callback.Call {
	c := &callback.Call{
		Method: http.MethodPost, Body: callback.NewBody([]byte(body)), ReceivedAt: 5, Person: true,
		Header: callback.Header{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}},
	}
	c.MadeBy(by)
	return c
}

func looking(person bool) *callback.Call {
	return &callback.Call{Method: http.MethodGet, Person: person}
}

func nothing(string) string { return "" }

func TestPersonDecidesOnce(t *testing.T) {
	t.Parallel()
	p := compiled(t, confirmPolicy())
	waiting := callback.Record{Phase: callback.Waiting, ExpiresAt: 100, Policy: p.Hash(), Confirm: true}
	if v := waiting.Receive(p, looking(true), nothing, 1); v.Kind != callback.Shown || v.Next != nil || v.Confirmation.Decided || v.Confirmation.Title.String() != "Pay?" || len(v.Confirmation.Choices) != 2 {
		t.Errorf("who looks sees %+v, %+v", v, v.Confirmation)
	}
	for name, test := range map[string]struct {
		call  *callback.Call
		phase callback.Phase
	}{
		"approve":  {choice("choice=approve", "alice"), callback.Resolved},
		"reject":   {choice("choice=reject", "bob"), callback.Failed},
		"one more": {choice("x=1&choice=approve", ""), callback.Resolved},
	} {
		v := waiting.Receive(p, test.call, nothing, 5)
		if v.Kind != callback.Accepted || v.Next.Phase != test.phase || v.Next.Call.By != test.call.By || v.Next.Call.Choice == "" {
			t.Errorf("%s: %+v", name, v)
			continue
		}
		if test.phase == callback.Failed && (v.Next.Failure.ErrorCode != "reject" || v.Next.Failure.ErrorText != "Reject") {
			t.Errorf("%s: %+v", name, v.Next.Failure)
		}
		history := v.Next.Happenings(nil)
		if !slices.ContainsFunc(history, func(h callback.Happening) bool {
			return h.Kind == callback.HappenedDecided && h.Reason == v.Next.Call.Choice && h.By == test.call.By
		}) {
			t.Errorf("%s: the history is %+v", name, history)
		}
	}
}

func TestNothingElseDecides(t *testing.T) {
	t.Parallel()
	p := compiled(t, confirmPolicy())
	waiting := callback.Record{Phase: callback.Waiting, ExpiresAt: 100, Policy: p.Hash()}
	elsewhere := choice("choice=approve", "")
	elsewhere.Elsewhere = true
	said := choice("", "")
	said.Header = append(said.Header, callback.Field{Name: "X-Link-Status", Value: "Ok"}, callback.Field{Name: "Choice", Value: "approve"})
	for name, test := range map[string]struct {
		call *callback.Call
		kind callback.Kind
		slug string
	}{
		"program that looks":    {looking(false), callback.WrongMethod, ""},
		"PUT":                   {&callback.Call{Method: http.MethodPut, Body: callback.NewBody([]byte("choice=approve"))}, callback.WrongMethod, ""},
		"no choice":             {choice("", ""), callback.Refused, "no-choice"},
		"choice that is none":   {choice("choice=delete", ""), callback.Refused, "no-choice"},
		"two choices":           {choice("choice=approve&choice=reject", ""), callback.Refused, "no-choice"},
		"header":                {said, callback.Refused, "no-choice"},
		"page of another site":  {elsewhere, callback.Refused, "cross-site"},
		"JSON":                  {&callback.Call{Method: http.MethodPost, Body: callback.NewBody([]byte(`{"choice":"approve"}`))}, callback.Refused, "no-choice"},
		"choice in the query":   {&callback.Call{Method: http.MethodPost, Query: "choice=approve"}, callback.Refused, "no-choice"},
		"choice of other cases": {choice("choice=Approve", ""), callback.Refused, "no-choice"},
	} {
		if v := waiting.Receive(p, test.call, nothing, 5); v.Kind != test.kind || v.Fault.Slug != test.slug || v.Next != nil {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestWhoComesSecondSeesWhatWasDecided(t *testing.T) {
	t.Parallel()
	policy := confirmPolicy()
	policy.Then = true
	p := compiled(t, policy)
	waiting := callback.Record{Phase: callback.Waiting, ExpiresAt: 100, Policy: p.Hash()}
	decided := waiting.Receive(p, choice("choice=approve", "alice"), nothing, 5).Next
	if decided.Phase != callback.Waiting || decided.Job == nil {
		t.Fatalf("%+v", decided)
	}
	for name, test := range map[string]struct {
		call  *callback.Call
		kind  callback.Kind
		shown bool
	}{
		"double click":             {choice("choice=approve", "alice"), callback.Repeated, false},
		"another with the same":    {choice("choice=approve", "bob"), callback.Conflict, true},
		"another with another":     {choice("choice=reject", "bob"), callback.Conflict, true},
		"the same with another":    {choice("choice=reject", "alice"), callback.Conflict, true},
		"somebody who looks":       {looking(true), callback.Shown, true},
		"a program that looks":     {looking(false), callback.WrongMethod, false},
		"a program with the same":  {&callback.Call{Method: http.MethodPost, Header: decided.Call.Header, Body: decided.Call.Body}, callback.Repeated, false},
		"nothing chosen, too late": {choice("", "bob"), callback.Conflict, true},
	} {
		v := decided.Receive(p, test.call, nothing, 6)
		if v.Kind != test.kind || (v.Confirmation != nil) != test.shown || v.Next != nil {
			t.Errorf("%s: %+v", name, v)
		}
		if c := v.Confirmation; test.shown && (!c.Decided || c.Choice.Label != "Approve" || c.By != "alice" || c.At != 5) {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestWhoComesTooLateDecidesNothing(t *testing.T) {
	t.Parallel()
	policy := confirmPolicy()
	plain := compiled(t, policy)
	policy.Redirect, policy.RedirectLate = &callback.Redirect{URL: "/done"}, &callback.Redirect{URL: "/late"}
	sent := compiled(t, policy)
	waiting := callback.Record{Phase: callback.Waiting, ExpiresAt: 100}
	closed := callback.Record{Phase: callback.Closed, ExpiresAt: 100}
	for name, r := range map[string]callback.Record{"expired": waiting, "closed": closed} {
		for _, c := range []*callback.Call{looking(true), choice("choice=approve", "")} {
			if v := r.Receive(plain, c, nothing, 200); v.Kind != callback.Gone {
				t.Errorf("%s, %s: %+v", name, c.Method, v)
			}
		}
	}
	if v := closed.Receive(sent, looking(true), nothing, 200); v.Kind != callback.Returned || !strings.HasSuffix(v.Reply.Header.Get("Location"), "/late") {
		t.Errorf("%+v", v)
	}
	alone := waiting
	alone.Attended = true
	left := looking(true)
	left.Unattended = true
	if v := alone.Receive(plain, left, nothing, 5); v.Kind != callback.Gone || !v.Closed {
		t.Errorf("%+v", v)
	}
	alone.Fingerprint = callback.Digest{1}
	if v := alone.Receive(plain, left, nothing, 5); v.Kind != callback.Unattended {
		t.Errorf("%+v", v)
	}
}

// Browsers do not follow an answer to a form to where the page does not say.
func TestPolicySaysWhereDecidersAreSent(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]callback.Policy{
		"":                              {BaseURL: base},
		"https://shop.test":             {BaseURL: base, Redirect: &callback.Redirect{URL: "https://shop.test/a?b={http.callback.id}"}},
		"myapp: https://shop.test:8443": {BaseURL: base, Redirect: &callback.Redirect{URL: "myapp://done"}, RedirectFailed: &callback.Redirect{URL: "https://shop.test:8443/x"}},
		"https://status.test":           {BaseURL: base, StatusURL: "https://status.test/deep", Redirect: &callback.Redirect{URL: callback.ToPage}},
		"https: http:":                  {BaseURL: base, Ask: "/a"},
	} {
		if got := strings.Join(compiled(t, p).Leads(), " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTextIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	text := callback.Text{"Pay ", "1ä", "?"}
	if got := text.Cut(6); got.String() != "Pay 1…" || len(got.Spans()) != 2 || !got.Spans()[1].Given {
		t.Errorf("%q", got)
	}
	if got := text.Cut(100); got.String() != "Pay 1ä?" || len(callback.Text{"", "x", ""}.Spans()) != 1 {
		t.Errorf("%q", got)
	}
}
