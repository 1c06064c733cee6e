package dashboard

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// hostile is what a partner or a client may send.
const hostile = "\u202e<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{.}}\x00\x1b[2J"

// wantHarmless checks that nothing of what is hostile is more than text.
func wantHarmless(t *testing.T, page string) {
	t.Helper()
	for _, not := range []string{"<script>", "<img", "\u202e", "\x00", "\x1b", "ZgotmplZ", " style=", "javascript:", " onerror=alert(1)>"} {
		if strings.Contains(strings.ReplaceAll(page, "&lt;img src=x onerror=alert(1)&gt;", ""), not) {
			t.Errorf("the page has %q:\n%s", not, page)
		}
	}
}

func TestViewsSayWhyTheyAreEmpty(t *testing.T) {
	d := newDashboard(t, open)
	wantIn(t, d.get(t, "/"), 200, "Nothing.", "There is no callback yet", "No callback was made in the last hour")
	wantIn(t, d.get(t, "/list"), 200, "A callback is made by a request to a site with the directive callback")
	wantIn(t, d.get(t, "/list?phase=failed"), 200, "No callback matches these filters")
	wantIn(t, d.get(t, "/list/close?"), 200, "Nothing matches")
	wantIn(t, d.get(t, "/approvals"), 200, "Nobody has to decide anything")
	live := d.get(t, "/live")
	wantIn(t, live, 303)
	wantIn(t, d.get(t, strings.TrimPrefix(live.Header().Get("Location"), ".")), 200, "Nothing has happened")
	wantIn(t, d.get(t, "/routes"), 200, "https://app.example.com", "not checked", "There is none")
}

func TestPageHasTheHeaderOfAPage(t *testing.T) {
	d := newDashboard(t, open)
	h := d.get(t, "/").Header()
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff",
	} {
		if h.Get(name) != want {
			t.Errorf("%s is %q", name, h.Get(name))
		}
	}
	if policy := h.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
}

func TestListIsFilteredAndComesInPages(t *testing.T) {
	d := newDashboard(t, open)
	for i := range pageRows + 10 {
		d.create(t, callback.Spec{Name: "many", CorrelationID: fmt.Sprintf("number-%d", i)})
	}
	one := d.create(t, callback.Spec{Name: "single", CorrelationID: hostile[len("\u202e") : len(hostile)-len("\x00\x1b[2J")]})
	id := regexp.MustCompile(`<a href="\./callback/([0-9a-f-]{36})">`)
	first := d.get(t, "/list?name=many")
	wantIn(t, first, 200, "Next page", "the call", `<option value="many">`)
	next := regexp.MustCompile(`href="(\?cursor=[^"]*)">Next page`).FindStringSubmatch(first.Body.String())
	if next == nil {
		t.Fatalf("there is no next page: %s", first.Body)
	}
	second := d.get(t, "/list"+strings.ReplaceAll(next[1], "&amp;", "&"))
	wantIn(t, second, 200, "First page", "number-0<")
	if n, m := len(id.FindAllString(first.Body.String(), -1)), len(id.FindAllString(second.Body.String(), -1)); n != pageRows || m != 10 {
		t.Errorf("%d and %d on the pages", n, m)
	}
	if strings.Contains(second.Body.String(), "data-every") {
		t.Error("a page behind the first one is live")
	}
	oldest := d.get(t, "/list?order=oldest&phase=&createdAfter=1h&q=")
	wantIn(t, oldest, 200, "number-0<", "Newest first", `<option value="1h" selected>`)
	single := d.get(t, "/list?name=single")
	wantIn(t, single, 200, one.ID.String())
	wantHarmless(t, single.Body.String())
	wantIn(t, d.get(t, "/list?id="+one.ID.String()), 200, one.ID.String(), "<label>Id")
	wantIn(t, d.get(t, "/list?nothing=x"), 400, "There is no such parameter")
	wantIn(t, d.get(t, "/list?phase=lost"), 400, "It must be waiting")
	for query, want := range map[string]string{
		one.ID.String(): "./callback/" + one.ID.String(), " " + strings.ToUpper(one.ID.String()) + " ": "./callback/" + one.ID.String(), "number-7": "./list?correlationId=number-7",
	} {
		if got := d.get(t, "/list?q="+url.QueryEscape(query)); got.Code != 303 || got.Header().Get("Location") != want {
			t.Errorf("%s: %d %s", query, got.Code, got.Header().Get("Location"))
		}
	}
	wantIn(t, d.get(t, "/list?correlationId=number-7"), 200, "number-7<")
	wantIn(t, d.get(t, "/list?q="+url.QueryEscape(hostile)), 400)
}

