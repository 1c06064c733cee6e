package integration

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// askRoute returns a server that asks the partner about calls; the partner plays the
// app, too.
func askRoute(s *stage) string {
	return "callback_server {\n\task {\n\t\treverse_proxy unix/" + s.Path("partner.sock") + "\n\t}\n}"
}

// asking starts a server that asks about calls at /decide.
func asking(t *testing.T, hold string) *stage {
	t.Helper()
	s := newStage(t)
	s.Setenv("CB_SECRET", "the operator's secret")
	s.NeverLog("the operator's secret")
	s.Start(t, harness.Config{Public: askRoute(s), Hold: "ask /decide\n" + showStatus + hold})
	return s
}

// decides makes the app answer with JSON.
func (s *stage) decides(status int, answer string) {
	s.partner.Handle("/decide", harness.Ack(status, http.Header{"Content-Type": {jsonType}}, answer))
}

// asked returns the question that the app was asked, and its key.
func (s *stage) asked(t *testing.T) (question map[string]any, key string) {
	t.Helper()
	r := s.partner.Received(t, "/decide")
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != jsonType {
		t.Errorf("the app was asked with %s and %v", r.Method, r.Header)
	}
	if err := json.Unmarshal(r.Body, &question); err != nil {
		t.Fatalf("%v in %s", err, short(r.Body))
	}
	return question, r.Header.Get("Idempotency-Key")
}

var askKey = regexp.MustCompile(`^[0-9a-f]{64}$`)

func TestAppIsAskedInTheFieldsOfTheSeed(t *testing.T) {
	t.Parallel()
	s := asking(t, "inject header X-Id {http.callback.id}\nrespond \"noted\" 202\nheader X-Reply here")
	s.decides(http.StatusOK, `{}`)
	x := s.get(t)
	to := *x
	to.url += "?one=1&many=a&many=b"
	reply := to.callWithAll(t, "text/plain", trap, "X-Note", "hello")
	wantAnswer(t, reply, http.StatusAccepted, "noted")
	wantHeader(t, reply.Header, "X-Reply", "here")
	wantAnswer(t, x.Answer(t), http.StatusOK, trap)

	q, key := s.asked(t)
	if !askKey.MatchString(key) {
		t.Errorf("Idempotency-Key is %q", key)
	}
	fields := "callbackSystemCase requestBody requestHeaders requestMethod requestQuery responseBody responseCode responseHeaders responseRedirectUrl responseType"
	if got := strings.Join(slices.Sorted(maps.Keys(q)), " "); got != fields {
		t.Errorf("the fields are %s, want %s", got, fields)
	}
	for name, want := range map[string]string{
		"callbackSystemCase": `"` + x.received.Header.Get("X-Id") + `"`, "requestBody": `"` + trap + `"`, "requestMethod": `"post"`,
		"requestQuery": `{"many":["a","b"],"one":"1"}`, "responseType": `"response"`, "responseBody": `"noted"`, "responseCode": `202`,
		"responseHeaders": `{"X-Reply":"here"}`, "responseRedirectUrl": `""`,
	} {
		if got, _ := json.Marshal(q[name]); string(got) != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	headers, _ := q["requestHeaders"].(map[string]any)
	if headers["X-Note"] != "hello" || headers["Content-Type"] != "text/plain" {
		t.Errorf("requestHeaders is %v", headers)
	}
}

func TestAppsAnswerIsTheReply(t *testing.T) {
	t.Parallel()
	s := asking(t, "respond \"noted\" 202\nheader X-Reply here")
	for _, x := range []struct {
		name, answer string
		status       int
		body         string
		header, line string
	}{
		{"nothing", `{}`, 202, "noted", "X-Reply", "here"},
		{"body", `{"responseBody":"{env.CB_SECRET}"}`, 202, "{env.CB_SECRET}", "X-Reply", "here"},
		{"code", `{"responseCode":201}`, 201, "noted", "X-Reply", "here"},
		{"headers", `{"responseHeaders":{"x-app":"its own"}}`, 202, "noted", "X-App", "its own"},
		{"headers replace", `{"responseHeaders":{"x-app":"its own"}}`, 202, "noted", "X-Reply", ""},
		{"redirect", `{"responseType":"redirect","responseRedirectUrl":"https://shop.example/thanks"}`, 303, "", "Location", "https://shop.example/thanks"},
	} {
		t.Run(x.name, func(t *testing.T) {
			s.decides(http.StatusOK, x.answer)
			held := s.get(t)
			// A repeated call gets the same answer, and the app is not asked again.
			for range 2 {
				reply := held.call(t, "text/plain", "call")
				wantAnswer(t, reply, x.status, x.body)
				if got := reply.Header.Get(x.header); got != x.line {
					t.Errorf("%s is %q, want %q", x.header, got, x.line)
				}
			}
			wantAnswer(t, held.Answer(t), http.StatusOK, "call")
			s.asked(t)
			if n := s.partner.Arrived("/decide"); n != 0 {
				t.Errorf("the app was asked %d times more", n)
			}
		})
	}
}

func TestCallThatTheAppRefusesConsumesNothing(t *testing.T) {
	t.Parallel()
	s := asking(t, "")
	x := s.get(t)
	for _, status := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusConflict, http.StatusUnprocessableEntity} {
		s.decides(status, `{"responseBody":"no"}`)
		wantProblem(t, x.call(t, "text/plain", "refused"), status, "refused")
		x.wantPhase(t, "waiting")
	}
	s.decides(http.StatusOK, `{}`)
	x.stillWaits(t)
}

