package integration

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// browse opens a URL as a browser does for a person.
func (s *stage) browse(t *testing.T, method, target string, lines ...string) *harness.Response {
	t.Helper()
	return s.callURL(t, method, target, "", append(lines, asBrowser...)...)
}

// person sends a request as a browser does, and is the exchange of a person, who gets a page in place of 202.
func (s *stage) person(t *testing.T, method string) *exchange {
	t.Helper()
	req := harness.NewRequest(t, method, harness.HTTP1.URL(s.path()), "", "")
	for i := 0; i < len(asBrowser); i += 2 {
		req.Header.Set(asBrowser[i], asBrowser[i+1])
	}
	return s.forward(t, harness.HTTP1, req)
}

// wantToPage checks that a person is sent to the page, and returns its URL.
func wantToPage(t *testing.T, got *harness.Response) string {
	t.Helper()
	wantStatus(t, got, http.StatusSeeOther)
	wantVaries(t, got)
	wantNotStored(t, got.Header)
	location := got.Header.Get("Location")
	if !statusURLForm.MatchString(location) {
		t.Fatalf("the person is sent to %q", location)
	}
	return location
}

// loaded matches what a page loads.
var loaded = regexp.MustCompile(`(?:href|src)="([^"]*/page\.(?:css|js))"`)

// wantAssets checks that what the page at a URL loads is there.
func (s *stage) wantAssets(t *testing.T, at string, got *harness.Response) {
	t.Helper()
	base, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	found := loaded.FindAllSubmatch(got.Body, -1)
	if len(found) != 2 {
		t.Fatalf("the page loads %q:\n%s", found, got.Body)
	}
	for _, match := range found {
		relative, err := url.Parse(string(match[1]))
		if err != nil || relative.IsAbs() || relative.Host != "" {
			t.Fatalf("the page loads %s", match[1])
		}
		wantStatus(t, s.fetch(t, base.ResolveReference(relative).String()), http.StatusOK)
	}
}

func TestPersonSeesThePageInPlaceOf202(t *testing.T) {
	t.Parallel()
	s := startParked(t, `message "Your order is <being> checked."`+"\npage")
	x := s.person(t, http.MethodPost)
	at := wantToPage(t, x.Answer(t))
	s.NeverLog(anyUUID.FindString(at))
	for _, target := range []string{at, at + "/", strings.Replace(at, "/cbr/", "//cbr//", 1), at + "?refresh=off"} {
		got := s.browse(t, http.MethodGet, target)
		wantPage(t, got, http.StatusOK, "<h1>Please wait</h1>", "Your order is &lt;being&gt; checked.", `href="`+at+`"`, `<meta name="waits"`, "Check now")
		s.wantAssets(t, target, got)
		if refreshes := strings.Contains(string(got.Body), `http-equiv="refresh"`); refreshes == strings.HasSuffix(target, "off") {
			t.Errorf("%s refreshes: %v", target, refreshes)
		}
	}
	wantStatus(t, s.browse(t, http.MethodHead, at), http.StatusOK)
	if got := wantToPage(t, s.browse(t, http.MethodGet, at+"/result")); got != at {
		t.Errorf("the result leads to %s", got)
	}
	program := s.fetch(t, at)
	wantHeader(t, program.Header, "Content-Type", "application/json")
	wantVaries(t, program)
	wantStatus(t, s.callURL(t, http.MethodGet, at+"/result", "", "Accept", "*/*"), http.StatusAccepted)
	wantPage(t, s.callURL(t, http.MethodGet, at+"?page", "", "Sec-Fetch-Mode", "cors"), http.StatusOK, "<h1>Please wait</h1>")
	y := s.post(t, "application/json", "{}")
	wantVaries(t, y.Answer(t))
	s.wantParked(t, y.Answer(t))
}

