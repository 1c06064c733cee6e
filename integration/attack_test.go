package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// A client's Connection header removes the headers of its connection. It must not
// remove those that we add, and a trailer must not replace them.
func TestClientCannotTakeAwayWhatIsInjected(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	call := "callback /stepped/* hold {\ncall {\n" + s.toPartner() + "}\n}\n"
	s.Start(t, harness.Config{Private: call + harness.Hold("/orders/*", "", "inject header X-Upstream-Key secret") + s.toPartner()})
	for name, lines := range map[string]string{
		"Connection":           "Connection: keep-alive, X-Link-Callback-Url, x-link-correlation-id,X-Upstream-Key\r\nContent-Length: 2\r\n\r\nok",
		"several":              "Connection: X-Link-Callback-Url\r\nConnection: X-Link-Correlation-Id, X-Upstream-Key\r\nContent-Length: 2\r\n\r\nok",
		"trailers":             "Transfer-Encoding: chunked\r\nTrailer: X-Link-Callback-Url, X-Note\r\n\r\n2\r\nok\r\n0\r\nX-Link-Callback-Url: http://evil.test/cb\r\nX-Note: kept\r\n\r\n",
		"trailers unannounced": "Transfer-Encoding: chunked\r\nTrailer: X-Note\r\n\r\n2\r\nok\r\n0\r\nX-Link-Callback-Url: http://evil.test/cb\r\nX-Note: kept\r\n\r\n",
		"proxy connection":     "Proxy-Connection: X-Link-Callback-Url\r\nKeep-Alive: X-Link-Callback-Url\r\nTE: trailers, X-Link-Callback-Url\r\nContent-Length: 2\r\n\r\nok",
	} {
		for _, prefix := range []string{"", "/stepped"} {
			t.Run(name+prefix, func(t *testing.T) {
				t.Parallel()
				path := prefix + s.path()
				s.rawTo(t, "app", "POST "+path+" HTTP/1.1\r\nHost: app.test\r\n"+lines)
				got := s.partner.Received(t, path)
				if url := got.Header.Values(callbackHeader); len(url) != 1 || !callbackURLForm.MatchString(url[0]) {
					t.Errorf("the partner got the callback URL %q", url)
				}
				if id := got.Header.Values(correlationHeader); len(id) != 1 || !wholeUUID.MatchString(id[0]) {
					t.Errorf("the partner got the correlation id %q", id)
				}
				if prefix == "" {
					wantHeader(t, got.Header, "X-Upstream-Key", "secret")
				}
				if note := got.Trailer.Get("X-Note"); got.Trailer.Get(callbackHeader) != "" || strings.HasPrefix(name, "trailers") && prefix == "" && note != "kept" {
					t.Errorf("the partner got the trailers %v", got.Trailer)
				}
				if string(got.Body) != "ok" {
					t.Errorf("the partner got %q", got.Body)
				}
			})
		}
	}
}

// What follows a request is another request, or nothing: no part of a body may be
// taken for a request.
func TestRequestsAreNotSmuggled(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	for name, message := range map[string]string{
		"body that was not read":    "POST /cb/00000000-0000-4000-8000-000000000000 HTTP/1.1\r\nHost: callbacks.test\r\nContent-Length: %[3]d\r\n\r\n%[2]s",
		"body of a GET":             "GET /cb/00000000-0000-4000-8000-000000000000 HTTP/1.1\r\nHost: callbacks.test\r\nContent-Length: %[3]d\r\n\r\n%[2]s",
		"body of a call to nothing": "POST /cb/ HTTP/1.1\r\nHost: callbacks.test\r\nContent-Length: %[3]d\r\n\r\n%[2]s",
		"body of a status":          "POST /cbr/%[1]s HTTP/1.1\r\nHost: callbacks.test\r\nContent-Length: %[3]d\r\n\r\n%[2]s",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			front, victim := s.get(t), s.get(t)
			hidden := "POST /cb/" + victim.state() + " HTTP/1.1\r\nHost: callbacks.test\r\nContent-Length: 5\r\n\r\nwrong"
			conn := s.rawTo(t, "callbacks", fmt.Sprintf(message, front.state(), hidden, len(hidden)))
			_ = conn.CloseWrite()
			if answers, err := io.ReadAll(conn); err != nil || bytes.Count(answers, []byte("HTTP/1.1 ")) != 1 {
				t.Errorf("answered with %q, %v", answers, err)
			}
			victim.stillWaits(t)
		})
	}
}

