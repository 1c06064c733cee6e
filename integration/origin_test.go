package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// siteWide are headers by which a reply would act on the whole site.
var siteWide = []string{
	"Set-Cookie", "Clear-Site-Data", "Service-Worker-Allowed", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials",
	"Strict-Transport-Security", "Content-Security-Policy",
}

func TestWhoeverMakesCallbacksDoesNotActOnTheSite(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	for _, name := range siteWide {
		for _, spelled := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			got := s.api(t, http.MethodPost, "", fmt.Sprintf(`{"responseHeaders":{%q:"x"}}`, spelled))
			wantField(t, got, "responseHeaders")
			if !strings.Contains(string(got.Body), name) {
				t.Errorf("%s is not named: %s", name, got.Body)
			}
		}
	}
	c := s.create(t, `{"responseBody":"<script>alert(1)</script>","responseHeaders":{"Content-Type":"text/html"}}`)
	got := s.callURL(t, http.MethodPost, c.CallbackURL, "")
	wantStatus(t, got, http.StatusOK)
	wantHeader(t, got.Header, "Content-Security-Policy", "sandbox")
	wantHeader(t, got.Header, "X-Content-Type-Options", "nosniff")
}

func TestServerCanLetRepliesActOnTheSite(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{Public: "callback_server {\n\tactive_content on\n}"})
	c := s.create(t, `{"responseBody":"<p>","responseHeaders":{"Content-Type":"text/html","Set-Cookie":"a=b"}}`)
	got := s.callURL(t, http.MethodPost, c.CallbackURL, "")
	wantHeader(t, got.Header, "Content-Security-Policy", "")
	wantHeader(t, got.Header, "Set-Cookie", "a=b")
}

func TestAppThatIsAskedDoesNotActOnTheSite(t *testing.T) {
	t.Parallel()
	s := asking(t, "")
	s.decides(http.StatusOK, `{"responseBody":"<p>","responseHeaders":{"Content-Type":"text/plain","content-type":"text/html","NEL":"{}","Set-Cookie":"a=b","X-Own":"stays"}}`)
	got := s.get(t).call(t, "text/plain", "x")
	wantStatus(t, got, http.StatusOK)
	wantHeader(t, got.Header, "Set-Cookie", "")
	wantHeader(t, got.Header, "Nel", "")
	wantHeader(t, got.Header, "X-Own", "stays")
	wantHeader(t, got.Header, "Content-Security-Policy", "sandbox")
	s.logged(t, "a header of the app's answer was left out")
}

func TestResultIsNotLoadedAsAPartOfAPage(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	for contentType, dests := range map[string]map[string]bool{
		"application/javascript": {"script": false, "worker": false, "serviceworker": false, "style": false, "object": false, "document": true, "iframe": true, "empty": true, "": true},
		"text/html":              {"embed": false, "frame": false, "image": false, "document": true},
		"image/png":              {"image": true, "script": false, "audio": false, "document": true},
		"image/svg+xml":          {"image": false, "document": true},
		"audio/mpeg":             {"audio": true, "video": false},
		"video/mp4":              {"video": true},
	} {
		x := s.prefer(t, "respond-async")
		p := s.wantParked(t, x.Answer(t))
		wantStatus(t, x.call(t, contentType, "content"), http.StatusOK)
		for dest, may := range dests {
			req := harness.NewRequest(t, http.MethodGet, p.ResultURL, "", "")
			if dest != "" {
				req.Header.Set("Sec-Fetch-Dest", dest)
			}
			if got := s.public(t, req); may {
				wantAnswer(t, got, http.StatusOK, "content")
			} else {
				wantProblem(t, got, http.StatusForbidden, "part-of-page")
			}
		}
	}
}

func TestRequestInEarlyDataIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.get(t)
	early := func(method, url string) *harness.Response {
		req := harness.NewRequest(t, method, url, "text/plain", "x")
		req.Header.Set("Early-Data", "1")
		return s.public(t, req)
	}
	wantProblem(t, early(http.MethodPost, x.url), http.StatusTooEarly, "too-early")
	wantProblem(t, early(http.MethodPost, harness.HTTP1.URL("/orders")), http.StatusTooEarly, "too-early")
	x.resolve(t, "the result")
}

