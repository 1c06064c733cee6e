package integration

import (
	"fmt"
	"html"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// opsURL is where the dashboard of keyedDashboard is mounted.
const opsURL = "http://ops.test/in/ops/"

// keyedDashboard starts a server whose dashboard is mounted below a path and asks for keys, none
// of which it may ever log.
func keyedDashboard(t *testing.T, cfg harness.Config) *stage {
	t.Helper()
	s := newStage(t)
	for name, key := range map[string]string{"CB_READ": watcherKey, "CB_MANAGE": managerKey, "CB_CREATE": creatorKey} {
		s.NeverLog(key)
		s.Setenv(name, key)
	}
	cfg.Callback += "key watcher {env.CB_READ} read\nkey operator {env.CB_MANAGE} read manage\nkey maker {env.CB_CREATE} create read\n"
	cfg.Sites += s.Site("ops", "handle_path /in/ops* {\n\tcallback_dashboard\n}\nrespond elsewhere 418")
	s.Start(t, withAPI(s, cfg, ""))
	return s
}

// browser is a person with a browser that runs no script.
type browser struct {
	*stage
	name, key string
	// at is the address of the page that is open.
	at *url.URL
}

func (s *stage) operator() *browser { return &browser{stage: s, name: "operator", key: managerKey} }

// visit sends a request as the browser does, and follows what it is answered.
func (b *browser) visit(t *testing.T, method, address string, fields url.Values) *harness.Response {
	t.Helper()
	for range 5 {
		contentType := ""
		if fields != nil {
			contentType = "application/x-www-form-urlencoded"
		}
		req := harness.NewRequest(t, method, address, contentType, fields.Encode())
		req.SetBasicAuth(b.name, b.key)
		req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		if method == http.MethodPost {
			req.Header.Set("Origin", "http://ops.test")
		}
		got := b.public(t, req)
		b.at = req.URL
		if got.Status < 300 || got.Status >= 400 {
			return got
		}
		to, err := req.URL.Parse(got.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if method, address, fields = http.MethodGet, to.String(), nil; got.Status != http.StatusSeeOther && got.Status != http.StatusPermanentRedirect {
			t.Fatalf("sent on with %d", got.Status)
		}
	}
	t.Fatal("sent on and on")
	return nil
}

// open opens a page, whose address may be relative to the one that is open, and must show these
// texts.
func (b *browser) open(t *testing.T, address string, texts ...string) string {
	t.Helper()
	return b.shows(t, b.visit(t, http.MethodGet, b.resolve(t, address), nil), texts...)
}

func (b *browser) resolve(t *testing.T, address string) string {
	t.Helper()
	if b.at == nil {
		b.at, _ = url.Parse(opsURL)
	}
	to, err := b.at.Parse(html.UnescapeString(address))
	if err != nil {
		t.Fatal(err)
	}
	return to.String()
}

func (b *browser) shows(t *testing.T, got *harness.Response, texts ...string) string {
	t.Helper()
	wantStatus(t, got, http.StatusOK)
	wantHeader(t, got.Header, "Content-Type", "text/html; charset=utf-8")
	wantNotStored(t, got.Header)
	for _, text := range texts {
		if !strings.Contains(string(got.Body), text) {
			t.Errorf("%s lacks %s:\n%s", b.at, text, got.Body)
		}
	}
	return string(got.Body)
}

// link returns where the link of a page with that text leads.
func link(t *testing.T, page, text string) string {
	t.Helper()
	found := regexp.MustCompile(`<a [^>]*href="([^"]*)"[^>]*>` + regexp.QuoteMeta(text) + `</a>`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("there is no link %s:\n%s", text, page)
	}
	return found[1]
}

var (
	forms  = regexp.MustCompile(`(?s)<form[^>]* method="post"(?: action="([^"]*)")?[^>]*>(.*?)</form>`)
	hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// press sends the form of a page that has the button, with further fields filled in.
func (b *browser) press(t *testing.T, page, button string, fields url.Values) *harness.Response {
	t.Helper()
	for _, f := range forms.FindAllStringSubmatch(page, -1) {
		if !strings.Contains(f[2], ">"+button+"</button>") {
			continue
		}
		sent := make(url.Values)
		for _, h := range hidden.FindAllStringSubmatch(f[2], -1) {
			sent.Set(h[1], html.UnescapeString(h[2]))
		}
		for name, values := range fields {
			sent[name] = values
		}
		return b.visit(t, http.MethodPost, b.resolve(t, f[1]), sent)
	}
	t.Fatalf("there is no button %s:\n%s", button, page)
	return nil
}

// An operator sees which request waits, and answers it in the partner's place: with a browser
// that runs no script, at pages that are mounted below a path.
func TestOperatorFindsAndAnswersWhatIsHeld(t *testing.T) {
	t.Parallel()
	s := keyedDashboard(t, harness.Config{Hold: "name orders\n"})
	x := s.post(t, "application/json", `{"order":17}`)
	b := s.operator()
	now := b.open(t, "http://ops.test/in/ops", "You are", "operator", "<b><a href=\"./list?phase=waiting\">1</a></b>", ">orders</bdi>")
	if b.at.String() != opsURL {
		t.Errorf("the page is at %s", b.at)
	}
	list := b.open(t, link(t, now, "Callbacks"), "the call", ">orders</bdi>", x.received.Header.Get(correlationHeader))
	one := b.open(t, link(t, list, anyUUID.FindString(regexp.MustCompile(`callback/[^"]*`).FindString(list))), ">waiting<", "It was made.", "No call was taken yet.")
	b.shows(t, b.press(t, one, "Resolve", url.Values{"outcome": {"Ok"}, "contentType": {"application/json"}, "body": {`{"by":"hand"}`}}), ">resolved<", "By</span> <bdi>operator</bdi>")
	wantAnswer(t, x.Answer(t), http.StatusOK, `{"by":"hand"}`)
	body := b.open(t, link(t, b.open(t, b.at.String()), "Show"), "&#34;by&#34;: &#34;hand&#34;", "application/json")
	file := b.visit(t, http.MethodGet, b.resolve(t, link(t, strings.ReplaceAll(body, " download>", ">"), "Download")), nil)
	wantAnswer(t, file, http.StatusOK, `{"by":"hand"}`)
	wantHeader(t, file.Header, "Content-Type", "application/octet-stream")
	if d := file.Header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment;") {
		t.Errorf("Content-Disposition is %q", d)
	}
	b.shows(t, b.visit(t, http.MethodGet, opsURL+"list?q="+x.received.Header.Get(correlationHeader), nil), ">resolved<")
}

func TestWatcherSeesAndCannotAct(t *testing.T) {
	t.Parallel()
	s := keyedDashboard(t, harness.Config{})
	c := s.create(t, `{}`, bearer(creatorKey)...)
	b := &browser{stage: s, name: "watcher", key: watcherKey}
	one := b.open(t, "callback/"+c.ID, "You are", "watcher", "Your key may see, but not act.")
	if strings.Contains(one, `method="post"`) {
		t.Error("there are buttons")
	}
	for _, act := range []string{"close", "redeliver", "resolve"} {
		got := b.visit(t, http.MethodPost, opsURL+"callback/"+c.ID+"/"+act, url.Values{"outcome": {"Ok"}})
		wantStatus(t, got, http.StatusForbidden)
		got = b.visit(t, http.MethodPost, opsURL+"list/"+act+"?", url.Values{"outcome": {"Ok"}, "expect": {"1"}})
		wantStatus(t, got, http.StatusForbidden)
	}
	b.open(t, "../callback/"+c.ID, ">waiting<")
	b.key = "nobody's key at all"
	got := b.visit(t, http.MethodGet, opsURL, nil)
	wantStatus(t, got, http.StatusUnauthorized)
	wantHeader(t, got.Header, "Www-Authenticate", `Basic realm="callback dashboard", charset="UTF-8"`)
	wantAnswer(t, s.fetch(t, "http://ops.test/elsewhere"), http.StatusTeapot, "elsewhere")
}

func TestOperatorClosesAllThatMatch(t *testing.T) {
	t.Parallel()
	s := keyedDashboard(t, harness.Config{})
	var made []created
	for i := range 60 {
		made = append(made, s.create(t, fmt.Sprintf(`{"correlationId":"many-%d"}`, i), bearer(creatorKey)...))
	}
	b := s.operator()
	list := b.open(t, "list?phase=waiting", "Next page")
	asked := b.open(t, link(t, list, "Close all that match"), "60 callbacks")
	late := s.create(t, `{}`, bearer(creatorKey)...)
	report := b.shows(t, b.press(t, asked, "Close 60 callbacks", nil), "60 callbacks were closed", "No callback matches these filters")
	if !strings.Contains(report, `role="status"`) {
		t.Error("the report is not read out")
	}
	for i, c := range append(made, late) {
		want := map[bool]string{true: "closed", false: "waiting"}[i < len(made)]
		b.open(t, opsURL+"callback/"+c.ID, ">"+want+"<")
	}
	wantProblem(t, s.callURL(t, http.MethodPost, made[0].CallbackURL, ""), http.StatusGone, "closed")
}

func TestDeadDeliveryIsFoundAndBegunAnew(t *testing.T) {
	t.Parallel()
	s := keyedDashboard(t, harness.Config{
		Callback: "deliver {\n\tallow http://nobody.invalid\n\tretry 1ms\n}\n",
	})
	c := s.create(t, `{"deliverTo":"http://nobody.invalid/hook?token=secret"}`, bearer(creatorKey)...)
	wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "x"), http.StatusOK)
	b := s.operator()
	harness.Eventually(t, "the delivery is given up", func() bool {
		return strings.Contains(b.open(t, opsURL), "1 delivery was given up")
	})
	list := b.open(t, link(t, b.open(t, opsURL), "Look at them"), "nobody: its delivery was given up")
	one := b.open(t, link(t, list, c.ID), "given up", "connection failed")
	b.shows(t, b.press(t, one, "Deliver the result again", nil), "redelivered", "By</span> <bdi>operator</bdi>")
}

