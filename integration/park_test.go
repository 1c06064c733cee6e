package integration

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// parked is the document that a client gets with its 202.
type parked struct {
	Status    string `json:"status"`
	Message   string `json:"message"`
	ID        string `json:"id"`
	StatusURL string `json:"statusUrl"`
	ResultURL string `json:"resultUrl"`
}

// wantParked checks that the client got 202 and was told where to look.
func (s *stage) wantParked(t *testing.T, got *harness.Response) parked {
	t.Helper()
	wantStatus(t, got, http.StatusAccepted)
	wantHeader(t, got.Header, "Content-Type", "application/json")
	wantNotStored(t, got.Header)
	var p parked
	if err := json.Unmarshal(got.Body, &p); err != nil {
		t.Fatalf("%v in %s", err, short(got.Body))
	}
	if p.Status != "processing" || p.Message == "" || !wholeUUID.MatchString(p.ID) {
		t.Errorf("the client got %+v", p)
	}
	if !statusURLForm.MatchString(p.StatusURL) || !resultURLForm.MatchString(p.ResultURL) {
		t.Errorf("statusUrl is %q, resultUrl is %q", p.StatusURL, p.ResultURL)
	}
	wantHeader(t, got.Header, "Location", p.StatusURL)
	if got.Header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	s.NeverLog(anyUUID.FindString(p.StatusURL))
	return p
}

// parks returns the directives that park requests and forward them to the partner.
func (s *stage) parks(lines string) string {
	return "callback park {\n" + lines + "\n}\n" + s.toPartner()
}

func (s *stage) toPartner() string { return "reverse_proxy unix/" + s.Path("partner.sock") + "\n" }

// prefer sends a GET request with that preference and waits until the partner has it.
func (s *stage) prefer(t *testing.T, preference string) *exchange {
	t.Helper()
	req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(s.path()), "", "")
	req.Header.Set("Prefer", preference)
	return s.forward(t, harness.HTTP1, req)
}

// startParked returns a stage whose private site parks.
func startParked(t *testing.T, lines string) *stage {
	t.Helper()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.parks(lines)})
	return s
}

func TestParkLetsTheClientGoAndKeepsTheCallForIt(t *testing.T) {
	t.Parallel()
	s := startParked(t, "")
	x := s.post(t, "application/json", `{"a":1}`)
	p := s.wantParked(t, x.Answer(t))
	if st := s.status(t, p.StatusURL); st.Phase != "waiting" || st.ID != p.ID {
		t.Errorf("while it waits the status is %+v", st)
	}
	wantStatus(t, s.fetch(t, p.ResultURL), http.StatusAccepted)

	wantStatus(t, x.call(t, "application/json", `{"price":7}`), http.StatusOK)
	result := s.fetch(t, p.ResultURL)
	wantAnswer(t, result, http.StatusOK, `{"price":7}`)
	wantHeader(t, result.Header, "Content-Type", "application/json")
	wantHeader(t, result.Header, statusHeader, "Ok")
	wantHeader(t, result.Header, correlationHeader, x.received.Header.Get(correlationHeader))
	if st := s.status(t, p.StatusURL); st.Phase != "resolved" {
		t.Errorf("after the call the status is %+v", st)
	}
}

func TestParkedClientGetsTheMessageOfTheDirective(t *testing.T) {
	t.Parallel()
	s := startParked(t, `message "We are on it."`)
	if p := s.wantParked(t, s.post(t, "text/plain", "x").Answer(t)); p.Message != "We are on it." {
		t.Errorf("message is %q", p.Message)
	}
}

func TestParkPassesOnWhatIsNoAck(t *testing.T) {
	t.Parallel()
	s := startParked(t, "")
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusBadRequest, http.Header{"X-Why": {"because"}}, "no such product"))
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "x"))
	answer := x.Answer(t)
	wantAnswer(t, answer, http.StatusBadRequest, "no such product")
	wantHeader(t, answer.Header, "X-Why", "because")
	x.closed(t)
}

