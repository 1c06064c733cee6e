package hold

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app/apptest"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// compiled returns the handler with its policy and its injections, without an app.
func compiled(t *testing.T, h Handler) *Handler {
	t.Helper()
	h.policy = &callback.Policy{BaseURL: "https://app.example.com", HeaderPrefix: h.HeaderPrefix}
	if err := h.policy.Compile(); err != nil {
		t.Fatal(err)
	}
	if err := h.compileInjections(); err != nil {
		t.Fatal(err)
	}
	return &h
}

func TestClientsCopiesOfOurHeadersAreStripped(t *testing.T) {
	h := compiled(t, Handler{HeaderPrefix: "Acme-", Inject: []Injection{
		{In: "header", Name: "x-reply-to", Value: "a"}, {In: "query", Name: "X-Query", Value: "b"},
	}})
	header := make(http.Header)
	for _, name := range []string{
		"Acme-Callback-Url", "Acme-Correlation-Id", "Acme-Status", "Acme-Error-Text", "Acme_callback_url", "acme.callback.url",
		"ACME-CALLBACK-URL", "Acme-Callback_url", "X-Reply-To", "X_reply_to", "x.Reply.to", "x-reply-to",
	} {
		header[name] = []string{"spoofed"}
	}
	stay := http.Header{
		"X-Link-Callback-Url": {"of another prefix"}, "Acme-Other": {"theirs"}, "X-Query": {"theirs"}, "X-Reply-Too": {"theirs"}, "Accept": {"*/*"},
	}
	maps.Copy(header, stay)
	h.strip(header)
	if !maps.EqualFunc(header, stay, slices.Equal) {
		t.Errorf("left are %v", header)
	}
}

func TestOfferToUpgradeIsStripped(t *testing.T) {
	h := compiled(t, Handler{})
	for name, c := range map[string]struct{ header, want http.Header }{
		"h2c": {
			http.Header{"Connection": {"Upgrade, HTTP2-Settings"}, "Upgrade": {"h2c"}, "Http2-Settings": {"AAEAAEAA"}, "Accept": {"*/*"}},
			http.Header{"Accept": {"*/*"}},
		},
		"TLS": {
			http.Header{"Connection": {"keep-alive, upgrade", "X-Own"}, "Upgrade": {"TLS/1.0"}, "X-Own": {"1"}},
			http.Header{"Connection": {"keep-alive, X-Own"}, "X-Own": {"1"}},
		},
		"bare option":       {http.Header{"Connection": {"upgrade"}}, http.Header{}},
		"bare header":       {http.Header{"Upgrade": {"h2c"}}, http.Header{}},
		"settings unlisted": {http.Header{"Connection": {"close"}, "Http2-Settings": {""}}, http.Header{"Connection": {"close"}}},
	} {
		h.strip(c.header)
		if !maps.EqualFunc(c.header, c.want, slices.Equal) {
			t.Errorf("%s: left are %v", name, c.header)
		}
	}
}