func TestCallbackIsShownWithWhatWasSent(t *testing.T) {
	d := newDashboard(t, open)
	parent := d.create(t, callback.Spec{Name: "outer"})
	cb := d.create(t, callback.Spec{Name: "orders", Parent: parent.ID, DeliverTo: "https://hooks.example.com/", Own: &callback.Own{Data: []byte(`{"n":1.0,"s":"<b>"}`)}})
	d.call(t, cb, http.Header{"Content-Type": {"application/json"}, "X-Note": {hostile}, "X-Long": {strings.Repeat(hostile, 600)}, "X-Link-Status": {"Failed"}, "X-Link-Error-Text": {hostile}}, `{"a":1.50,"b":"<script>alert(1)</script>`+"\u202e"+`"}`)
	path := "/callback/" + cb.ID.String()
	got := d.get(t, path)
	wantIn(t, got, 200, "failed", "outer", parent.ID.String(), "https://hooks.example.com/", "pending", `&#34;n&#34;: 1.0`, "curl -i -X", "Deliver the result again", "‹U+202E›", "The accepted call", "What has happened")
	wantHarmless(t, got.Body.String())
	if strings.Contains(got.Body.String(), "1.50") {
		t.Error("the body is shown before anybody asks for it")
	}
	body := d.get(t, path+"/body/call")
	wantIn(t, body, 200, "&#34;a&#34;: 1.50", "All of it, as JSON")
	wantHarmless(t, body.Body.String())
	wantIn(t, d.get(t, path+"/body/ack"), 404)
	wantIn(t, d.get(t, path+"/body/nothing"), 404)
	file := d.get(t, path+"/download/call")
	if h := file.Header(); file.Code != 200 || h.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment;") || h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(file.Body.String(), `{"a":1.50`) {
		t.Errorf("%d %v %s", file.Code, h, file.Body)
	}
	wantIn(t, d.get(t, "/callback/"+callback.NewUUID().String()), 404, "No callback has this id")
}

func TestBodiesAreShownAtOnceIfTheConfigurationSaysSo(t *testing.T) {
	d := newDashboard(t, func(d *Dashboard) { d.KeyOff, d.Bodies = true, bodiesShow })
	cb := d.create(t, callback.Spec{})
	d.call(t, cb, nil, strings.Repeat("0123456789", mostInline/5))
	wantIn(t, d.get(t, "/callback/"+cb.ID.String()), 200, "The first 4.0 KiB", "as text", "0123456789")
}

// What a page takes does not grow with a body.
func TestLargeBodyIsShownInPart(t *testing.T) {
	d := newDashboard(t, open)
	for name, body := range map[string]string{"text": strings.Repeat("\u202e", 1<<20), "json": "[" + strings.Repeat("[", 4<<20), "bytes": strings.Repeat("\x00", 5<<20)} {
		cb := d.create(t, callback.Spec{})
		d.call(t, cb, nil, body)
		got := d.get(t, "/callback/"+cb.ID.String()+"/body/call")
		wantIn(t, got, 200, "The first")
		if got.Body.Len() > 8*mostShown {
			t.Errorf("%s: the page has %d bytes", name, got.Body.Len())
		}
		wantIn(t, d.get(t, "/callback/"+cb.ID.String()+"/replay/call"), 200, "is sent as it came")
	}
}

