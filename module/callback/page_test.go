package callback_test

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

func TestProgressIsABarWhereItIsANumber(t *testing.T) {
	t.Parallel()
	number := func(text string, value float64, most float64) callback.ShownProgress {
		return callback.ShownProgress{Text: text, IsNumber: true, Value: value, Most: most}
	}
	for body, want := range map[string][]callback.ShownProgress{
		`{"a":42}`:            {number("42", 42, 100)},
		`{"a":" 42.5 % "}`:    {number("42.5 %", 42.5, 100)},
		`{"a":1e9}`:           {number("1e9", 100, 100)},
		`{"a":-1}`:            {{Text: "-1", Most: 100}},
		`{"a":"NaN"}`:         {{Text: "NaN", Most: 100}},
		`{"a":"1e999"}`:       {{Text: "1e999", Most: 100}},
		`{"a":"half"}`:        {{Text: "half", Most: 100}},
		`{"a":"\u202ex\n"}`:   {{Text: "x", Most: 100}},
		`{"a":""}`:            nil,
		`{"a":"  "}`:          nil,
		`{}`:                  nil,
		`no JSON`:             nil,
		`{"a":1,"b":0.25}`:    {number("1", 1, 100), number("0.25", 0.25, 1)},
		`{"b":"0.5","a":"x"}`: {{Text: "x", Most: 100}, number("0.5", 0.5, 1)},
	} {
		p := callback.Page{Progress: []callback.PageProgress{{Location: inject.Location{In: inject.JSON, Name: "a"}}, {Location: inject.Location{In: inject.JSON, Name: "b"}, Most: 1}}}
		c := &callback.Call{Method: http.MethodPost, Body: callback.NewBody([]byte(body))}
		if got := p.Shown(c); !slices.Equal(got, want) {
			t.Errorf("%s: %+v", body, got)
		}
	}
	if got := number("", 1, 3).Percent(); got != 33 {
		t.Error(got)
	}
}

func TestPageThatCannotBeKeptIsRefused(t *testing.T) {
	t.Parallel()
	at := inject.Location{In: inject.JSON, Name: "a"}
	for want, p := range map[string]*callback.Page{
		"":                      nil,
		"progress: head":        {Progress: []callback.PageProgress{{Location: inject.Location{In: inject.Header, Name: "Authorization"}}}},
		"progress: the":         {Progress: []callback.PageProgress{{Location: at, Most: math.Inf(1)}}},
		"progress: there are 9": {Progress: slices.Repeat([]callback.PageProgress{{Location: at}}, 9)},
		"the templates":         {Templates: slices.Repeat([]callback.PageTemplate{{Text: strings.Repeat("x", 40<<10)}}, 2)},
	} {
		policy := callback.Policy{BaseURL: base, Page: p}
		if err := policy.Check(); (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), "page: "+want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// The page goes with the policy, wherever that is read.
func TestPageIsStored(t *testing.T) {
	t.Parallel()
	p := compiled(t, callback.Policy{
		BaseURL: base, Respond: &callback.Respond{}, Redirect: &callback.Redirect{URL: callback.ToPage},
		Page: &callback.Page{Message: "m", Redirect: "/done?id={http.callback.id}", Progress: []callback.PageProgress{{Location: inject.Location{In: inject.JSON, Name: "a"}, Most: 1}},
			Templates: []callback.PageTemplate{{Lang: "de", File: "f", Text: "t"}}},
	})
	after := stored(t, p)
	look := func(name string) string { return "<" + name + ">" }
	if got := after.PageURL(look); got != "https://cb.example.com/done?id=%3Cid%3E" && !strings.HasSuffix(got, "/done?id=%3Cid%3E") {
		t.Errorf("people go to %s", got)
	}
	if after.Page.Message != "m" || after.Page.Templates[0].Text != "t" || after.Page.Progress[0].Most != 1 {
		t.Errorf("%+v", after.Page)
	}
	if !slices.Contains(after.Needs, "redirect to the page") {
		t.Errorf("it needs %v", after.Needs)
	}
	if plain := compiled(t, callback.Policy{BaseURL: base}); plain.PageURL(look) != "" || len(plain.Needs) > 0 {
		t.Errorf("%+v", plain)
	}
}

func TestRedirectLeadsToTheCallbacksOwnPage(t *testing.T) {
	t.Parallel()
	target, err := callback.NewTarget(callback.ToPage)
	if err != nil {
		t.Fatal(err)
	}
	if got := target.URL(base, func(name string) string { return "https://app.test/" + name }); got != "https://app.test/status_url" {
		t.Error(got)
	}
	p := callback.Policy{BaseURL: base, Page: &callback.Page{Redirect: callback.ToPage}}
	if err := p.Check(); err == nil || !strings.Contains(err.Error(), "page: redir: it leads to the page itself") {
		t.Error(err)
	}
}