// The snippet in the docs keeps every callback URL out of the logs, even at level
// DEBUG and in the headers of answers.
func TestDocumentedFilterKeepsSecretsOutOfEveryLog(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	to := s.toPartner()
	filter := documentedFilter(t)
	lines := func(name string) string {
		return "log {\n\timport without_callback_urls\n\toutput file " + s.Path("log-"+name) + "\n}\n"
	}
	cfg := harness.Config{
		Global: "debug\nlog {\n\timport without_callback_urls\n}\n",
		Public: lines("public") + "callback_server",
		Private: lines("private") + "callback /park/* park\ncallback /steps/* park {\nname steps\ncall {\n" + to + "}\n}\n" +
			harness.Hold("/orders/*", "", "") + to,
		Before: filter,
		Sites:  s.Site("blind", lines("blind")+"respond \"the app\""),
	}
	s.Start(t, cfg)
	held := s.get(t)
	held.resolve(t, "an answer")
	wantStatus(t, held.Answer(t), http.StatusOK)
	for _, prefix := range []string{"/park", "/steps"} {
		path := prefix + s.path()
		got := harness.Do(t, s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "an order"))
		p := decode[parked](t, got)
		s.NeverLog(anyUUID.FindString(strings.TrimPrefix(p.StatusURL, harness.BaseURL)))
		url := s.partner.Received(t, path).Header.Get(callbackHeader)
		s.NeverLog(anyUUID.FindString(url))
		wantStatus(t, s.partner.Call(t, http.MethodPost, url, "text/plain", "a result"), http.StatusOK)
		wantStatus(t, s.fetch(t, p.StatusURL), http.StatusOK)
		wantStatus(t, s.fetch(t, p.ResultURL), http.StatusOK)
	}
	late := s.get(t)
	s.NeverLog("a-key-in-a-url")
	// What the site gets for want of the exact form, and what gets nowhere near
	// callback_server.
	for site, spellings := range map[string][]string{
		harness.BaseURL: {"/CB/STATE/more", "/CB/STATE-", "//cb/x/STATE"},
		"http://blind.test": {
			"/cb/STATE", "/cb/STATE/failed", "//cb/STATE", "/cb//STATE", "/CB/STATE", "/Cbr/STATE/RESULT", "/cb%2FSTATE", "/cb%252fSTATE", "/%2Fcb/STATE",
			"/c%62/STATE", "/%63%42%71/state?state=STATE", "/CB%52/STATE", "/cb/./STATE", "/x/../cb/STATE", "/x/%2e%2e/cb/STATE", "/cb/STATE?api_key=a-key-in-a-url?x=1",
			"/cbq/state?a=1&state=STATE?x=1", "/cb?api_key=a-key-in-a-url", "//CB?api_key=a-key-in-a-url?x=1", "/cb/?x=1&api_key=a-key-in-a-url", "/cb%3Fapi_key=a-key-in-a-url",
		},
	} {
		for _, path := range spellings {
			wantStatus(t, s.fetch(t, site+strings.Replace(path, "STATE", late.state(), 1)), http.StatusOK)
		}
	}
	// What opens a client's events, where it never gets to the directive.
	req := harness.NewRequest(t, http.MethodGet, "http://blind.test/orders", "", "")
	req.Header.Set(lastEventID, late.state()+".1."+late.state())
	wantStatus(t, s.public(t, req), http.StatusOK)
	// Proxies and browsers repeat the URL in headers.
	for _, name := range []string{"Referer", "X-Forwarded-Uri", "X-Original-Uri", "X-Original-Url", "X-Rewrite-Url"} {
		for _, path := range []string{"/cb/STATE", "/CB%2FSTATE?a=b", "/cbq/state?state=STATE", "/cb?api_key=a-key-in-a-url"} {
			req := harness.NewRequest(t, http.MethodGet, "http://blind.test/login", "", "")
			req.Header.Set(name, harness.BaseURL+strings.Replace(path, "STATE", late.state(), 1))
			wantStatus(t, harness.Do(t, s.Client(t, harness.HTTP1), req), http.StatusOK)
		}
	}
	late.stillWaits(t)
	for _, name := range []string{"log-private", "log-public", "log-blind"} {
		if content, err := os.ReadFile(s.Path(name)); err != nil || !bytes.Contains(content, []byte("REDACTED")) {
			t.Errorf("%s: %v; nothing was taken out of %d bytes", name, err, len(content))
		}
	}
}