func TestActsAreForms(t *testing.T) {
	d := newDashboard(t, open)
	cb := d.create(t, callback.Spec{Name: "orders"})
	path := "/callback/" + cb.ID.String()
	wantIn(t, d.post(t, path+"/redeliver", nil), 409, "nothing to deliver")
	wantIn(t, d.post(t, path+"/explode", nil), 404)
	wantIn(t, d.post(t, path+"/resolve", url.Values{"outcome": {"Perhaps"}}), 400, "outcome")
	wantIn(t, d.post(t, path+"/resolve", nil), 400)
	got := d.post(t, path+"/resolve", url.Values{"outcome": {"Failed"}, "errorCode": {"E1"}, "errorText": {"It broke."}, "contentType": {"text/plain"}, "body": {"two\r\nlines"}})
	if got.Code != 303 || got.Header().Get("Location") != "../../callback/"+cb.ID.String() {
		t.Fatalf("%d %v %s", got.Code, got.Header(), got.Body)
	}
	wantIn(t, d.get(t, path), 200, "E1", "It broke.", "text/plain")
	wantIn(t, d.get(t, path+"/body/call"), 200, "two\nlines")
	wantIn(t, d.post(t, path+"/resolve", url.Values{"outcome": {"Ok"}, "body": {"other"}}), 409)
	closed := d.create(t, callback.Spec{})
	wantIn(t, d.post(t, "/callback/"+closed.ID.String()+"/close", nil), 303)
	wantIn(t, d.get(t, "/callback/"+closed.ID.String()), 200, "it was closed through the dashboard")
	wantIn(t, d.post(t, "/callback/"+callback.NewUUID().String()+"/close", nil), 404)
}

func TestActOnAllAsksForTheNumberAndReports(t *testing.T) {
	d := newDashboard(t, open)
	for range 7 {
		d.create(t, callback.Spec{Name: "many"})
	}
	kept := d.create(t, callback.Spec{Name: "kept"})
	wantIn(t, d.get(t, "/list?name=many"), 200, `href="./list/close?name=many"`, `href="./list/resolve?name=many"`)
	asked := d.get(t, "/list/close?name=many")
	wantIn(t, asked, 200, "7 callbacks", `name="expect" value="7"`, "cannot be undone")
	action := regexp.MustCompile(`method="post" action="([^"]*)"`).FindStringSubmatch(asked.Body.String())[1]
	action = "/list/close" + strings.ReplaceAll(action, "&amp;", "&")
	d.create(t, callback.Spec{Name: "many"})
	wantIn(t, d.post(t, action, nil), 400, "expect")
	wantIn(t, d.post(t, action, url.Values{"expect": {"6"}}), 409, "More match")
	done := d.post(t, action, url.Values{"expect": {"7"}})
	wantIn(t, done, 303)
	report := d.get(t, "/"+strings.TrimPrefix(done.Header().Get("Location"), "../"))
	wantIn(t, report, 200, "7 callbacks were closed", "Of 7 callbacks that matched, 7 were closed.")
	wantIn(t, d.get(t, "/list?name=many&phase=waiting"), 200, "the call")
	wantIn(t, d.get(t, "/list/close?name=many"), 200, "1 callback")
	wantIn(t, d.get(t, "/list?report=unknown"), 200, "The report is not kept any longer")
	wantIn(t, d.get(t, "/callback/"+kept.ID.String()), 200, ">waiting<")
	wantIn(t, d.get(t, "/list/explode"), 404)
	resolve := d.get(t, "/list/resolve?name=kept")
	wantIn(t, resolve, 200, `name="outcome"`)
	wantIn(t, d.post(t, "/list/resolve?name=kept", url.Values{"expect": {"1"}, "outcome": {"Ok"}, "body": {"yes"}}), 303)
	wantIn(t, d.get(t, "/callback/"+kept.ID.String()), 200, ">resolved<")
}

func TestReportsAreFinite(t *testing.T) {
	t.Parallel()
	var rs reports
	first := rs.keep(keptReport{by: "a"})
	if _, ok := rs.find(first, "b"); ok {
		t.Error("another sees the report")
	}
	for range mostReports {
		rs.keep(keptReport{by: "a"})
	}
	if _, ok := rs.find(first, "a"); ok || len(rs.kept) != mostReports {
		t.Errorf("%d reports are kept", len(rs.kept))
	}
}