func TestWhyAValueOfTheRequestCannotBeReadIsSaid(t *testing.T) {
	header := http.Header{"X-Id": {"a", "b"}, "X-Same": {"a", "a"}, "Content-Type": {"application/json"}}
	for name, c := range map[string]struct {
		at          inject.Location
		contentType string
		coding      string
		body        string
		value       string
		says        string
	}{
		"there":              {inject.Location{In: "json", Name: "id"}, "application/json", "", `{"id":"a"}`, "a", ""},
		"behind a mark":      {inject.Location{In: "json", Name: "id"}, "application/json", "", "\ufeff{\"id\":\"a\"}", "a", ""},
		"null":               {inject.Location{In: "json", Name: "id"}, "application/json", "", `{"id":null}`, "", ""},
		"the word null":      {inject.Location{In: "json", Name: "id"}, "application/json", "", `{"id":"null"}`, "null", ""},
		"absent":             {inject.Location{In: "json", Name: "id"}, "application/json", "", `{}`, "", ""},
		"no body":            {inject.Location{In: "json", Name: "id"}, "application/json", "gzip", "", "", ""},
		"no body, no type":   {inject.Location{In: "form", Name: "id"}, "", "", "", "", ""},
		"twice":              {inject.Location{In: "json", Name: "id"}, "application/json", "", `{"id":1,"id":1}`, "", `"id" twice`},
		"no JSON":            {inject.Location{In: "json", Name: "id"}, "application/json", "", "id=a", "", "not usable JSON: json id"},
		"cut short":          {inject.Location{In: "json", Name: "id"}, "application/json", "", `{"id":"a"`, "", "unexpected end"},
		"another type":       {inject.Location{In: "json", Name: "id"}, "text/plain", "", `{"id":"a"}`, "", `Content-Type is "text/plain", not application/json`},
		"another charset":    {inject.Location{In: "json", Name: "id"}, "application/json; charset=latin1", "", `{"id":"a"}`, "", "Content-Type is"},
		"packed":             {inject.Location{In: "json", Name: "id"}, "application/json", "gzip", "\x1f\x8b", "", `Content-Encoding is "gzip"`},
		"form":               {inject.Location{In: "form", Name: "id"}, "application/x-www-form-urlencoded", "", "id=a&id=a", "a", ""},
		"form, two values":   {inject.Location{In: "form", Name: "id"}, "application/x-www-form-urlencoded", "", "id=a&id=b", "", "form id is there more than once"},
		"form of JSON":       {inject.Location{In: "form", Name: "id"}, "application/json", "", `{"id":"a"}`, "", "not application/x-www-form-urlencoded"},
		"parts":              {inject.Location{In: "form", Name: "id"}, "multipart/form-data; boundary=B", "", parts("id", "a"), "a", ""},
		"parts, two values":  {inject.Location{In: "form", Name: "id"}, "multipart/form-data; boundary=B", "", parts("id", "a", "id", "b"), "", "form id is there more than once"},
		"parts, no boundary": {inject.Location{In: "form", Name: "id"}, "multipart/form-data", "", parts("id", "a"), "", "no valid boundary"},
		"JSON in a field":    {inject.Location{In: "form", Name: "p.id"}, "multipart/form-data; boundary=B", "", parts("p", `{"id":"a"}`), "a", ""},
		"null in a field":    {inject.Location{In: "form", Name: "p.id"}, "application/x-www-form-urlencoded", "", `p={"id":null}`, "", ""},
		"no JSON in a field": {inject.Location{In: "form", Name: "p.id"}, "application/x-www-form-urlencoded", "", `p=a`, "", "field is not usable JSON: form p: "},
		"XML":                {inject.Location{In: "xml", Name: "/o/@id"}, "text/xml", "", `<o id="a"/>`, "a", ""},
		"XML, twice":         {inject.Location{In: "xml", Name: "/o/id"}, "application/soap+xml", "", `<o><id>a</id><id>a</id></o>`, "", `"id" twice`},
		"XML of JSON":        {inject.Location{In: "xml", Name: "/o/id"}, "application/json", "", `{"id":"a"}`, "", "not application/xml"},
		"XML with a DTD":     {inject.Location{In: "xml", Name: "/o/id"}, "application/xml", "", `<!DOCTYPE o><o/>`, "", "a DTD"},
		"header, two values": {inject.Location{In: "header", Name: "X-Id"}, "text/plain", "", "", "", "header X-Id is there more than once"},
		"header, same twice": {inject.Location{In: "header", Name: "X-Same"}, "text/plain", "", "", "a", ""},
		"query, two values":  {inject.Location{In: "query", Name: "q"}, "text/plain", "", "", "", "query q is there more than once"},
	} {
		o := outgoingRequest(compiled(t, Handler{}), c.body, nil)
		o.client = header
		o.out.URL.RawQuery = "q=1&q=2"
		o.out.Header = http.Header{"Content-Type": {c.contentType}}
		if c.coding != "" {
			o.out.Header.Set("Content-Encoding", c.coding)
		}
		value, err := o.read(c.at)
		if value.Text != c.value || (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, error %v", name, value.Text, err)
		}
	}
}

// parts returns a multipart form with these names and values.
func parts(fields ...string) string {
	var b strings.Builder
	for i := 0; i < len(fields); i += 2 {
		b.WriteString("--B\r\nContent-Disposition: form-data; name=\"" + fields[i] + "\"\r\n\r\n" + fields[i+1] + "\r\n")
	}
	return b.String() + "--B--\r\n"
}

// outgoingRequest returns a request on its way to the upstream.
func outgoingRequest(h *Handler, body string, values map[string]string) *outgoing {
	return outgoingIn(new(memory.Pool), 1<<20, h, body, values)
}

// outgoingIn is outgoingRequest with so much memory.
func outgoingIn(pool *memory.Pool, limit int64, h *Handler, body string, values map[string]string) *outgoing {
	r := httptest.NewRequest(http.MethodPost, "/orders?a=1", strings.NewReader(body))
	pool.SetLimits(limit, limit)
	o := &outgoing{h: h, out: r, repl: newReplacer(values), space: pool.For(memory.Nobody)}
	o.own, _ = o.space.Read(r.Body, r.ContentLength, 1<<20)
	o.send(o.own)
	o.body.Retain()
	return o
}