// documentedFilter returns the snippet that docs/operations.md says to import.
func documentedFilter(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```caddyfile\n(without_callback_urls)")
	snippet, _, found := strings.Cut(rest, "\n\n{")
	if !found {
		t.Fatal("docs/operations.md has no snippet without_callback_urls")
	}
	return "(without_callback_urls)" + snippet + "\n"
}

// A stranger who sends a lot is refused, and leaves nothing behind in the store.
func TestStrangersLeaveNothingInTheStore(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", strings.Repeat("k", 40))
	s.Start(t, harness.Config{
		Callback: "key bank {env.CB_KEY} send",
		Private:  "callback /keyed/* hold {\n\tkey bank\n}\n" + harness.Hold("/orders/*", "", "") + s.toPartner(),
	})
	done, keyed := s.get(t), s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL("/keyed"+s.path()), "", ""))
	done.resolve(t, "taken")
	wantStatus(t, done.Answer(t), http.StatusOK)
	s.Acknowledged(t)
	large := strings.Repeat("a large body ", 80_000)
	count := func() (files int) {
		entries, err := os.ReadDir(s.Path("store", "bodies"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	for range 20 {
		for url, status := range map[string]int{
			harness.BaseURL + "/cb/00000000-0000-4000-8000-000000000000":              http.StatusNotFound,
			harness.BaseURL + "/cbq/state?state=00000000-0000-4000-8000-000000000000": http.StatusNotFound,
			harness.BaseURL + "/cb": http.StatusUnauthorized,
			done.url:                http.StatusConflict,
			keyed.url:               http.StatusUnauthorized,
		} {
			// A client that is refused before its request has been read may see no
			// answer.
			got, err := harness.Send(s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, url, "text/plain", large)).Outcome()
			if err == nil {
				wantStatus(t, got, status)
			}
		}
	}
	if after := count(); after != before {
		t.Errorf("the store has %d bodies in files, and had %d", after, before)
	}
}

// Only the configuration decides where our URLs lead.
func TestHostOfARequestIsNotBelieved(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{
		Private: "callback /park/* park\n" + harness.Hold("/orders/*", "", "redir /thanks") + s.toPartner(),
		// This site answers to any host name.
		Sites: "http:// {\n\tbind unix/" + s.Path("api.sock") + "\n\tcallback_api {\n\t\tkey off\n\t}\n\tcallback_server\n\tcallback /park/* park\n\t" + s.toPartner() + "}\n",
	})
	lie := func(req *http.Request) *http.Request {
		for name, value := range map[string]string{
			"X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "ftp", "X-Forwarded-Port": "1", "Forwarded": "host=evil.test;proto=ftp",
			"X-Original-Host": "evil.test", "X-Forwarded-Prefix": "/evil",
		} {
			req.Header.Set(name, value)
		}
		if req.URL.Host == "api.test" {
			req.Host = "evil.test"
		}
		return req
	}
	client := s.Client(t, harness.HTTP1)
	path := "/park" + s.path()
	got := harness.Do(t, client, lie(harness.NewRequest(t, http.MethodPost, "http://api.test"+path, "text/plain", "an order")))
	p := decode[parked](t, got)
	url := s.partner.Received(t, path).Header.Get(callbackHeader)
	made := decode[created](t, harness.Do(t, client, lie(harness.NewRequest(t, http.MethodPost, apiURL, jsonType, "{}"))))
	x := s.get(t)
	redirect := harness.Do(t, client, lie(harness.NewRequest(t, http.MethodPost, strings.Replace(x.url, harness.BaseURL, "http://api.test", 1), "text/plain", "done")))
	for what, url := range map[string]string{
		"Location": got.Header.Get("Location"), "statusUrl": p.StatusURL, "resultUrl": p.ResultURL, "the callback URL": url,
		"callbackUrl": made.CallbackURL, "the API's statusUrl": made.StatusURL, "the redirect": redirect.Header.Get("Location"),
	} {
		if !strings.HasPrefix(url, harness.BaseURL+"/") {
			t.Errorf("%s is %q", what, url)
		}
	}
}

// What a partner says stays on its own line of the log.
func TestEveryLineOfTheLogIsOneEntry(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Hold: "correlation_id request header X-Job\nfailed json failed true\nerror_code json code\nerror_text json text"})
	req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(s.path()), "", "")
	req.Header.Set("X-Job", `a"b\n{"level":"error"}`)
	x := s.forward(t, harness.HTTP1, req)
	said := `{"failed": true, "code": "\u2028\u001b]0;owned\u202e", "text": "\r\n{\"level\":\"fatal\"}\u2029\u0085\u001b[2J"}`
	wantStatus(t, s.partner.Call(t, http.MethodPost, x.url, jsonType, said), http.StatusOK)
	_, _ = x.Outcome()
	s.logged(t, "callback", "failed")
	logs, err := filepath.Glob(s.Path("log-*"))
	if err != nil || len(logs) == 0 {
		t.Fatal("there is no log")
	}
	for _, path := range logs {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var entry struct{ Level string }
			if err := json.Unmarshal(lines.Bytes(), &entry); err != nil || entry.Level == "fatal" || strings.ContainsAny(lines.Text(), "\x1b\u0085\u2028\u2029\u202e") {
				t.Errorf("the log has the line %q: %v", lines.Text(), err)
			}
		}
		if err := lines.Err(); err != nil {
			t.Error(err)
		}
	}
}