func TestCallIsReplayedOnAnother(t *testing.T) {
	d := newDashboard(t, open)
	cb, other, third := d.create(t, callback.Spec{Name: "orders"}), d.create(t, callback.Spec{Name: "orders", CorrelationID: "the-other"}), d.create(t, callback.Spec{Name: "orders"})
	d.call(t, cb, http.Header{"Content-Type": {"text/plain"}, "X-Link-Correlation-Id": {cb.CorrelationID}, "X-Note": {"a"}}, "\nthe body")
	path := "/callback/" + cb.ID.String() + "/replay/call"
	form := d.get(t, path)
	wantIn(t, form, 200, other.ID.String(), "X-Note: a", "<textarea name=\"body\" rows=\"12\" spellcheck=\"false\">\n\nthe body</textarea>")
	if strings.Contains(form.Body.String(), cb.CorrelationID) {
		t.Error("the call would bear the correlation id of another callback")
	}
	fields := url.Values{"target": {"the-other"}, "method": {"PUT"}, "query": {"?a=b"}, "header": {"X-Note: b\r\nContent-Type: text/plain\r\n"}, "body": {"edited\r\n"}}
	done := d.post(t, path, fields)
	if done.Code != 303 || done.Header().Get("Location") != "../../../callback/"+other.ID.String() {
		t.Fatalf("%d %v %s", done.Code, done.Header(), done.Body)
	}
	wantIn(t, d.get(t, "/callback/"+other.ID.String()), 200, ">PUT<", "a=b", "X-Note")
	wantIn(t, d.get(t, "/callback/"+other.ID.String()+"/body/call"), 200, "edited\n<")
	fields.Set("target", third.ID.String())
	fields.Set("keep", "on")
	wantIn(t, d.post(t, path, fields), 303)
	wantIn(t, d.get(t, "/callback/"+third.ID.String()+"/body/call"), 200, "<bdi>\nthe body</bdi>")
	for _, c := range []struct{ field, value, want string }{
		{"target", "", "Say on which callback"}, {"target", "nobody", "none waits"}, {"method", "BREW", "It must be one of"}, {"header", "no colon", "Each line must be"},
		{"header", "a b: c", "Each line must be"}, {"header", "a: b\x01", "Each line must be"},
	} {
		fields := url.Values{"target": {d.create(t, callback.Spec{}).ID.String()}, "method": {"POST"}}
		fields.Set(c.field, c.value)
		wantIn(t, d.post(t, path, fields), 400, c.want)
	}
	wantIn(t, d.post(t, path, url.Values{"target": {other.ID.String()}, "method": {"POST"}, "body": {"again"}}), 409)
}

func TestApprovalsAreListedOldestFirst(t *testing.T) {
	d := newDashboard(t, open)
	first, second := d.create(t, callback.Spec{Confirm: true}), d.create(t, callback.Spec{Confirm: true})
	d.create(t, callback.Spec{})
	got := d.get(t, "/approvals").Body.String()
	if a, b := strings.Index(got, first.ID.String()), strings.Index(got, second.ID.String()); a < 0 || b < a || strings.Count(got, "<article") != 2 {
		t.Errorf("%s", got)
	}
}

func TestOperatorDecidesInAPersonsPlace(t *testing.T) {
	d := newDashboard(t, nil)
	asking := func() *callback.Policy {
		return &callback.Policy{BaseURL: "https://app.example.com", Confirm: &callback.Confirm{
			Title: "Approve?", Choices: []callback.Choice{{Name: "yes", Label: "Yes, pay"}, {Name: "no", Label: "No <b>", Failed: true}},
		}}
	}
	ask := func(spec callback.Spec) *engine.Callback {
		spec.Confirm = true
		return d.createBy(t, asking(), spec)
	}
	first := ask(callback.Spec{Name: "orders", Question: &callback.Question{Title: callback.Text{"Pay ", hostile, "?"}, Text: callback.Text{"For ", strings.Repeat("x", 2*mostAsked)}}})
	second := ask(callback.Spec{})
	visit := func(method, path, user, key string, fields url.Values) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://ops.test"+path, strings.NewReader(fields.Encode()))
		r.Header.Set("Accept", "text/html")
		if fields != nil {
			r.Header.Set("Content-Type", formType)
		}
		r.SetBasicAuth(user, key)
		return d.serve(t, r)
	}
	list := visit("GET", "/approvals", "operator", operatorKey, nil)
	wantIn(t, list, 200, "Pay </bdi><span class=\"given\">", "Approve?", `name="choice" value="yes">Yes, pay</button>`, "No &lt;b&gt;", `action="./callback/`+first.ID.String()+`/decide"`)
	wantHarmless(t, list.Body.String())
	if strings.Contains(list.Body.String(), strings.Repeat("x", mostAsked+1)) {
		t.Error("a long text is shown as a whole in the list")
	}
	wantIn(t, visit("GET", "/callback/"+first.ID.String(), "operator", operatorKey, nil), 200, "What a person is asked", strings.Repeat("x", 2*mostAsked))
	wantIn(t, visit("GET", "/", "watcher", watcherKey, nil), 200, "Somebody has to decide.")
	if got := visit("GET", "/approvals", "watcher", watcherKey, nil).Body.String(); strings.Contains(got, "<button") {
		t.Errorf("who may not act has buttons: %s", got)
	}
	path := "/callback/" + first.ID.String() + "/decide"
	wantIn(t, visit("POST", path, "watcher", watcherKey, url.Values{"choice": {"yes"}}), 403)
	wantIn(t, visit("POST", path, "operator", operatorKey, url.Values{"choice": {"perhaps"}}), 400, "does not ask")
	wantIn(t, visit("POST", "/callback/"+d.create(t, callback.Spec{}).ID.String()+"/decide", "operator", operatorKey, url.Values{"choice": {"yes"}}), 400)
	for range 2 {
		done := visit("POST", path, "operator", operatorKey, url.Values{"choice": {"no"}, "back": {"approvals"}})
		if done.Code != 303 || done.Header().Get("Location") != "../../approvals" {
			t.Fatalf("%d %v %s", done.Code, done.Header(), done.Body)
		}
	}
	wantIn(t, visit("POST", path, "operator", operatorKey, url.Values{"choice": {"yes"}}), 409)
	wantIn(t, visit("GET", "/callback/"+first.ID.String(), "operator", operatorKey, nil), 200, ">failed<", "A person has decided.", "By</span> <bdi>operator</bdi>", "Reason:</span> <bdi>no</bdi>")
	wantIn(t, visit("POST", "/callback/"+second.ID.String()+"/decide", "operator", operatorKey, url.Values{"choice": {"yes"}}), 303)
	wantIn(t, visit("GET", "/callback/"+second.ID.String(), "operator", operatorKey, nil), 200, ">resolved<")
	wantIn(t, visit("GET", "/approvals", "operator", operatorKey, nil), 200, "Nobody has to decide anything")
}

