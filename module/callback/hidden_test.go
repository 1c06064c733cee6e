package callback_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/linear"
)

func TestSecretsAreTakenOutOfACall(t *testing.T) {
	t.Parallel()
	const state, key = "6f1d4f3e-0a52-4a3b-9a0e-2f4c1d6b7a80", "a key of an operator"
	for name, c := range map[string]struct {
		header, query string
		gone          bool
	}{
		"the URL":                 {"https://app.example.com/cb/" + state, "", true},
		"the state alone":         {state, "", true},
		"in capitals":             {strings.ToUpper(state), "", true},
		"escaped":                 {"https%3A%2F%2Fapp%2Fcb%2F" + strings.ReplaceAll(state, "-", "%2D"), "", true},
		"escaped twice":           {strings.ReplaceAll(state, "-", "%252D"), "", true},
		"escaped four times":      {strings.ReplaceAll(state, "-", "%2525252D"), "", true},
		"after what is no escape": {"100% of " + strings.ReplaceAll(state, "-", "%2D"), "", true},
		"before an end of one":    {strings.ReplaceAll(state, "-", "%2d") + "%2", "", true},
		"with its escapes in two": {strings.ReplaceAll(state, "-", "%25%32%44"), "", true},
		"the key":                 {"Bearer " + key, "", true},
		"the key as a form":       {"api_key=" + strings.ReplaceAll(key, " ", "+"), "", true},
		"another state":           {strings.Replace(state, "6", "7", 1), "", false},
		"a part of it":            {state[:35], "", false},
		"nothing":                 {"value", "", false},
		"a parameter":             {"value", "back=https://app.example.com/cb/" + state, true},
		"an escaped parameter":    {"value", "back=https%3A%2F%2Fapp%2Fcb%2F" + strings.ReplaceAll(state, "-", "%2D"), true},
		"the name of a parameter": {"value", state + "=1", true},
	} {
		call := newCall(http.MethodPost, "body", "X-Repeats", c.header, "X-Other", "stays")
		call.Query = strings.Trim(c.query+"&other=stays", "&")
		call.Hide(state, key, "short")
		if got := call.Header.Get("X-Repeats") == "" || !strings.HasPrefix(call.Query, c.query) || c.query == "" && call.Query != "other=stays"; got != c.gone {
			t.Errorf("%s: left are %v and %s", name, call.Header, call.Query)
		}
		if call.Header.Get("X-Other") != "stays" || !strings.HasSuffix(call.Query, "other=stays") {
			t.Errorf("%s: too much is gone: %v, %s", name, call.Header, call.Query)
		}
	}
}

// told returns the text of a failure that a call with these secrets tells.
func told(t *testing.T, text string, secrets ...string) string {
	t.Helper()
	p := compiled(t, callback.Policy{
		Failed:    []callback.Match{{Location: inject.Location{In: inject.Header, Name: "X-Problem"}}},
		ErrorText: &inject.Location{In: inject.Header, Name: "X-Problem"},
	})
	c := newCall(http.MethodPost, "body", "X-Problem", text)
	c.Hide(secrets...)
	v := receive(waiting(p), p, c, born)
	if v.Next == nil || v.Next.Failure == nil {
		t.Fatalf("%+v", v)
	}
	return v.Next.Failure.ErrorText
}

func TestNoPartOfASecretIsTold(t *testing.T) {
	t.Parallel()
	const state = "6f1d4f3e-0a52-4a3b-9a0e-2f4c1d6b7a80"
	shrinks, grows := "\u212a", "\u023a"
	for name, c := range map[string]struct{ text, want string }{
		"as it stands":                {"at " + state + ", " + strings.ToUpper(state), "at ***, ***"},
		"among letters that shrink":   {strings.Repeat(shrinks, 9) + state + strings.Repeat(grows, 18), strings.Repeat(shrinks, 9) + "***" + strings.Repeat(grows, 18)},
		"among letters that grow":     {strings.Repeat(grows, 18) + state + strings.Repeat(shrinks, 9), strings.Repeat(grows, 18) + "***" + strings.Repeat(shrinks, 9)},
		"split by a tab":              {state[:10] + "\t" + state[10:], "***"},
		"split by a mark":             {state[:10] + "\u200e" + state[10:], "***"},
		"beside what is not UTF-8":    {"\xe4" + state, "\uFFFD***"},
		"escaped beside a percentage": {"100% " + strings.ReplaceAll(state, "-", "%2D"), ""},
		"over and over":               {strings.Repeat(state, 3000), strings.Repeat("***", 341) + "*"},
	} {
		if got := told(t, c.text, state); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	long := strings.Repeat("0", 64<<10-3*20) + strings.Repeat("a", 20)
	if got := told(t, long+state, long, state); strings.Contains(got, state[:20]) {
		t.Errorf("the beginning of a secret is told: %q", got)
	}
}

func TestTextsFullOfSecretsCostWhatTheirLengthCosts(t *testing.T) {
	const state = "6f1d4f3e-0a52-4a3b-9a0e-2f4c1d6b7a80"
	at := inject.Location{In: inject.JSON, Name: "error"}
	p := compiled(t, callback.Policy{Failed: []callback.Match{{Location: at}}, ErrorText: &at})
	linear.Check(t, 500, func(n int) func() {
		body := `{"error":"` + strings.Repeat(state, n) + `"}`
		return func() {
			c := newCall(http.MethodPost, body, "Content-Type", "application/json")
			c.Hide(state)
			receive(waiting(p), p, c, born)
		}
	})
}

func TestEscapesCostWhatTheirLengthCosts(t *testing.T) {
	const state = "6f1d4f3e-0a52-4a3b-9a0e-2f4c1d6b7a80"
	linear.Check(t, 2000, func(n int) func() {
		c := newCall(http.MethodPost, "body", "X-Repeats", "%"+strings.Repeat("25", n))
		return func() { c.Hide(state) }
	})
}

// What is taken out of a call is not taken for absent: a failure would become a success.
func TestCallIsJudgedWithItsSecrets(t *testing.T) {
	t.Parallel()
	const state = "6f1d4f3e-0a52-4a3b-9a0e-2f4c1d6b7a80"
	at := inject.Location{In: inject.Header, Name: "X-Problem"}
	p := compiled(t, callback.Policy{Failed: []callback.Match{{Location: at}}, ErrorText: &at})
	c := newCall(http.MethodPost, "body", "X-Problem", "cannot reach https://app.example.com/cb/"+state+"!")
	c.Hide(state)
	v := receive(waiting(p), p, c, born)
	if v.Kind != callback.Accepted || v.Next.Phase != callback.Failed {
		t.Fatalf("%+v", v)
	}
	if text := v.Next.Failure.ErrorText; text != "cannot reach https://app.example.com/cb/***!" || v.Next.Call.Header.Get("X-Problem") != "" {
		t.Errorf("the text is %q, the call %v", text, v.Next.Call.Header)
	}
	status := newCall(http.MethodPost, "body", "X-Link-Status", "Failed "+state)
	status.Hide(state)
	if v := receive(waiting(p), p, status, born); v.Kind != callback.Refused {
		t.Errorf("a status that is neither Ok nor Failed: %+v", v)
	}
	named := newCall(http.MethodPost, "body", "Webhook-Id", state+".1")
	named.Hide(state)
	multiple := compiled(t, callback.Policy{Multiple: true})
	first := receive(waiting(multiple), multiple, named, born)
	if v := receive(first.Next, multiple, named, born); v.Kind != callback.Repeated {
		t.Errorf("the same name again: %+v", v)
	}
}
