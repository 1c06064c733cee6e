package callback_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/quoted"
)

// match returns a line of failed, progress or succeeded.
func match(in, name string, values ...string) callback.Match {
	return callback.Match{Location: at(inject.Place(in), name), Values: values}
}

// TestMeaningOfACallHasOneOrder is the order of judgement: a failure, then progress, then
// success if the policy says what that is, else success.
func TestMeaningOfACallHasOneOrder(t *testing.T) {
	t.Parallel()
	state := func(values ...string) []callback.Match { return []callback.Match{match("json", "state", values...)} }
	const refused = callback.Phase(0)
	for name, c := range map[string]struct {
		failed, progress, succeeded []callback.Match
		body, status, suffix        string
		// phase is what the callback is in then; zero if the call is refused.
		phase callback.Phase
		word  string
	}{
		"nothing configured":                       {nil, nil, nil, "{", "", "", callback.Resolved, ""},
		"failed matches":                           {state("error"), nil, nil, `{"state":"error"}`, "", "", callback.Failed, ""},
		"failed matches, the header says Ok":       {state("error"), nil, nil, `{"state":"error"}`, "Ok", "", callback.Failed, ""},
		"failed before progress":                   {state("x"), state("x"), nil, `{"state":"x"}`, "", "", callback.Failed, ""},
		"failed before succeeded":                  {state("x"), nil, state("x"), `{"state":"x"}`, "", "", callback.Failed, ""},
		"progress before succeeded":                {nil, state("x"), state("x"), `{"state":"x"}`, "", "", callback.Waiting, ""},
		"progress, the header says Ok":             {nil, state("x"), nil, `{"state":"x"}`, "Ok", "", callback.Waiting, ""},
		"succeeded matches":                        {nil, nil, state("ok"), `{"state":"ok"}`, "", "", callback.Resolved, ""},
		"succeeded does not match":                 {nil, nil, state("ok"), `{"state":"aborted"}`, "", "", callback.Failed, ""},
		"succeeded does not match, header says Ok": {nil, nil, state("ok"), `{"state":"aborted"}`, "Ok", "", callback.Failed, ""},
		"succeeded finds nothing":                  {nil, nil, state("ok"), ``, "", "", callback.Failed, ""},
		"neither failed nor succeeded":             {state("error"), nil, state("ok"), `{"state":"paused"}`, "", "", callback.Waiting, "paused"},
		"neither, and no body":                     {state("error"), nil, state("ok"), ``, "", "", callback.Waiting, ""},
		"presence":                                 {[]callback.Match{match("json", "error")}, nil, nil, `{"error":{"code":1}}`, "", "", callback.Failed, ""},
		"presence of nothing":                      {[]callback.Match{match("json", "error")}, nil, nil, `{"error":null}`, "", "", callback.Resolved, ""},
		"a class":                                  {state("4xx", "5xx"), nil, nil, `{"state":503}`, "", "", callback.Failed, ""},
		"one of several lines":                     {append(state("a"), match("json", "kind", "b")), nil, nil, `{"kind":"b"}`, "", "", callback.Failed, ""},

		"failed cannot be read":                   {state("error"), nil, nil, `{"state":NaN}`, "", "", refused, ""},
		"failed cannot be read, header says Ok":   {state("error"), nil, nil, `{`, "Ok", "", refused, ""},
		"failed need not be read, status header":  {state("error"), nil, nil, `{`, "Failed", "", callback.Failed, ""},
		"failed need not be read, failed URL":     {state("error"), nil, nil, `{`, "", callback.SuffixFailed, callback.Failed, ""},
		"another failed line matches":             {append(state("error"), match("json", "kind", "b")), nil, nil, `{"state":1,"state":2,"kind":"b"}`, "", "", callback.Failed, ""},
		"another failed line does not match":      {append(state("error"), match("json", "kind", "b")), nil, nil, `{"state":1,"state":2,"kind":"c"}`, "", "", refused, ""},
		"failed cannot be read, progress matches": {state("error"), []callback.Match{match("json", "kind", "b")}, nil, `{"state":1,"state":2,"kind":"b"}`, "", "", refused, ""},
		"progress cannot be read":                 {nil, state("x"), nil, `{"state":1,"State":"x"}`, "", "", refused, ""},
		"progress need not be read":               {[]callback.Match{match("json", "kind", "b")}, state("x"), nil, `{"state":1,"state":2,"kind":"b"}`, "", "", callback.Failed, ""},
		"succeeded cannot be read":                {nil, nil, state("ok"), `state=ok`, "", "", refused, ""},
		"succeeded need not be read":              {nil, []callback.Match{match("json", "kind", "b")}, state("ok"), `{"state":1,"state":2,"kind":"b"}`, "", "", callback.Waiting, ""},
		"json or form, and it is JSON":            {append(state("error"), match("form", "state", "error")), nil, nil, `{"state":"fine"}`, "", "", callback.Resolved, ""},
		"json or form, and it is neither":         {append(state("error"), match("form", "state", "error")), nil, nil, `<state/>`, "", "", refused, ""},
		"json or form, and the JSON is ambiguous": {append(state("error"), match("form", "state", "error")), nil, nil, `{"state":1,"state":2}`, "", "", refused, ""},
		"json or header, and the body is neither": {append(state("error"), match("header", "X-State", "error")), nil, nil, `<state/>`, "", "", refused, ""},
	} {
		p := compiled(t, callback.Policy{Failed: c.failed, Progress: c.progress, Succeeded: c.succeeded})
		lines := []string{"Content-Type", "application/json"}
		if c.status != "" {
			lines = append(lines, statusHeader, c.status)
		}
		call := newCall("POST", c.body, lines...)
		call.Suffix = c.suffix
		v := receive(waiting(p), p, call, born)
		switch {
		case c.phase == refused:
			if v.Kind != callback.Refused || v.Next != nil || !v.Fault.IsUnreadable() || v.Fault.Status != 0 {
				t.Errorf("%s: %+v", name, v)
			}
		case v.Next == nil || v.Next.Phase != c.phase || (v.Unrecognized != nil) != strings.HasPrefix(name, "neither") || v.Unrecognized != nil && *v.Unrecognized != c.word:
			t.Errorf("%s: %+v", name, v)
		}
		// What cannot be read is absent to an operator, who need not say that it succeeded.
		byHand := waiting(p).Resolve(p, call, lookIn(waiting(p), p, call), born)
		if byHand.Kind == callback.Refused || c.phase == callback.Resolved && byHand.Next.Phase != callback.Resolved {
			t.Errorf("%s, by hand: %+v", name, byHand)
		}
	}
}