// What partners and clients send is shown as text, and pages are never rendered.
func TestPageShowsTheEnd(t *testing.T) {
	t.Parallel()
	const hostile = "<script>alert(1)</script>\u202e"
	const shown = "&lt;script&gt;alert(1)&lt;/script&gt;"
	for name, test := range map[string]struct {
		options string
		end     func(*testing.T, *stage, *exchange)
		want    []string
		not     string
	}{
		"text": {"", func(t *testing.T, _ *stage, x *exchange) { wantStatus(t, x.call(t, "text/plain", hostile), 200) }, []string{"Done", shown, "‹U+202E›", "Download the result"}, ""},
		"JSON": {"", func(t *testing.T, _ *stage, x *exchange) {
			wantStatus(t, x.call(t, "application/json", `{"price":1.10}`), 200)
		}, []string{"Done", "&#34;price&#34;: 1.10"}, ""},
		"page":           {"", func(t *testing.T, _ *stage, x *exchange) { wantStatus(t, x.call(t, "text/html", hostile), 200) }, []string{"Done", "Download the result"}, "alert"},
		"text that says": {"", func(t *testing.T, _ *stage, x *exchange) { wantStatus(t, x.call(t, "", hostile), 200) }, []string{"Done", "Download the result"}, "alert"},
		"long text": {"", func(t *testing.T, _ *stage, x *exchange) {
			wantStatus(t, x.call(t, "text/plain", strings.Repeat("long", 5000)), 200)
		}, []string{"Done", "Download the result"}, "longlong"},
		"nothing": {"", func(t *testing.T, _ *stage, x *exchange) { wantStatus(t, x.call(t, "", ""), 200) }, []string{"Done"}, "Download"},
		"failure": {"error_text json why", func(t *testing.T, s *stage, x *exchange) {
			wantStatus(t, s.callURL(t, http.MethodPost, x.url, `{"why":"`+hostile+`"}`, statusHeader, "Failed", "X-Link-Error-Code", `"><b>`), 200)
		}, []string{"It did not work", shown, "&#34;&gt;&lt;b&gt;"}, ""},
		"failure with a body": {"failed_body on", func(t *testing.T, s *stage, x *exchange) {
			wantStatus(t, s.callURL(t, http.MethodPost, x.url, hostile, statusHeader, "Failed", "Content-Type", "text/plain"), 200)
		}, []string{"It did not work", shown}, ""},
		"expiry": {"expires_in 1s", func(t *testing.T, s *stage, x *exchange) {
			at := x.Answer(t).Header.Get("Location")
			harness.Eventually(t, "it expires", func() bool { return s.status(t, at).Phase == "expired" })
		}, []string{"No answer has come in time"}, ""},
		"closing": {"", func(t *testing.T, s *stage, x *exchange) {
			wantStatus(t, s.admin(t, http.MethodDelete, "/"+s.status(t, x.Answer(t).Header.Get("Location")).ID, ""), 204)
		}, []string{"It was ended before there was an answer"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startParked(t, "page\n"+test.options)
			x := s.person(t, http.MethodPost)
			at := wantToPage(t, x.Answer(t))
			test.end(t, s, x)
			got := s.browse(t, http.MethodGet, at)
			wantPage(t, got, http.StatusOK, append(test.want, `id="news"`)...)
			for _, not := range []string{"<script>", "waits", "refresh", test.not} {
				if not != "" && strings.Contains(string(got.Body), not) {
					t.Errorf("the page has %s:\n%s", not, got.Body)
				}
			}
		})
	}
}