func TestValuesArePutIntoTheRequest(t *testing.T) {
	h := compiled(t, Handler{Inject: []Injection{
		{In: "header", Name: "x-order", Value: "{id}"},
		{In: "query", Name: "ref", Value: "{id}"},
		{In: "json", Name: "meta.id", Value: "{id}"},
		{In: "json", Name: "meta.more", Value: `json:{"id":"{id}","n":[1,{n}]}`},
	}})
	o := outgoingRequest(h, `{"keep":1.50}`, map[string]string{"id": `a "b"`, "n": "2"})
	o.out.Header.Set("Content-Md5", "of the client's body")
	cb := newCallback(t, apptest.NewEngine(t), h)
	if err := o.fill(cb); err != nil {
		t.Fatal(err)
	}
	wantLine(t, o.out.Header, "X-Link-Correlation-Id", cb.CorrelationID)
	wantLine(t, o.out.Header, "X-Link-Callback-Url", cb.URL())
	wantLine(t, o.out.Header, "X-Order", `a "b"`)
	wantLine(t, o.out.Header, "Content-Md5")
	if got, want := o.out.RequestURI, "/orders?a=1&ref=a%20%22b%22"; got != want {
		t.Errorf("URI is %s, want %s", got, want)
	}
	const want = `{"keep":1.50,"meta":{"id":"a \"b\"","more":{"id":"a \"b\"","n":[1,2]}}}`
	if got, _ := io.ReadAll(o.out.Body); string(got) != want || o.out.ContentLength != int64(len(want)) {
		t.Errorf("body of %d bytes is %s, want %s", o.out.ContentLength, got, want)
	}
}

// What values are put into is copied under a lease, and what the client sent stays.
func TestBodyIsEditedUnderALease(t *testing.T) {
	for name, c := range map[string]struct {
		in, body, value string
		limit           int64
		slug            string
	}{
		"json":                 {"json", `{"a":"` + strings.Repeat("x", 3000) + `"}`, "{id}", 16_000, ""},
		"form":                 {"form", "x=" + strings.Repeat("x", 3000), "{id}", 16_000, ""},
		"form that is empty":   {"form", "", "{id}", 16_000, ""},
		"xml":                  {"xml", `<a><z>` + strings.Repeat("x", 3000) + `</z></a>`, "{id}", 16_000, ""},
		"json without memory":  {"json", `{"a":"` + strings.Repeat("x", 3000) + `"}`, "{id}", 6_000, "busy"},
		"form without memory":  {"form", "x=" + strings.Repeat("x", 3000), "{id}", 6_000, "busy"},
		"xml without memory":   {"xml", `<a><z>` + strings.Repeat("x", 3000) + `</z></a>`, "{id}", 6_000, "busy"},
		"json, a large value":  {"json", `{}`, "{large}", 6_000, "busy"},
		"json that is invalid": {"json", `{"a":`, "{id}", 16_000, "invalid-body"},
		"xml that is invalid":  {"xml", `<a>`, "{id}", 16_000, "invalid-body"},
	} {
		for _, step := range []bool{false, true} {
			names := []string{"b", "c"}
			if c.in == "xml" {
				names = []string{"/a/b", "/a/c"}
			}
			h := compiled(t, Handler{Inject: []Injection{{In: inject.Place(c.in), Name: names[0], Value: c.value}, {In: inject.Place(c.in), Name: names[1], Value: c.value}}})
			pool := new(memory.Pool)
			o := outgoingIn(pool, c.limit, h, c.body, map[string]string{"id": "17", "large": strings.Repeat("y", 5000)})
			if !step {
				o.dropOwn()
			}
			before := pool.Used()
			err := o.fill(newCallback(t, apptest.NewEngine(t), h))
			if slug := answer.ProblemOf(err).Slug; (err != nil) != (c.slug != "") || err != nil && slug != c.slug {
				t.Errorf("%s: %v", name, err)
			}
			sent := o.body.Bytes()
			if used := pool.Used(); err == nil && (len(sent) <= len(c.body) || used < int64(cap(sent)+cap(o.own.Bytes()))) || err != nil && used != before {
				t.Errorf("%s: %d bytes are taken, and were %d before", name, used, before)
			}
			if got, _ := io.ReadAll(o.out.Body); string(got) != string(sent) || o.out.ContentLength != int64(len(sent)) {
				t.Errorf("%s: the upstream gets %q", name, got)
			}
			if step && string(o.own.Bytes()) != c.body {
				t.Errorf("%s: the client's own body is %q", name, o.own.Bytes())
			}
			o.drop()
			if n := pool.Used(); n != 0 {
				t.Errorf("%s: %d bytes are still counted", name, n)
			}
		}
	}
}

