package callback_test

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// fullPolicy has every field set to something other than its default.
func fullPolicy() callback.Policy {
	return callback.Policy{
		BaseURL:      "https://cb.example.com/deep",
		StatusURL:    "https://status.example.com",
		HeaderPrefix: "X-Acme-",
		StateQuery:   "state",
		Methods:      []string{http.MethodPost, http.MethodGet},
		Respond:      &callback.Respond{Status: 202, Body: "ok {http.callback.id}"},
		Redirect:     &callback.Redirect{URL: "https://shop.example.com/back?id={http.callback.id}", Status: 307},
		ReplyHeader:  callback.Header{{Name: "X-Id", Value: "{http.callback.id}"}},
		CopyHeaders:  []string{"Content-Type", "X-Trace"},
		AckIsResult:  true,
		FailedStatus: 502,
		Retain:       90 * time.Minute,
	}
}

// Policies that are stored with these bytes and hashes must stay readable: waiting
// callbacks refer to them.
const (
	goldenPolicy = "" +
		"ac01781b68747470733a2f2f63622e6578616d706c652e636f6d2f6465657002781a68747470733a2f2f7374617475732e6578616d70" +
		"6c652e636f6d0367582d41636d652d04657374617465058264504f53546347455406a20118ca02756f6b207b687474702e63616c6c62" +
		"61636b2e69647d07a201783368747470733a2f2f73686f702e6578616d706c652e636f6d2f6261636b3f69643d7b687474702e63616c" +
		"6c6261636b2e69647d0219013308818264582d4964727b687474702e63616c6c6261636b2e69647d09826c436f6e74656e742d547970" +
		"6567582d54726163650af50b1901f60c1b000004e94914f000"
	goldenFullHash    = "f7c953d1ab5fb54cf223fbcf97dc381709bc71a3560a0a4c48005abcb1a49c03"
	goldenDefaultHash = "c9cfa611bdc335a862e7567c6fc5d5c5eb557534308bf2d111f9724f00e574a5"
)

func TestPolicyHashSurvivesStorage(t *testing.T) {
	for name, p := range map[string]callback.Policy{
		"defaults": {}, "full": fullPolicy(), "respond": respondPolicy(), "redirect": redirectPolicy(), "both": bothPolicy(),
		"nothing copied": {CopyHeaders: []string{}}, "no methods": {Methods: []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			before := compiled(t, p)
			after := stored(t, before)
			if before.Hash() != after.Hash() || before.Hash().IsZero() {
				t.Errorf("hash was %x, is %x", before.Hash(), after.Hash())
			}
			if contents(t, before) != contents(t, after) {
				t.Errorf("was %s\n is %s", contents(t, before), contents(t, after))
			}
		})
	}
}

func TestAnyPolicyThatCompilesCanBeStored(t *testing.T) {
	text := rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })
	rapid.Check(t, func(t *rapid.T) {
		p := &callback.Policy{
			BaseURL:      base + text.Draw(t, "base"),
			HeaderPrefix: text.Draw(t, "prefix"),
			Respond:      &callback.Respond{Status: rapid.IntRange(200, 599).Draw(t, "status"), Body: text.Draw(t, "body")},
			ReplyHeader:  callback.Header{{Name: text.Draw(t, "name"), Value: text.Draw(t, "value")}},
			CopyHeaders:  rapid.SliceOf(text).Draw(t, "copied"),
			Retain:       time.Duration(rapid.Int64().Draw(t, "retain")),
		}
		if err := p.Compile(); err != nil {
			t.Skip(err)
		}
		b, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := callback.DecodePolicy(b)
		if err != nil {
			t.Fatal(err)
		}
		if back.Hash() != p.Hash() {
			t.Fatalf("hash was %x, is %x", p.Hash(), back.Hash())
		}
	})
}