func TestPageShowsProgressAsItComes(t *testing.T) {
	t.Parallel()
	s := startParked(t, "progress json status working\npage {\nprogress json percent\nprogress json note\nprogress json fraction 1\n}")
	x := s.person(t, http.MethodPost)
	at := wantToPage(t, x.Answer(t)) + "?page"
	first := s.fetch(t, at)
	tag := first.Header.Get("ETag")
	wantStatus(t, s.callURL(t, http.MethodGet, at, "", "If-None-Match", tag), http.StatusNotModified)
	news := make(chan *harness.Response, 1)
	go func() {
		got, _ := harness.Send(s.Client(t, harness.HTTP1), withLines(t, at, "If-None-Match", tag, "Prefer", "wait=20")).Outcome()
		news <- got
	}()
	harness.Eventually(t, "the script waits", func() bool { return s.GoroutinesIn(t, "answer.Reading.awaitChange") == 1 })
	wantStatus(t, x.call(t, "application/json", `{"status":"working","percent":"42%","note":"<b>packing</b>","fraction":0.5}`), http.StatusOK)
	got := harness.Receive(t, "the news", news)
	wantPage(t, got, http.StatusOK, `<progress max="100" value="42"`, "42 %", "&lt;b&gt;packing&lt;/b&gt;", `<progress max="1" value="0.5"`, "50 %")
	if got.Header.Get("ETag") == tag {
		t.Error("the tag is the same")
	}
	// A body that is kept in a file.
	wantStatus(t, x.call(t, "application/json", `{"status":"working","percent":"half","x":"`+strings.Repeat("x", 100<<10)+`"}`), http.StatusOK)
	wantPage(t, s.fetch(t, at), http.StatusOK, "<bdi>half</bdi>")
	x.resolve(t, "")
	wantPage(t, s.fetch(t, at), http.StatusOK, "Done")
}

func withLines(t *testing.T, target string, lines ...string) *http.Request {
	t.Helper()
	req := harness.NewRequest(t, http.MethodGet, target, "", "")
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	return req
}

func TestHeldPersonSeesThePageAfterAWhile(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "page {\npatience 700ms\n}"})
	begun := time.Now()
	x := s.person(t, http.MethodPost)
	at := wantToPage(t, x.Answer(t))
	if took := time.Since(begun); took < 700*time.Millisecond {
		t.Errorf("it came after %v", took)
	}
	x.resolve(t, "late")
	wantPage(t, s.browse(t, http.MethodGet, at), http.StatusOK, "Done")
	quick := s.person(t, http.MethodPost)
	quick.resolve(t, "at once")
	wantAnswer(t, quick.Answer(t), http.StatusOK, "at once")
	program := s.get(t)
	program.resolve(t, "held")
	wantAnswer(t, program.Answer(t), http.StatusOK, "held")
}

func TestPersonGoesOnFromThePage(t *testing.T) {
	t.Parallel()
	s := startParked(t, "failed query paid no\npage {\nredir /done?order={http.callback.correlation_id}\n}\nrespond ok\nredir {http.callback.status_url}")
	x := s.person(t, http.MethodPost)
	at := wantToPage(t, x.Answer(t))
	// The person returns before the webhook has come.
	returned := s.browse(t, http.MethodGet, x.url)
	wantStatus(t, returned, http.StatusFound)
	wantHeader(t, returned.Header, "Location", at)
	wantPage(t, s.browse(t, http.MethodGet, at), http.StatusOK, "Please wait")
	x.resolve(t, "paid")
	got := s.browse(t, http.MethodGet, at)
	wantStatus(t, got, http.StatusSeeOther)
	wantHeader(t, got.Header, "Location", harness.BaseURL+"/done?order="+x.received.Header.Get(correlationHeader))
	wantStatus(t, s.fetch(t, at), http.StatusOK)
	failed := s.person(t, http.MethodPost)
	at = wantToPage(t, failed.Answer(t))
	wantStatus(t, s.callURL(t, http.MethodPost, failed.url+"?paid=no", ""), http.StatusOK)
	wantPage(t, s.browse(t, http.MethodGet, at), http.StatusOK, "It did not work")
}

func TestPersonSeesThePageOfATransparentUpstream(t *testing.T) {
	t.Parallel()
	s := startParked(t, "answer ack\nname jobs\npage\nmessage \"One moment.\"")
	x := s.person(t, http.MethodPost)
	wantPage(t, s.browse(t, http.MethodGet, wantToPage(t, x.Answer(t))), http.StatusOK, "One moment.")
	wantStatus(t, s.post(t, "application/json", "{}").Answer(t), http.StatusAccepted)
}