// A GET that is a call changes something, whatever a GET does elsewhere.
func TestGETThatIsACallIsRefusedInEarlyData(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, withAPI(s, harness.Config{}, "key off"))
	for _, body := range []string{`{}`, `{"allowMultipleCalls":true}`, `{"stateQueryParameter":"state"}`, `{"responseRedirectUrl":"https://shop.example.com/paid"}`} {
		c := s.create(t, body)
		wantProblem(t, s.callURL(t, http.MethodGet, c.CallbackURL, "", "Early-Data", "1"), http.StatusTooEarly, "too-early")
		wantStatus(t, s.callURL(t, http.MethodHead, c.CallbackURL, "", "Early-Data", "1"), http.StatusOK)
		if d := decode[document](t, s.api(t, http.MethodGet, "/"+c.ID, "")); d.Calls != 0 || d.Phase != "waiting" {
			t.Errorf("%s: the callback is %s and has got %d calls", body, d.Phase, d.Calls)
		}
		wantStatus(t, s.callURL(t, http.MethodGet, c.ResultURL, "", "Early-Data", "1"), http.StatusAccepted)
	}
}

func TestRequestToTheAPIInEarlyDataIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, withAPI(s, harness.Config{}, "key off"))
	c := s.create(t, `{}`)
	early := []string{"Early-Data", "1"}
	for path, method := range map[string]string{
		"": http.MethodPost, "/" + c.ID: http.MethodDelete, "/" + c.ID + "?purge=true": http.MethodDelete, "/" + c.ID + "/resolve": http.MethodPost, "/" + c.ID + "/redeliver": http.MethodPost,
	} {
		wantProblem(t, s.api(t, method, path, `{}`, early...), http.StatusTooEarly, "too-early")
	}
	for _, path := range []string{"", "/" + c.ID} {
		wantStatus(t, s.api(t, http.MethodGet, path, "", early...), http.StatusOK)
	}
	if got := s.api(t, http.MethodGet, "/"+c.ID, ""); !strings.Contains(string(got.Body), `"waiting"`) {
		t.Errorf("something was done: %s", got.Body)
	}
}

func TestWhoShowsAKeyIsNotToldWhatOpensWithoutOne(t *testing.T) {
	t.Parallel()
	s := keyedAPI(t)
	c := s.create(t, `{}`, bearer(creatorKey)...)
	if c.ResultURL == "" {
		t.Error("whoever has made the callback is not told its result URL")
	}
	ticket := strings.Split(c.ResultURL, "/")[4]
	for _, path := range []string{"", "/" + c.ID} {
		got := s.api(t, http.MethodGet, path, "", bearer(watcherKey)...)
		wantStatus(t, got, http.StatusOK)
		if strings.Contains(string(got.Body), ticket) {
			t.Errorf("%s tells the ticket: %s", path, got.Body)
		}
	}
	if !strings.Contains(string(s.admin(t, http.MethodGet, "/"+c.ID, "").Body), ticket) {
		t.Error("the admin endpoint, where no key is needed, does not tell the result URL")
	}
}

func TestAppIsAskedBelowThePathOfTheServerOnly(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, withAPI(s, harness.Config{Public: strings.Replace(askRoute(s), "ask {", "ask /activities {", 1)}, "key off"))
	for _, activity := range []string{"/admin/users/1/delete", "/activities", "/activitiesX/a", "/activities/../admin", "/activities%2f..%2fadmin"} {
		wantField(t, s.api(t, http.MethodPost, "", fmt.Sprintf(`{"callbackActivity":%q}`, activity)), "callbackActivity")
	}
	for activity, path := range map[string]string{"decide": "/activities/decide", "/activities/a/b": "/activities/a/b", "a b": "/activities/a%20b"} {
		s.partner.Handle(strings.ReplaceAll(path, "%20", " "), harness.Ack(http.StatusOK, nil, ""))
		c := s.create(t, fmt.Sprintf(`{"callbackActivity":%q}`, activity))
		wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "x"), http.StatusOK)
		s.partner.Received(t, strings.ReplaceAll(path, "%20", " "))
	}
}

func TestQuestionsAboutDifferentCallbacksHaveDifferentKeys(t *testing.T) {
	t.Parallel()
	s := asking(t, "")
	s.decides(http.StatusOK, `{}`)
	var keys []string
	for range 2 {
		x := s.get(t)
		wantStatus(t, x.call(t, "text/plain", "the same"), http.StatusOK)
		_, key := s.asked(t)
		keys = append(keys, key)
	}
	if keys[0] == keys[1] {
		t.Errorf("both have %s", keys[0])
	}
}