func TestPolicyHashDoesNotDependOnSpelledOutDefaults(t *testing.T) {
	spelled := compiled(t, callback.Policy{
		BaseURL:      base,
		StatusURL:    base,
		HeaderPrefix: callback.DefaultHeaderPrefix,
		Methods:      []string{"POST", "PUT", "PATCH", "DELETE"},
		ReplyHeader:  callback.Header{},
		CopyHeaders:  slices.Clone(callback.DefaultCopyHeaders),
		FailedStatus: callback.DefaultFailedStatus,
		Retain:       callback.DefaultRetain,
	})
	if compiled(t, callback.Policy{}).Hash() != spelled.Hash() {
		t.Error("a policy with its defaults spelled out has another hash")
	}
	lower := compiled(t, callback.Policy{CopyHeaders: []string{"content-type"}})
	if lower.Hash() != compiled(t, callback.Policy{CopyHeaders: []string{"Content-Type"}}).Hash() {
		t.Error("the case of a header name makes another hash")
	}
}

func TestPoliciesThatDifferHaveOtherHashes(t *testing.T) {
	full := compiled(t, fullPolicy())
	for name, change := range map[string]func(*callback.Policy){
		"base url":      func(p *callback.Policy) { p.BaseURL += "/x" },
		"status url":    func(p *callback.Policy) { p.StatusURL += "/x" },
		"header prefix": func(p *callback.Policy) { p.HeaderPrefix = "X-Other-" },
		"state query":   func(p *callback.Policy) { p.StateQuery = "" },
		"methods":       func(p *callback.Policy) { p.Methods = []string{"POST"} },
		"respond":       func(p *callback.Policy) { p.Respond = nil },
		"redirect":      func(p *callback.Policy) { p.Redirect = nil },
		"reply header":  func(p *callback.Policy) { p.ReplyHeader = nil },
		"copy headers":  func(p *callback.Policy) { p.CopyHeaders = []string{} },
		"ack is result": func(p *callback.Policy) { p.AckIsResult = false },
		"failed status": func(p *callback.Policy) { p.FailedStatus = 0 },
		"retain":        func(p *callback.Policy) { p.Retain = 0 },
	} {
		p := fullPolicy()
		change(&p)
		if compiled(t, p).Hash() == full.Hash() {
			t.Errorf("%s does not count", name)
		}
	}
}

func TestPoliciesStoredBeforeStayReadable(t *testing.T) {
	b, err := hex.DecodeString(goldenPolicy)
	if err != nil {
		t.Fatal(err)
	}
	p, err := callback.DecodePolicy(b)
	if err != nil {
		t.Fatal(err)
	}
	if want := compiled(t, fullPolicy()); contents(t, p) != contents(t, want) {
		t.Errorf("got  %s\nwant %s", contents(t, p), contents(t, want))
	}
}

func TestPolicyHashesStayAsTheyWere(t *testing.T) {
	for _, c := range []struct {
		policy callback.Policy
		want   string
	}{{fullPolicy(), goldenFullHash}, {callback.Policy{}, goldenDefaultHash}} {
		if h := compiled(t, c.policy).Hash(); hex.EncodeToString(h[:]) != c.want {
			t.Errorf("hash is %x, was %s", h, c.want)
		}
	}
}

func TestCompileLeavesWhatItWasGivenAlone(t *testing.T) {
	names, respond := []string{"content-type"}, &callback.Respond{Body: "hello"}
	defaults := slices.Clone(callback.DefaultCopyHeaders)
	compiled(t, callback.Policy{CopyHeaders: names, Respond: respond})
	compiled(t, callback.Policy{})
	if names[0] != "content-type" || respond.Status != 0 || !slices.Equal(callback.DefaultCopyHeaders, defaults) {
		t.Errorf("compiling changed %v, %+v or %v", names, respond, callback.DefaultCopyHeaders)
	}
}