// TestMeaningOfAForm looks for the same words in forms of both types, and in JSON in a field.
func TestMeaningOfAForm(t *testing.T) {
	t.Parallel()
	const urlencoded, inParts = "application/x-www-form-urlencoded", "multipart/form-data; boundary=B"
	part := func(header, value string) string {
		return "--B\r\nContent-Disposition: form-data; " + header + "\r\n\r\n" + value + "\r\n"
	}
	plain, nested := match("form", "state", "error", "5xx"), match("form", "payload.state", "error", "5xx")
	json := match("json", "state", "error")
	const refused = callback.Phase(0)
	for name, c := range map[string]struct {
		failed            []callback.Match
		contentType, body string
		phase             callback.Phase
	}{
		"a part":                              {[]callback.Match{plain}, inParts, part(`name="state"`, "error") + "--B--", callback.Failed},
		"a class in a part":                   {[]callback.Match{plain}, inParts, part(`name="state"`, "503") + "--B--", callback.Failed},
		"another word":                        {[]callback.Match{plain}, inParts, part(`name="state"`, "fine") + "--B--", callback.Resolved},
		"a file":                              {[]callback.Match{plain}, inParts, part(`name="state"; filename="a"`, "error") + "--B--", callback.Resolved},
		"absent":                              {[]callback.Match{plain}, inParts, "--B--", callback.Resolved},
		"no body":                             {[]callback.Match{plain}, inParts, "", callback.Resolved},
		"cut":                                 {[]callback.Match{plain}, inParts, part(`name="state"`, "fine"), refused},
		"two values":                          {[]callback.Match{plain}, inParts, part(`name="state"`, "fine") + part(`name="state"`, "error") + "--B--", refused},
		"name in another charset":             {[]callback.Match{plain}, inParts, part(`name*=UTF-8''state`, "error") + "--B--", refused},
		"json or a part, and it is in parts":  {[]callback.Match{json, plain}, inParts, part(`name="state"`, "fine") + "--B--", callback.Resolved},
		"json or a part, and it cannot be":    {[]callback.Match{json, plain}, inParts, part(`name="state"`, "fine"), refused},
		"json or a part, and it is JSON":      {[]callback.Match{json, plain}, inParts, `{"state":"fine"}`, callback.Resolved},
		"JSON in a field":                     {[]callback.Match{nested}, urlencoded, `payload={"state":"error"}`, callback.Failed},
		"a number there":                      {[]callback.Match{nested}, urlencoded, `payload={"state":503.0}`, callback.Failed},
		"another word there":                  {[]callback.Match{nested}, urlencoded, `payload={"state":"fine"}`, callback.Resolved},
		"JSON in a part":                      {[]callback.Match{nested}, inParts, part(`name="payload"`, `{"state":"error"}`) + "--B--", callback.Failed},
		"no JSON there":                       {[]callback.Match{nested}, urlencoded, `payload={`, refused},
		"no JSON there, another can be read":  {[]callback.Match{nested, plain}, urlencoded, `payload={&state=fine`, refused},
		"no JSON there, another matches":      {[]callback.Match{nested, plain}, urlencoded, `payload={&state=error`, callback.Failed},
		"no JSON there, and the field itself": {[]callback.Match{nested}, urlencoded, `payload={&payload.state=error`, callback.Failed},
	} {
		p := compiled(t, callback.Policy{Failed: c.failed})
		v := receive(waiting(p), p, newCall("POST", c.body, "Content-Type", c.contentType), born)
		if c.phase == refused && (v.Kind != callback.Refused || !v.Fault.IsUnreadable()) || c.phase != refused && (v.Next == nil || v.Next.Phase != c.phase) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestCallThatCannotBeReadEndsACallbackThatTakesOneCallOnly(t *testing.T) {
	t.Parallel()
	p := compiled(t, callback.Policy{Failed: []callback.Match{match("json", "state", "error")}, Once: true})
	v := receive(waiting(p), p, newCall("POST", "{"), born)
	if v.Kind != callback.Refused || v.Next.Phase != callback.Failed || v.Next.Failure.ErrorCode != "unreadable" {
		t.Errorf("%+v", v)
	}
}

func TestBodyInACodingOrCharsetThatIsNotKnownIsRefusedWith415(t *testing.T) {
	t.Parallel()
	p := compiled(t, callback.Policy{Failed: []callback.Match{match("json", "state", "error")}})
	for _, lines := range [][]string{{"Content-Encoding", "br"}, {"Content-Encoding", "gzip, br"}, {"Content-Type", "application/json; charset=utf-16"}} {
		v := receive(waiting(p), p, newCall("POST", "x", lines...), born)
		if v.Kind != callback.Refused || v.Fault.Status != http.StatusUnsupportedMediaType {
			t.Errorf("%q: %+v", lines, v)
		}
	}
	free := compiled(t, callback.Policy{})
	if v := receive(waiting(free), free, newCall("POST", "x", "Content-Encoding", "gzip"), born); v.Kind != callback.Accepted {
		t.Errorf("a body that no rule depends on: %+v", v)
	}
}

func TestErrorCodeAndTextNeverDecide(t *testing.T) {
	t.Parallel()
	code := at("json", "code")
	p := compiled(t, callback.Policy{ErrorCode: &code, ErrorText: &code})
	if v := receive(waiting(p), p, newCall("POST", "{"), born); v.Kind != callback.Accepted || v.Next.Phase != callback.Resolved {
		t.Errorf("%+v", v)
	}
	v := receive(waiting(p), p, newCall("POST", "{", statusHeader, "Failed"), born)
	if v.Kind != callback.Accepted || v.Next.Failure.ErrorCode != "" {
		t.Errorf("%+v", v)
	}
}

func TestAppCanAnswerAHandshake(t *testing.T) {
	t.Parallel()
	p := compiled(t, callback.Policy{Ask: "/decide"})
	r := waiting(p)
	c := newCall("POST", "challenge", "Webhook-Id", "m1")
	c.Asked = &callback.Asked{KeepWaiting: true, Reply: &callback.Fields{Type: callback.TypeResponse, Body: "as the app says"}}
	v := receive(r, p, c, born)
	if v.Kind != callback.Progressed || v.Next.Phase != callback.Waiting || v.Reply.Body != "as the app says" {
		t.Fatalf("%+v", v)
	}
	again := receive(v.Next, p, newCall("POST", "challenge, attempt 2", "Webhook-Id", "m1"), born)
	if again.Kind != callback.Repeated || again.Reply.Body != "as the app says" {
		t.Errorf("again: %+v", again)
	}
}

// documentOf returns the document of a call as JSON.
func documentOf(t *testing.T, c *callback.Call) []byte {
	t.Helper()
	body, err := quoted.Look(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.Body.Data)), nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := quoted.New(callback.NewDocument(c, body), body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestResultIsWhatTheOptionSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		option, query, body string
		want, contentType   string
	}{
		"body":                    {"", "a=1", "x", "x", "text/plain"},
		"no body, a query":        {"", "b=2&a=1&b=%20&c", "", `{"b":["2"," "],"a":"1","c":""}`, "application/json"},
		"no body, no query":       {"", "", "", "", "text/plain"},
		"no body, an empty query": {"body", "&&", "", "", "text/plain"},
		"query":                   {"query", "a=1", "x", `{"a":"1"}`, "application/json"},
		"query, none":             {"query", "", "x", `{}`, "application/json"},
		"query as we read it":     {"query", "desc=100%&list=a;b&u=%e4", "x", `{"desc":"100%","list":"a;b","u":"ä"}`, "application/json"},
		"call":                    {"call", "a=1", "x", `{"method":"POST","query":{"a":"1"},"headers":{"Content-Type":"text/plain"},"body":"x"}`, "application/json"},
		"call, not UTF-8":         {"call", "", "\xff", `{"method":"POST","query":{},"headers":{"Content-Type":"text/plain"},"body":"/w==","bodyEncoding":"base64"}`, "application/json"},
	} {
		p := compiled(t, callback.Policy{Result: c.option})
		call := newCall("POST", c.body, "Content-Type", "text/plain")
		call.Query = c.query
		r := accept(t, waiting(p), p, call)
		result := r.Result(p)
		got := result.Body.Data
		if result.Call != nil {
			got = documentOf(t, result.Call)
		}
		if string(got) != c.want || result.Header.Get("Content-Type") != c.contentType || result.Body.Size != int64(len(result.Body.Data)) {
			t.Errorf("%s: %s, %+v", name, got, result)
		}
		handed, document, made := p.HandedOn(call)
		if document {
			handed.Data = documentOf(t, call)
		}
		if string(handed.Data) != c.want || made != (c.contentType == "application/json") {
			t.Errorf("%s, handed on: %s, made: %t", name, handed.Data, made)
		}
	}
}

// TestXMLMeansWhatAllReadersRead judges calls by XML, alone and beside other kinds.
func TestXMLMeansWhatAllReadersRead(t *testing.T) {
	t.Parallel()
	failed := []callback.Match{match("xml", "/Reply/Code", "FAIL", "5xx")}
	present := []callback.Match{match("xml", "/Reply/Error")}
	const refused = callback.Phase(0)
	for name, c := range map[string]struct {
		failed, succeeded []callback.Match
		body              string
		phase             callback.Phase
		status            int
	}{
		"failed":                     {failed, nil, `<Reply><Code>FAIL</Code></Reply>`, callback.Failed, 0},
		"failed, a class":            {failed, nil, `<r:Reply xmlns:r="u"><r:Code> 503 </r:Code></r:Reply>`, callback.Failed, 0},
		"not failed":                 {failed, nil, `<Reply><Code>GOOD</Code></Reply>`, callback.Resolved, 0},
		"absent":                     {failed, nil, `<Reply/>`, callback.Resolved, 0},
		"another document":           {failed, nil, `<Other><Code>FAIL</Code></Other>`, callback.Resolved, 0},
		"no body":                    {failed, nil, ``, callback.Resolved, 0},
		"twice":                      {failed, nil, `<Reply><Code>GOOD</Code><Code>FAIL</Code></Reply>`, refused, 0},
		"elements in it":             {failed, nil, `<Reply><Code><FAIL/></Code></Reply>`, refused, 0},
		"presence":                   {present, nil, `<Reply><Error><Text/></Error></Reply>`, callback.Failed, 0},
		"presence of nothing":        {present, nil, `<Reply><Error> </Error></Reply>`, callback.Resolved, 0},
		"an entity of its own":       {failed, nil, `<!DOCTYPE Reply [<!ENTITY f "FAIL">]><Reply><Code>&f;</Code></Reply>`, refused, 0},
		"no XML":                     {failed, nil, `{"Code":"FAIL"}`, refused, 0},
		"cut short":                  {failed, nil, `<Reply><Code>GOOD</Code>`, refused, 0},
		"another encoding":           {failed, nil, `<?xml version="1.0" encoding="ISO-8859-1"?><Reply/>`, refused, http.StatusUnsupportedMediaType},
		"JSON, beside a line for it": {append(failed, match("json", "code", "FAIL")), nil, `{"code":"FAIL"}`, callback.Failed, 0},
		"JSON, good, beside one":     {append(failed, match("json", "code", "FAIL")), nil, `{"code":"GOOD"}`, callback.Resolved, 0},
		"XML, good, beside JSON":     {append(failed, match("json", "code", "FAIL")), nil, `<Reply/>`, callback.Resolved, 0},
		"neither":                    {append(failed, match("json", "code", "FAIL")), nil, `code=FAIL`, refused, 0},
		"succeeded":                  {nil, []callback.Match{match("xml", "/Reply/@ok", "true")}, `<Reply ok="true"/>`, callback.Resolved, 0},
		"succeeded does not match":   {nil, []callback.Match{match("xml", "/Reply/@ok", "true")}, `<Reply ok="no"/>`, callback.Failed, 0},
	} {
		p := compiled(t, callback.Policy{Failed: c.failed, Succeeded: c.succeeded})
		v := receive(waiting(p), p, newCall("POST", c.body), born)
		got := refused
		if v.Next != nil {
			got = v.Next.Phase
		}
		if got != c.phase || (v.Kind == callback.Refused) != (c.phase == refused) || v.Fault.Status != c.status {
			t.Errorf("%s: %v, %v, %+v", name, v.Kind, got, v.Fault)
		}
	}
}

func TestPolicyThatJudgesByXMLNeedsAReleaseThatCan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy callback.Policy
		needs  bool
	}{
		"failed":    {callback.Policy{Failed: []callback.Match{match("xml", "/a", "x")}}, true},
		"progress":  {callback.Policy{Progress: []callback.Match{match("json", "a"), match("xml", "/a")}}, true},
		"succeeded": {callback.Policy{Succeeded: []callback.Match{match("xml", "/a", "x")}}, true},
		"JSON":      {callback.Policy{Failed: []callback.Match{match("json", "/a", "x")}}, false},
	} {
		p := compiled(t, c.policy)
		if (len(p.Needs) > 0) != c.needs || p.CanJudge() != nil {
			t.Errorf("%s: needs %v, %v", name, p.Needs, p.CanJudge())
		}
	}
}