func TestParkSurvivesACrash(t *testing.T) {
	t.Parallel()
	s := startParked(t, "")
	x := s.post(t, "text/plain", "x")
	p := s.wantParked(t, x.Answer(t))
	s.Kill(t)
	s.Start(t, harness.Config{Private: s.parks("")})
	x.resolve(t, "after the crash")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "after the crash")
}

func TestParkWithCallSendsTheRequestInTheBackground(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "callback park {\n\tname orders\n\tcall {\n\t\t" + s.toPartner() + "\t}\n}\n"})
	x := s.post(t, "application/json", `{"a":1}`)
	p := s.wantParked(t, x.Answer(t))
	if string(x.received.Body) != `{"a":1}` || !callbackURLForm.MatchString(x.url) {
		t.Errorf("the partner got %s with %q", x.received.Body, x.url)
	}
	x.resolve(t, "done in the background")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "done in the background")
}

func TestPreferRespondAsyncParksAHeldRequest(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.prefer(t, "respond-async")
	wantHeader(t, x.received.Header, "Prefer")
	answer := x.Answer(t)
	p := s.wantParked(t, answer)
	wantHeader(t, answer.Header, "Preference-Applied", "respond-async")
	wantHeader(t, answer.Header, "Vary", "Prefer")
	x.resolve(t, "later")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "later")
}

func TestPreferRespondAsyncWithAWaitAnswersWhatComesInTime(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.prefer(t, "respond-async, wait=100")
	x.resolve(t, "in time")
	answer := x.Answer(t)
	wantAnswer(t, answer, http.StatusOK, "in time")
	wantHeader(t, answer.Header, "Preference-Applied", "respond-async, wait=100")
	wantHeader(t, answer.Header, "Vary", "Prefer")

	late := s.prefer(t, "respond-async, wait=1")
	answer = late.Answer(t)
	p := s.wantParked(t, answer)
	wantHeader(t, answer.Header, "Preference-Applied", "respond-async, wait=1")
	late.resolve(t, "too late")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "too late")
}

func TestPreferWaitShortensTheHold(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.prefer(t, "wait=1")
	answer := x.Answer(t)
	wantPickUp(t, wantProblem(t, answer, http.StatusGatewayTimeout, "timeout"))
	wantHeader(t, answer.Header, "Preference-Applied", "wait=1")
	wantHeader(t, answer.Header, "Vary", "Prefer", varies)
	x.resolve(t, "the callback goes on")
}

func TestPreferWaitIsNoLongerThanTheTimeout(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "1s"})
	answer := s.prefer(t, "wait=300").Answer(t)
	wantProblem(t, answer, http.StatusGatewayTimeout, "timeout")
	wantHeader(t, answer.Header, "Preference-Applied", "wait=1")
}

func TestOnTimeoutParkLetsTheClientGo(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms", Hold: "on_timeout park"})
	x := s.get(t)
	p := s.wantParked(t, x.Answer(t))
	x.resolve(t, "later")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "later")
}

func TestNothingIsKeptOfABodyThatIsTooLarge(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{
		Callback: "max_body_size 64KiB",
		Private: "callback /called/* park {\n\tname called\n\tcall {\n\t\t" + s.toPartner() + "\t}\n}\n" +
			"callback /deferred/* defer {\n\tname deferred\n\tthen {\n\t\t" + s.toPartner() + "\t}\n}\n",
	})
	for _, path := range []string{"/called/1", "/deferred/1"} {
		for _, chunked := range []bool{false, true} {
			req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", noise(64<<10+1))
			if chunked {
				req.ContentLength = -1
			}
			wantProblem(t, s.public(t, req), http.StatusRequestEntityTooLarge, "too-large")
			if s.partner.Arrived(path) != 0 {
				t.Errorf("%s reached the upstream", path)
			}
		}
	}
	if all := decode[listed](t, s.admin(t, http.MethodGet, "", "")); len(all.Callbacks) > 0 || all.Waiting > 0 {
		t.Errorf("there are %+v", all)
	}
	fits := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/deferred/2"), "text/plain", noise(64<<10))
	p := s.wantParked(t, s.public(t, fits))
	s.ends(t, p.StatusURL)
}