func TestValueIsPutIntoXML(t *testing.T) {
	h := compiled(t, Handler{Inject: []Injection{
		{In: "xml", Name: "/Order/ReplyTo/@url", Value: "https://x.y/?a=1&b={id}"},
		{In: "xml", Name: "/Order/Ref", Value: "json:{id}"},
	}})
	o := outgoingRequest(h, "<o:Order xmlns:o='u'>\r\n<o:Ref/></o:Order>", map[string]string{"id": `<7>`})
	if err := o.fill(newCallback(t, apptest.NewEngine(t), h)); err != nil {
		t.Fatal(err)
	}
	const want = "<o:Order xmlns:o='u'>\r\n<o:Ref>json:&lt;7&gt;</o:Ref><o:ReplyTo url=\"https://x.y/?a=1&amp;b=&lt;7&gt;\"/></o:Order>"
	if got, _ := io.ReadAll(o.out.Body); string(got) != want || o.out.ContentLength != int64(len(want)) {
		t.Errorf("body of %d bytes is %s, want %s", o.out.ContentLength, got, want)
	}
}

func TestRequestIntoWhoseXMLNothingCanBePutIsRefused(t *testing.T) {
	h := compiled(t, Handler{Inject: []Injection{{In: "xml", Name: "/Order/Ref", Value: "{id}"}}})
	for name, c := range map[string]struct {
		body, id, slug string
		status         int
		says           string
	}{
		"another root":        {`<Offer/>`, "7", "invalid-body", http.StatusBadRequest, "The path does not fit the body: xml /Order/Ref: the root element has another name."},
		"twice":               {`<Order><Ref/><Ref/></Order>`, "7", "invalid-body", http.StatusBadRequest, `"Ref" twice`},
		"a DTD":               {`<!DOCTYPE Order><Order/>`, "7", "invalid-body", http.StatusBadRequest, "a DTD"},
		"no body":             {``, "7", "invalid-body", http.StatusBadRequest, "no element"},
		"another encoding":    {`<?xml version="1.0" encoding="UTF-16"?><Order/>`, "7", "not-xml", http.StatusUnsupportedMediaType, "declares another encoding"},
		"a control character": {`<Order/>`, "\x01", "invalid-value", http.StatusBadRequest, "characters that no XML can hold"},
	} {
		o := outgoingRequest(h, c.body, map[string]string{"id": c.id})
		err := o.fill(newCallback(t, apptest.NewEngine(t), h))
		if p := answer.ProblemOf(err); err == nil || p.Slug != c.slug || p.Status != c.status || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := io.ReadAll(o.out.Body); string(got) != c.body {
			t.Errorf("%s: body became %s", name, got)
		}
	}
}

func wantLine(t *testing.T, header http.Header, name string, values ...string) {
	t.Helper()
	if got := header[name]; !slices.Equal(got, values) {
		t.Errorf("%s is %q, want %q", name, got, values)
	}
}

func TestDefaultHeadersCanBeLeftOut(t *testing.T) {
	h := compiled(t, Handler{InjectOff: true})
	o := outgoingRequest(h, "", nil)
	if err := o.fill(newCallback(t, apptest.NewEngine(t), h)); err != nil || len(o.out.Header) != 0 {
		t.Errorf("header is %v, error %v", o.out.Header, err)
	}
}