// Nothing is delivered to our own paths, whichever of our bases they are under: two
// callbacks could call each other forever.
func TestNothingIsDeliveredToOurselves(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, withAPI(s, harness.Config{
		Sites:   s.Site("other", "callback hold {\nbase_url https://other.example\n}\n"+s.toPartner()),
		Private: "callback park {\nname orders\ndeliver\n}\n" + s.toPartner(),
	}, "key off"))
	const path = "/cb/00000000-0000-4000-8000-000000000000"
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(s.path()), jsonType, `{"callbackUrl":"https://other.example`+path+`"}`)
	wantProblem(t, s.public(t, req), http.StatusBadRequest, "delivery-url-not-allowed")
	for _, body := range []string{
		`{"deliverTo":"https://other.example` + path + `"}`,
		`{"alternativeDomain":"https://alt.example","deliverTo":"https://alt.example` + path + `"}`,
	} {
		got := s.api(t, http.MethodPost, "", body)
		wantProblem(t, got, http.StatusBadRequest, "invalid-request")
		if !strings.Contains(string(got.Body), `"field":"deliverTo"`) {
			t.Errorf("%s: %s", body, got.Body)
		}
	}
}

// A stranger's body must come soon: the memory for bodies of unknown callers is
// small, and a partner that posts a form with the state in it needs it, too.
func TestSlowStrangersMakeRoomForOthers(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "max_body_size 1MiB\nmax_memory 8MiB", Hold: "state_query state"})
	x := s.get(t)
	state := x.state()
	form := "POST /cbq/state HTTP/1.1\r\nHost: callbacks.test\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 400000\r\n\r\na="
	post := func(state string) int {
		return s.callURL(t, http.MethodPost, harness.BaseURL+"/cbq/state", "state="+state+"&SAMLResponse="+strings.Repeat("a", 300_000), "Content-Type", "application/x-www-form-urlencoded").Status
	}
	harness.Eventually(t, "there is no room for a form", func() bool {
		// One after the other: a client that finds no room is cut off while it
		// writes, and of many at once all may be cut off.
		conn := s.dial(t, "callbacks")
		go func() { _, _ = io.WriteString(conn, form+strings.Repeat("a", 300_000)) }()
		return post("00000000-0000-4000-8000-000000000000") == http.StatusServiceUnavailable
	})
	harness.Within(t, 60*time.Second, "there is room again", func() bool { return post(state) == http.StatusOK })
	wantStatus(t, x.Answer(t), http.StatusOK)
}