func TestCallThatTheAppRefusesEndsWhatIsNotRetryable(t *testing.T) {
	t.Parallel()
	s := asking(t, "retryable off")
	s.decides(http.StatusUnprocessableEntity, "")
	x := s.get(t)
	wantProblem(t, x.call(t, "text/plain", "refused"), http.StatusUnprocessableEntity, "refused")
	wantProblem(t, x.Answer(t), http.StatusFailedDependency, "failed")
	x.wantPhase(t, "failed")
	s.decides(http.StatusOK, `{}`)
	wantProblemDocument(t, x.call(t, "text/plain", "good"), http.StatusGone)
}

func TestAppThatCannotAnswerConsumesNothing(t *testing.T) {
	t.Parallel()
	s := asking(t, "retryable on")
	x := s.get(t)
	keys := make(map[string]bool)
	for name, answer := range map[string]func(){
		"error":        func() { s.decides(http.StatusInternalServerError, "") },
		"redirect":     func() { s.decides(http.StatusFound, "") },
		"no JSON":      func() { s.decides(http.StatusOK, `{`) },
		"bad code":     func() { s.decides(http.StatusOK, `{"responseCode":99}`) },
		"bad redirect": func() { s.decides(http.StatusOK, `{"responseType":"redirect","responseRedirectUrl":"javascript:1"}`) },
		"bad header":   func() { s.decides(http.StatusOK, `{"responseHeaders":{"X-A":"b\r\nX-C: d"}}`) },
		"hangs up": func() {
			s.partner.Handle("/decide", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		},
		"unknown type":  func() { s.decides(http.StatusOK, `{"responseType":"else"}`) },
		"too long body": func() { s.decides(http.StatusOK, `{"responseBody":"`+strings.Repeat("x", 64<<10+1)+`"}`) },
	} {
		answer()
		got := x.call(t, "text/plain", "the one that counts")
		if got.Status != http.StatusBadGateway {
			t.Errorf("%s: the status is %d", name, got.Status)
			continue
		}
		wantProblem(t, got, http.StatusBadGateway, "ask-failed")
		_, key := s.asked(t)
		keys[key] = true
		x.wantPhase(t, "waiting")
	}
	s.decides(http.StatusOK, `{}`)
	x.stillWaits(t)
	_, key := s.asked(t)
	if keys[key] = true; len(keys) != 1 {
		t.Errorf("the same call was asked about with the keys %v", keys)
	}
}

func TestAskWithoutARouteToTheAppConsumesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "ask /decide\n" + showStatus})
	x := s.get(t)
	wantProblem(t, x.call(t, "text/plain", "call"), http.StatusBadGateway, "ask-failed")
	x.wantPhase(t, "waiting")
}

func TestQuestionThatNobodyReadsTakesNoMemory(t *testing.T) {
	t.Parallel()
	for route, status := range map[string]int{
		"respond 204": http.StatusOK, "respond 403": http.StatusForbidden, "error 500": http.StatusBadGateway,
		"reverse_proxy": http.StatusBadGateway, "reverse_proxy unix//nowhere.sock": http.StatusBadGateway,
	} {
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			s := start(t, harness.Config{
				Public: "callback_server {\n\task {\n\t\t" + route + "\n\t}\n}", Hold: "ask /decide",
				Callback: "max_body_size 256KiB\nmax_memory 1MiB",
			})
			// Each question takes 64 KiB.
			for range 20 {
				x := s.get(t)
				wantStatus(t, x.call(t, "text/plain", overInline), status)
			}
		})
	}
}

func TestActivityOfACallbackMadeWithTheAPIIsAsked(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, withAPI(s, harness.Config{Public: askRoute(s)}, "key off"))
	s.decides(http.StatusOK, `{"responseBody":"decided","responseCode":201}`)
	c := s.create(t, `{"callbackActivity":"decide","callbackActivityCase":"case 7","responseBody":"{env.HOME}"}`)
	wantAnswer(t, s.callURL(t, http.MethodPut, c.CallbackURL, "call"), http.StatusCreated, "decided")
	q, _ := s.asked(t)
	if q["callbackSystemCase"] != c.ID || q["callbackActivityCase"] != "case 7" || q["requestMethod"] != "put" || q["responseBody"] != "{env.HOME}" {
		t.Errorf("the app was asked %v", q)
	}
	if d := s.show(t, c.ID); d.Phase != "resolved" {
		t.Errorf("%+v", d)
	}
}
