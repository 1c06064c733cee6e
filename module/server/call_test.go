package server

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/app/apptest"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

const formType = "application/x-www-form-urlencoded"

const partsType = "multipart/form-data; boundary=B"

// parts returns a multipart form with these names and values.
func parts(fields ...string) string {
	var b strings.Builder
	for i := 0; i < len(fields); i += 2 {
		b.WriteString("--B\r\nContent-Disposition: form-data; name=\"" + fields[i] + "\"\r\n\r\n" + fields[i+1] + "\r\n")
	}
	return b.String() + "--B--\r\n"
}

func TestStateIsTakenOutOfQueryOrForm(t *testing.T) {
	const state, other = "state=" + secretText, "state=00000000-0000-4000-8000-000000000000"
	s := &Server{app: &app.App{MaxBodySize: 1000}}
	for name, c := range map[string]struct {
		query, contentType, body string
		found                    bool
		leftQuery, leftBody      string
	}{
		"query":                     {"a=1&" + state + "&b=2", "", "body", true, "a=1&b=2", "body"},
		"query alone":               {state, "", "", true, "", ""},
		"form":                      {"a=1", formType, "b=2&" + state, true, "a=1", "b=2"},
		"form with a mark":          {"", formType, "\ufeff" + state + "&b=2", true, "", "b=2"},
		"form with a mark before b": {"", formType, "\ufeffb=2&" + state, true, "", "b=2"},
		"query, form with a mark":   {state, formType, "\ufeffb=2", true, "", "\ufeffb=2"},
		"form with a mark within":   {"", formType, "b=2&\ufeff" + state, false, "", ""},
		"form with a charset":       {"", formType + "; charset=utf-8", state, true, "", ""},
		"query with a form beside":  {state, formType, "b=2&c=3", true, "", "b=2&c=3"},
		"parts":                     {"a=1", partsType, parts("b", "2", "state", secretText, "c", ""), true, "a=1", parts("b", "2", "c", "")},
		"parts, several times":      {"", partsType, parts("state", secretText, "b", "2", "state", secretText), true, "", parts("b", "2")},
		"parts, nothing else":       {"", partsType, parts("state", secretText), true, "", parts()},
		"query and parts":           {state, partsType, parts("state", secretText), true, "", parts()},
		"query with parts beside":   {state, partsType, parts("b", "2"), true, "", parts("b", "2")},
		"different in the parts":    {other, partsType, parts("state", secretText), false, "", ""},
		"parts, and different":      {"", partsType, parts("state", secretText, "state", "x"), false, "", ""},
		"parts without it":          {"", partsType, parts("b", "2"), false, "", ""},
		"parts that are cut":        {"", partsType, parts("state", secretText)[:90], false, "", ""},
		"query, and parts cut":      {state, partsType, parts("b", "2")[:40], true, "", parts("b", "2")[:40]},
		"query, and in parts cut":   {state, partsType, parts("state", secretText)[:90], false, "", ""},
		"query, another case in it": {state, partsType, parts("State", "CA"), true, "", parts("State", "CA")},
		"parts, another case":       {"", partsType, parts("State", secretText), false, "", ""},
		"parts, a query appended":   {"", partsType, parts("state", secretText+"?a=1", "b", "2"), true, "", parts("b", "2")},
		"parts, no state":           {"", partsType, parts("state", strings.Repeat("x", 200)), false, "", ""},
		"parts, a file":             {"", partsType, strings.Replace(parts("state", secretText), `"state"`, `"state"; filename="a"`, 1), false, "", ""},
		"escaped name":              {"st%61te=" + secretText, "", "", true, "", ""},
		"missing":                   {"a=1", formType, "b=2", false, "", ""},
		"no form":                   {"", "text/plain", state, false, "", ""},
		"JSON":                      {"", "application/json", `{"state":"` + secretText + `"}`, false, "", ""},
		"both":                      {"a=1&" + state, formType, state + "&b=2", true, "a=1", "b=2"},
		"both, several times":       {state + "&a=1&" + state, formType, state + "&" + state, true, "a=1", ""},
		"both, and different":       {other, formType, state, false, "", ""},
		"both, one of them empty":   {"state=", formType, state, false, "", ""},
		"twice in the query":        {state + "&" + state, "", "", true, "", ""},
		"twice in the form":         {"", formType, state + "&" + state, true, "", ""},
		"twice, and different":      {state + "&" + other, "", "", false, "", ""},
		"different in the form":     {"", formType, state + "&" + other, false, "", ""},
		"twice, one of them broken": {state + "&state=x", "", "", false, "", ""},
		"a query was appended":      {state + "?a=1&b=2", "", "", true, "a=1&b=2", ""},
		"the same, escaped":         {state + "%3Fa%3D1&b=2", "", "", true, "a=1&b=2", ""},
		"the same, in a form":       {"", formType, state + "?a=1", true, "", "a=1"},
		"the state was appended":    {state + "?" + state, "", "", true, "", ""},
		"another was appended":      {state + "?" + other, "", "", false, "", ""},
		"empty":                     {"state=", "", "", false, "", ""},
		"no value":                  {"state", "", "", false, "", ""},
		"upper case":                {"state=" + strings.ToUpper(secretText), "", "", false, "", ""},
		"another case of the name":  {"State=" + secretText, "", "", false, "", ""},
		"space around":              {"state=+" + secretText, "", "", false, "", ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/cbq/state", strings.NewReader(c.body))
		r.URL.RawQuery = c.query
		r.Header.Set("Content-Type", c.contentType)
		in, err := readCall(t, s, r)
		if (err == nil) != c.found || err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		in.Lease.Release()
		if in.State.String() != secretText || in.Call.Query != c.leftQuery || string(in.Call.Body.Data) != c.leftBody {
			t.Errorf("%s: state %s, query %q and body %q", name, in.State, in.Call.Query, in.Call.Body.Data)
		}
		if in.Call.Body.Size != int64(len(c.leftBody)) {
			t.Errorf("%s: body has a size of %d", name, in.Call.Body.Size)
		}
	}
}

// readCall reads a call as the server does, but does not look for the callback before it
// reads the body.
func readCall(t *testing.T, s *Server, r *http.Request) (engine.Incoming, error) {
	t.Helper()
	keys, query := s.app.KeysOf(r)
	in, err := newIncoming(r, callback.ParsePath(r.URL.EscapedPath()), keys, query, time.Now())
	if err != nil {
		return in, err
	}
	return in, s.readBody(httptest.NewRecorder(), r, apptest.NewEngine(t), memory.Nobody, &in, signed{})
}

func TestWhatNobodyAskedForIsNoCall(t *testing.T) {
	for _, c := range []struct {
		method, name, value string
		counts              bool
	}{
		{"GET", "", "", true},
		{"POST", "", "", true},
		{"PUT", "", "", true},
		{"PATCH", "", "", true},
		{"DELETE", "", "", true},
		{"HEAD", "", "", false},
		{"OPTIONS", "", "", false},
		{"TRACE", "", "", false},
		{"PROPFIND", "", "", false},
		{"post", "", "", false},
		{"GET", "Sec-Purpose", "prefetch", false},
		{"GET", "Sec-Purpose", "prefetch;prerender", false},
		{"GET", "Sec-Purpose", "Prefetch;anonymous-client-ip", false},
		{"GET", "Purpose", "prefetch", false},
		{"GET", "X-Purpose", "preview", false},
		{"GET", "X-Moz", "prefetch", false},
		{"POST", "Sec-Purpose", "prerender", false},
		{"GET", "Sec-Purpose", "", true},
		{"GET", "Purpose", "payment", true},
		{"GET", "X-Other", "prefetch", true},
	} {
		r := httptest.NewRequest(c.method, "/", nil)
		if c.name != "" {
			r.Header.Set(c.name, c.value)
		}
		if got := countsAsCall(r); got != c.counts {
			t.Errorf("%s with %s: %s counts: %v", c.method, c.name, c.value, got)
		}
	}
}

func TestCallIsReadWholeAndWithoutItsSecrets(t *testing.T) {
	s := &Server{app: &app.App{MaxBodySize: 10}}
	r := httptest.NewRequest(http.MethodPost, "/cbq/state?a=1&state="+secretText, strings.NewReader("0123456789"))
	r.Header.Set("Authorization", "Bearer secret")
	r.Header.Set("X-Order", "17")
	in, err := readCall(t, s, r)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Lease.Release()
	if in.State.String() != secretText || in.Parameter != "state" || in.Call.Query != "a=1" || string(in.Call.Body.Data) != "0123456789" {
		t.Errorf("got %+v with %+v", in, in.Call)
	}
	if got := in.Call.Header; len(got) != 1 || got.Get("X-Order") != "17" {
		t.Errorf("header is %v", got)
	}
}

func TestCallThatCannotBeReadIsRefused(t *testing.T) {
	s := &Server{app: &app.App{MaxBodySize: 10}}
	for name, c := range map[string]struct {
		path, body string
		header     int
		want       error
	}{
		"large body":   {"/cb/" + secretText, "01234567890", 0, engine.ErrTooLarge},
		"large header": {"/cb/" + secretText, "", 64 << 10, callback.ErrCallHeader},
		"large query":  {"/cb/" + secretText + "?" + strings.Repeat("a", 64<<10+1), "", 0, callback.ErrCallHeader},
		"no state":     {"/cbq/state?stat=" + secretText, "a", 0, store.ErrNotFound},
	} {
		r := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(c.body))
		r.Header.Set("X-Large", strings.Repeat("a", c.header))
		_, err := readCall(t, s, r)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func FuzzState(f *testing.F) {
	const state = "2d3cd3d3-9e6c-40c0-819f-8c49540f6b83"
	for _, text := range []string{"state=" + state, "state=" + state + "&state=" + state, "a=1&%73tate=" + state, "state=", "&&=;", "state=" + state + "&a=%zz", "state=" + state + "?state=" + state + "&a=1?b"} {
		f.Add(text, "state")
	}
	f.Fuzz(func(t *testing.T, text, parameter string) {
		in := &engine.Incoming{Parameter: parameter, Call: &callback.Call{Body: callback.NewBody([]byte(text))}}
		if !takeFormState(in) || parameter == "" {
			return
		}
		rest := string(in.Call.Body.Data)
		if in.State.IsZero() || len(inject.GetQuery(rest, parameter)) != 0 {
			t.Errorf("%q without the state %s is %q", text, in.State, rest)
		}
	})
}