func TestLiveTellsWhatHappens(t *testing.T) {
	d := newDashboard(t, open)
	address := "/" + strings.TrimPrefix(d.get(t, "/live?name=orders").Header().Get("Location"), "./")
	d.create(t, callback.Spec{Name: "orders", CorrelationID: "a<b>"})
	d.create(t, callback.Spec{Name: "others", CorrelationID: "not-meant"})
	got := d.get(t, address)
	wantIn(t, got, 200, "created", "a&lt;b&gt;", "It was made.")
	if strings.Contains(got.Body.String(), "not-meant") {
		t.Error("the filter lets all through")
	}
	for range mostChanges {
		d.create(t, callback.Spec{Name: "orders"})
	}
	wantIn(t, d.get(t, address), 200, "There were more")
	wantIn(t, d.get(t, "/live?since=unknown"), 200, "not known any more")
}

func TestWhatNeedsAttentionIsSaid(t *testing.T) {
	d := newDashboard(t, open)
	d.app.MaxWaiting = 2
	cb := d.create(t, callback.Spec{Name: "orders"})
	d.create(t, callback.Spec{Name: "orders"})
	wantIn(t, d.get(t, "/"), 200, "2 callbacks wait, and max_waiting allows 2.", "orders")
	d.call(t, cb, http.Header{"X-Link-Status": {"Failed"}}, "")
	wantIn(t, d.get(t, "/"), 200, "1 callback has failed in the last hour.", "1 calls were accepted in the last hour.")
}

func TestKeyForSomeNamesSeesTheseOnly(t *testing.T) {
	d := newDashboard(t, nil)
	d.create(t, callback.Spec{Name: "orders", CorrelationID: "mine"})
	d.create(t, callback.Spec{Name: "invoices", CorrelationID: "anothers"})
	for _, path := range []string{"/", "/list", "/list?name=invoices", "/approvals", "/routes", "/list/close?"} {
		r := browserRequest(path)
		r.SetBasicAuth("orders", ordersKey)
		got := d.serve(t, r).Body.String()
		for _, not := range []string{"invoices</bdi>", "anothers", "https://app.example.com", "Held", "2 callbacks"} {
			if strings.Contains(got, not) {
				t.Errorf("%s has %s:\n%s", path, not, got)
			}
		}
	}
	r := browserRequest("/routes/check")
	r.Method = http.MethodPost
	r.SetBasicAuth("orders", ordersKey)
	wantIn(t, d.serve(t, r), 403)
}