func TestPolicyWithMistakesDoesNotCompile(t *testing.T) {
	for name, c := range map[string]struct {
		policy callback.Policy
		says   string
	}{
		"HEAD as a call":    {callback.Policy{BaseURL: base, Methods: []string{"POST", "HEAD"}}, "\"HEAD\" can never be a call"},
		"OPTIONS as a call": {callback.Policy{BaseURL: base, Methods: []string{"OPTIONS"}}, "\"OPTIONS\" can never be a call"},
		"lower-case method": {callback.Policy{BaseURL: base, Methods: []string{"post"}}, "\"post\" can never be a call"},
		"redirect's host":   {callback.Policy{BaseURL: base, Redirect: &callback.Redirect{URL: "//evil"}}, "two slashes"},
	} {
		if err := c.policy.Compile(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBytesThatAreNoPolicyAreRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing": nil, "no CBOR": []byte("hello"), "a list": {0x80}, "cut short": {0xa1, 0x01},
	} {
		if p, err := callback.DecodePolicy(b); err == nil {
			t.Errorf("%s: read as %+v", name, p)
		}
	}
}

func TestLinks(t *testing.T) {
	own := &callback.Own{StateQuery: "state", BaseURL: "https://own.example.com/in"}
	for name, c := range map[string]struct {
		policy callback.Policy
		own    *callback.Own
		// url and status are what the URLs begin with.
		url, status string
	}{
		"the policy's":           {callback.Policy{BaseURL: base + "/deep"}, nil, base + "/deep/cb/", base + "/deep/cbr/"},
		"the policy's query":     {callback.Policy{BaseURL: base, StateQuery: "RelayState", StatusURL: "https://status.example.com"}, nil, base + "/cbq/RelayState?RelayState=", "https://status.example.com/cbr/"},
		"the policy's, with own": {callback.Policy{BaseURL: base, StateQuery: "RelayState"}, &callback.Own{Ask: "/ask"}, base + "/cbq/RelayState?RelayState=", base + "/cbr/"},
		"its own":                {callback.Policy{BaseURL: base}, own, "https://own.example.com/in/cbq/state?state=", base + "/cbr/"},
		"its own before":         {callback.Policy{BaseURL: base, StateQuery: "RelayState"}, own, "https://own.example.com/in/cbq/state?state=", base + "/cbr/"},
		"its own alone":          {callback.Policy{}, own, "https://own.example.com/in/cbq/state?state=", "https://own.example.com/in/cbr/"},
	} {
		if err := c.policy.Compile(); err != nil {
			t.Fatal(err)
		}
		i := callback.Issued{Record: withOwn(&c.policy, c.own), Policy: &c.policy, Secret: &secret}
		state, ticket := i.State().String(), secret.Ticket(i.ID).String()
		if i.URL() != c.url+state || i.StatusURL() != c.status+ticket || i.ResultURL() != c.status+ticket+"/result" {
			t.Errorf("%s: got %s, %s, %s", name, i.URL(), i.StatusURL(), i.ResultURL())
		}
		want := ""
		if !strings.Contains(c.url, "?") {
			want = c.url + state + "/failed"
		}
		if i.FailedURL() != want {
			t.Errorf("%s: got %s, want %s", name, i.FailedURL(), want)
		}
	}
}

func TestAllowListsWhatIsNotAnsweredWith405(t *testing.T) {
	withGet := bothPolicy()
	withGet.Methods = []string{"POST", "GET"}
	onlyPut := bothPolicy()
	onlyPut.Methods = []string{"PUT"}
	for name, c := range map[string]struct {
		policy callback.Policy
		want   string
	}{
		"default":             {callback.Policy{}, "POST, PUT, PATCH, DELETE, HEAD, OPTIONS"},
		"respond":             {respondPolicy(), "POST, PUT, PATCH, DELETE, HEAD, OPTIONS"},
		"redirect":            {redirectPolicy(), "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"},
		"both":                {bothPolicy(), "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"},
		"both, own methods":   {onlyPut, "GET, PUT, HEAD, OPTIONS"},
		"both, GET among own": {withGet, "POST, GET, HEAD, OPTIONS"},
		"own methods":         {callback.Policy{Methods: []string{"POST"}}, "POST, HEAD, OPTIONS"},
	} {
		if got := compiled(t, c.policy).Allow(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func stored(t *testing.T, p *callback.Policy) *callback.Policy {
	t.Helper()
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := callback.DecodePolicy(b)
	if err != nil {
		t.Fatal(err)
	}
	return back
}