// What partners send is text, wherever it stands.
func TestHostileContentIsShownAsText(t *testing.T) {
	t.Parallel()
	const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`
	s := keyedDashboard(t, harness.Config{})
	c := s.create(t, `{"correlationId":"`+strings.ReplaceAll(hostile, `"`, `\"`)+`","data":{"x":"`+strings.ReplaceAll(hostile, `"`, `\"`)+`"}}`, bearer(creatorKey)...)
	req := harness.NewRequest(t, http.MethodPost, c.CallbackURL+"?"+url.QueryEscape(hostile)+"=1", "text/html", hostile+"\u202e\x1b[2J"+strings.Repeat("x", 10<<20-200))
	req.Header.Set("X-Long", strings.Repeat("<b>", 4<<10))
	req.Header.Set("X-Link-Status", "Failed")
	req.Header.Set("X-Link-Error-Text", hostile)
	wantStatus(t, s.public(t, req), http.StatusOK)
	b := s.operator()
	for _, path := range []string{"list", "callback/" + c.ID, "callback/" + c.ID + "/body/call", "callback/" + c.ID + "/replay/call", "list?q=" + url.QueryEscape(hostile), "live", "approvals"} {
		page := b.open(t, opsURL+path)
		if strings.Contains(page, "<script>") || strings.Contains(page, "<img") || strings.Contains(page, "<b>\n") || strings.ContainsAny(page, "\u202e\x1b") {
			t.Errorf("%s has what was sent:\n%s", path, short([]byte(page)))
		}
		if len(page) > 600<<10 {
			t.Errorf("%s has %d bytes", path, len(page))
		}
	}
	file := b.visit(t, http.MethodGet, opsURL+"callback/"+c.ID+"/download/call", nil)
	wantStatus(t, file, http.StatusOK)
	if len(file.Body) < 10<<20-200 {
		t.Errorf("the file has %d bytes", len(file.Body))
	}
}

// The check makes a real call to base_url, and knows its own server.
func TestCheckFindsOutWhereBaseURLLeads(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := keyedDashboard(t, harness.Config{
		BaseURL: "http://" + address, Callback: "status_url http://nobody.invalid\n",
		Before: "", Sites: "http://" + address + " {\n\tbind 127.0.0.1\n\tcallback_server\n\trespond 404\n}\n",
	})
	b := s.operator()
	view := b.open(t, "routes", "not checked", address)
	b.shows(t, b.press(t, view, "Check now", nil), "It leads to this server&#39;s callback_server.", "Nothing answered: connection failed.")
}

// Streams that pages listen to end with the server, and not only with their readers.
func TestPagesThatListenDoNotDelayTheExit(t *testing.T) {
	t.Parallel()
	s := keyedDashboard(t, harness.Config{})
	c := s.create(t, `{}`, bearer(creatorKey)...)
	client := s.PatientClient(t, harness.HTTP1)
	defer client.CloseIdleConnections()
	req := harness.NewRequest(t, http.MethodGet, opsURL+"events?id="+c.ID, "", "")
	req.SetBasicAuth("operator", managerKey)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	wantHeader(t, resp.Header, "Content-Type", "text/event-stream")
	heard := make(chan string, 16)
	go func() {
		defer close(heard)
		b := make([]byte, 4<<10)
		for {
			n, err := resp.Body.Read(b)
			if n > 0 {
				heard <- string(b[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "x"), http.StatusOK)
	for text := ""; !strings.Contains(text, `"phase":"resolved"`); {
		text += harness.Receive(t, "the change", heard)
	}
	s.Terminate(t)
	if code := s.Exited(t, 10*time.Second); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}

// The configuration is shown as it runs, after a reload too, without what stands in it that may
// open something.
func TestDirectivesAreShownAsTheyRun(t *testing.T) {
	t.Parallel()
	cfg := harness.Config{Hold: "name orders\ninject header X-Token very-secret\nfailed json status failed\n"}
	s := newStage(t)
	s.Setenv("CB_MANAGE", managerKey)
	cfg.Callback = "key operator {env.CB_MANAGE} read manage\n"
	cfg.Sites = s.Site("ops", "handle_path /in/ops* {\n\tcallback_dashboard\n}\n")
	s.Start(t, cfg)
	b := s.operator()
	view := b.open(t, opsURL+"routes", "callback hold <bdi>orders</bdi>", "app.test", "none since the server was started", "&#34;failed&#34;", "callback_server", "callback_dashboard")
	if strings.Contains(view, "very-secret") || strings.Contains(view, "CB_MANAGE") {
		t.Errorf("a secret is shown:\n%s", view)
	}
	x := s.post(t, "application/json", `{}`)
	wantStatus(t, x.call(t, "application/json", `{"status":"done"}`), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, `{"status":"done"}`)
	b.open(t, opsURL, "1 calls were accepted in the last hour.")
	cfg.Hold = "name invoices\n"
	s.MustReload(t, cfg)
	s.Settle(t)
	if view := b.open(t, opsURL+"routes", "callback hold <bdi>invoices</bdi>"); strings.Contains(view, "orders") {
		t.Errorf("what is not configured any more is shown:\n%s", view)
	}
	b.open(t, opsURL, "1 calls were accepted in the last hour.", ">orders</bdi>")
}

func TestOperatorApprovesWhatWaitsForAPerson(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_MANAGE", managerKey)
	s.Start(t, harness.Config{
		Callback: "key operator {env.CB_MANAGE} read manage\n", Private: s.gate(""),
		Sites: s.Site("ops", "handle_path /in/ops* {\n\tcallback_dashboard\n}\n"),
	})
	_, status, then := s.told(t, `{"amount":1.10,"to":[{"name":"<b>Bob</b>\u202e"}]}`)
	b := s.operator()
	view := b.open(t, opsURL+"approvals", `Pay </bdi><span class="given"><bdi>1.10</bdi></span>`, "&lt;b&gt;Bob&lt;/b&gt;‹U+202E›", "gate")
	b.shows(t, b.press(t, view, "Approve", url.Values{"choice": {"approve"}}), "Nobody has to decide anything")
	onward := s.partner.Received(t, then)
	wantHeader(t, onward.Header, "X-Choice", "approve")
	wantHeader(t, onward.Header, "X-By", "operator")
	harness.Eventually(t, "it has ended", func() bool { return s.status(t, status).Phase == "resolved" })
	one := b.open(t, link(t, b.open(t, opsURL+"list?name=gate"), s.status(t, status).ID))
	if !strings.Contains(one, "A person has decided.") || !strings.Contains(one, "By</span> <bdi>operator</bdi>") {
		t.Errorf("the history does not say who has decided:\n%s", one)
	}
}