// The page belongs to the callback: it outlives restart, reload and the files of its templates.
func TestPageStaysAsItWasMade(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.WriteFile(t, "de.html", []byte(`{{define "title"}}Bitte warten{{end}}<h1 lang="de">Bitte warten</h1><p>{{text .Message}} {{.Phase}}</p>`))
	s.WriteFile(t, "pt-BR.html", []byte(`<h1>Aguarde</h1>`))
	own := s.parks("page " + s.Path("{lang}.html") + " {\nlang de pt-BR\n}\nmessage \"<Moment>\"")
	s.Start(t, harness.Config{Private: own})
	x := s.person(t, http.MethodPost)
	at := wantToPage(t, x.Answer(t))
	want := func() {
		t.Helper()
		got := s.browse(t, http.MethodGet, at)
		wantPage(t, got, http.StatusOK, `<html lang="de">`, "<title>Bitte warten</title>", "<bdi>&lt;Moment&gt;</bdi> waiting")
		s.wantAssets(t, at, got)
		if !strings.Contains(strings.Join(got.Header.Values("Vary"), ","), "Accept-Language") {
			t.Errorf("Vary is %q", got.Header.Values("Vary"))
		}
		wantPage(t, s.browse(t, http.MethodGet, at, "Accept-Language", "pt;q=0.9, fr"), http.StatusOK, `<html lang="pt-BR">`, "Aguarde")
		wantPage(t, s.browse(t, http.MethodGet, at, "Accept-Language", "en-GB, de;q=0.5"), http.StatusOK, `<html lang="en">`, "Please wait")
	}
	want()
	s.WriteFile(t, "de.html", []byte(`<h1>Neu</h1>`))
	s.MustReload(t, harness.Config{})
	want()
	s.Kill(t)
	s.Start(t, harness.Config{})
	want()
	x.resolve(t, "")
	wantPage(t, s.browse(t, http.MethodGet, at), http.StatusOK, "resolved")
}

func TestTemplateThatIsWrongIsRefusedAtLoad(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"<p>\n{{.Phase":                                          "wait.html:2: unclosed action",
		"<p>\n\n{{shout .Phase}}":                                `wait.html:3: function \"shout\" not defined`,
		"{{.Nothing}}":                                           "there is no field Nothing; there are Phase, Message,",
		"{{range .Progress}}{{.Nope}}{{end}}":                    "wait.html:1:",
		"<a href=\"{{if .Phase}}x\">{{end}}":                     "a value stands where it is not known what it means",
		`{{define "page"}}x{{end}}`:                              "wait.html defines page",
		strings.Repeat("x", 64<<10+1):                            "wait.html has more than 65536 bytes",
		`{{define "x"}}{{template "x"}}x{{end}}{{template "x"}}`: "wait.html:1:",
	} {
		s := newStage(t)
		s.WriteFile(t, "wait.html", []byte(text))
		code, output := s.StartFails(t, harness.Config{Private: s.parks("page " + s.Path("wait.html"))})
		if code == 0 || !strings.Contains(output, want) || !strings.Contains(output, "callback park: page: ") {
			t.Errorf("%.40s: %d %s", text, code, output)
		}
	}
	s := newStage(t)
	if _, output := s.StartFails(t, harness.Config{Private: s.parks("page nosuch.html")}); !strings.Contains(output, "nosuch.html: no such file") {
		t.Error(output)
	}
}

// What pages load is found wherever callback_server is mounted.
func TestPageBelowAPathFindsWhatItLoads(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{
		BaseURL: harness.BaseURL + "/deep/er", Private: s.parks("page"),
		Public: "handle_path /deep/er/* {\ncallback_server\nrespond 404\n}\nrespond 404",
	})
	x := s.person(t, http.MethodPost)
	at := x.Answer(t).Header.Get("Location")
	if !strings.HasPrefix(at, harness.BaseURL+"/deep/er/cbr/") {
		t.Fatal(at)
	}
	for _, target := range []string{at, at + "/"} {
		got := s.browse(t, http.MethodGet, target)
		wantPage(t, got, http.StatusOK)
		s.wantAssets(t, target, got)
	}
	wantProblem(t, s.fetch(t, harness.BaseURL+"/deep/er/cbr/-/page.go"), http.StatusNotFound, "unknown-ticket")
	wantProblem(t, s.callURL(t, http.MethodPost, harness.BaseURL+"/deep/er/cbr/-/page.css", ""), http.StatusMethodNotAllowed, "method-not-allowed")
}