func TestValueThatCannotBePutIsTheClientsFault(t *testing.T) {
	for name, c := range map[string]struct {
		inject Injection
		body   string
		slug   string
	}{
		"line break in a header": {Injection{"header", "X-A", "{data}"}, "", "invalid-value"},
		"body is no JSON":        {Injection{"json", "a", "{data}"}, "not JSON", "invalid-body"},
		"body is no object":      {Injection{"json", "a.b", "{data}"}, `{"a":1}`, "invalid-body"},
		"literal breaks":         {Injection{"json", "a", "json:{data}"}, `{}`, "invalid-body"},
	} {
		t.Run(name, func(t *testing.T) {
			h := compiled(t, Handler{Inject: []Injection{c.inject}})
			o := outgoingRequest(h, c.body, map[string]string{"data": "a\nb"})
			err := o.fill(newCallback(t, apptest.NewEngine(t), h))
			if p := answer.ProblemOf(err); err == nil || p.Slug != c.slug {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestOnlyABodyThatCanBeChangedIsTaken(t *testing.T) {
	for name, c := range map[string]struct {
		in                    inject.Place
		contentType, encoding string
		slug                  string
	}{
		"JSON":                  {inject.JSON, "application/json", "", ""},
		"JSON, not encoded":     {inject.JSON, "application/vnd.x+json", "Identity", ""},
		"form":                  {inject.Form, "application/x-www-form-urlencoded", "", ""},
		"form in parts":         {inject.Form, "multipart/form-data; boundary=B", "", ""},
		"parts where JSON is":   {inject.JSON, "multipart/form-data; boundary=B", "", "not-json"},
		"parts of another kind": {inject.Form, "multipart/mixed; boundary=B", "", "not-form"},
		"form where JSON is":    {inject.JSON, "application/x-www-form-urlencoded", "", "not-json"},
		"XML":                   {inject.XML, "application/soap+xml; charset=utf-8; action=x", "", ""},
		"XML in Latin-1":        {inject.XML, "text/xml; charset=iso-8859-1", "", "not-xml"},
		"JSON where XML is":     {inject.XML, "application/json", "", "not-xml"},
		"XML where JSON is":     {inject.JSON, "application/xml", "", "not-json"},
		"compressed XML":        {inject.XML, "application/xml", "gzip", "compressed"},
		"JSON where a form is":  {inject.Form, "application/json", "", "not-form"},
		"no type":               {inject.JSON, "", "", "not-json"},
		"compressed JSON":       {inject.JSON, "application/json", "gzip", "compressed"},
		"compressed form":       {inject.Form, "application/x-www-form-urlencoded", "br", "compressed"},
		"compressed, by two":    {inject.JSON, "application/json", "identity, gzip", "compressed"},
		"type before the codec": {inject.JSON, "text/plain", "gzip", "not-json"},
	} {
		header := http.Header{"Content-Type": {c.contentType}, "Content-Encoding": {c.encoding}}
		err := checkBodyType(c.in, header)
		slug := ""
		if err != nil {
			slug = answer.ProblemOf(err).Slug
		}
		if slug != c.slug {
			t.Errorf("%s: problem is %q, want %q", name, slug, c.slug)
		}
	}
}

func TestErrorHandlersSeeTheProblemAsPlaceholders(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	repl := newReplacer(nil)
	r = r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, repl))
	p := problem.Timeout
	p.Members = []problem.Member{{Name: "statusUrl", Value: "https://app.example.com/cbr/x"}, {Name: "id", Value: "17"}}
	setErrorPlaceholders(r, p)
	for key, want := range map[string]string{
		"type": p.Type(), "title": p.Title, "status": "504", "detail": p.Detail, "status_url": "https://app.example.com/cbr/x", "id": "17",
	} {
		if got, _ := repl.GetString("http.callback.error." + key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	// A request that did not come through Caddy has no placeholders.
	setErrorPlaceholders(httptest.NewRequest(http.MethodGet, "/", nil), p)
}

// TestErrorPlaceholdersAreKnown makes sure that no placeholder of an error is refused as one
// that does not exist.
func TestErrorPlaceholdersAreKnown(t *testing.T) {
	failed := answer.FailedProblem(&callback.Record{Failure: new(callback.Failure)}, callback.Result{})
	names := []string{"type", "title", "status", "detail", "statusUrl", "resultUrl", problem.InvalidField("x", "").Members[0].Name}
	for _, m := range failed.Members {
		names = append(names, m.Name)
	}
	for _, name := range names {
		if name = "error." + snakeCase(name); !callback.OfError(name) {
			t.Errorf("%s is not known", name)
		}
	}
}

func TestJSONNamesBecomePlaceholderNames(t *testing.T) {
	for camel, want := range map[string]string{
		"": "", "id": "id", "statusUrl": "status_url", "resultUrl": "result_url", "technicalStatus": "technical_status", "aBC": "a_b_c", "äÄ": "äÄ",
	} {
		if got := snakeCase(camel); got != want {
			t.Errorf("%s becomes %s, want %s", camel, got, want)
		}
	}
}

// newCallback returns a callback that a handler has made.
func newCallback(t *testing.T, e *engine.Engine, h *Handler) *engine.Callback {
	t.Helper()
	cb, err := e.Create(t.Context(), engine.Spec{Policy: h.policy})
	if err != nil {
		t.Fatal(err)
	}
	return cb
}

// newReplacer returns a replacer that knows the given values and no others.
func newReplacer(values map[string]string) *caddy.Replacer {
	repl := caddy.NewEmptyReplacer()
	for key, value := range values {
		repl.Set(key, value)
	}
	return repl
}
