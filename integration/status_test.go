package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// status is the document at a status URL.
type status struct {
	ID              string     `json:"id"`
	Phase           string     `json:"phase"`
	CorrelationID   string     `json:"correlationId"`
	Name            string     `json:"name"`
	CreatedAt       time.Time  `json:"createdAt"`
	ExpiresAt       time.Time  `json:"expiresAt"`
	FinishedAt      *time.Time `json:"finishedAt"`
	DocumentStatus  string     `json:"documentStatus"`
	TechnicalStatus string     `json:"technicalStatus"`
	ErrorCode       string     `json:"errorCode"`
	ErrorText       string     `json:"errorText"`
	ResultURL       string     `json:"resultUrl"`
}

// status reads the document at a status URL.
func (s *stage) status(t *testing.T, url string) status {
	t.Helper()
	got := s.fetch(t, url)
	wantStatus(t, got, http.StatusOK)
	wantHeader(t, got.Header, "Content-Type", "application/json")
	wantNotStored(t, got.Header)
	var st status
	if err := json.Unmarshal(got.Body, &st); err != nil {
		t.Fatalf("%v in %s", err, short(got.Body))
	}
	return st
}

// timedOut sends a request that is not called back in time, and returns it with
// the document that its client got.
func (s *stage) timedOut(t *testing.T) (*exchange, problem) {
	t.Helper()
	x := s.get(t)
	p := wantProblem(t, x.Answer(t), http.StatusGatewayTimeout, "timeout")
	wantPickUp(t, p)
	s.NeverLog(anyUUID.FindString(p.StatusURL))
	return x, p
}

func TestStatusFollowsTheCallback(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms", Hold: "name orders"})
	begin := time.Now().Truncate(time.Millisecond)
	x, p := s.timedOut(t)

	waiting := s.status(t, p.StatusURL)
	if waiting.Phase != "waiting" || waiting.FinishedAt != nil || waiting.Name != "orders" {
		t.Errorf("while it waits the status is %+v", waiting)
	}
	if waiting.ID != p.ID || waiting.ResultURL != p.ResultURL || waiting.CorrelationID != x.received.Header.Get(correlationHeader) {
		t.Errorf("the status %+v does not belong to %+v", waiting, p)
	}
	if waiting.CreatedAt.Before(begin) || waiting.CreatedAt.After(time.Now()) || !waiting.ExpiresAt.After(waiting.CreatedAt) {
		t.Errorf("created at %v, expires at %v", waiting.CreatedAt, waiting.ExpiresAt)
	}

	x.resolve(t, "late but in time")
	resolved := s.status(t, p.StatusURL)
	if resolved.Phase != "resolved" || resolved.FinishedAt == nil || resolved.FinishedAt.Before(waiting.CreatedAt) {
		t.Errorf("after the call the status is %+v", resolved)
	}
}

func TestResultCanBePickedUpAfterTheTimeout(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms"})
	x, p := s.timedOut(t)

	waiting := s.fetch(t, p.ResultURL)
	wantStatus(t, waiting, http.StatusAccepted)
	if waiting.Header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After while it waits")
	}
	wantNotStored(t, waiting.Header)

	req := harness.NewRequest(t, http.MethodPost, x.url, "text/html", "<script>alert(1)</script>")
	req.Header.Set("ETag", `"v1"`)
	req.Header.Set("Set-Cookie", "a=b")
	wantStatus(t, s.public(t, req), http.StatusOK)

	for _, slash := range []string{"", "/"} {
		result := s.fetch(t, p.ResultURL+slash)
		wantAnswer(t, result, http.StatusOK, "<script>alert(1)</script>")
		wantHeader(t, result.Header, "Content-Type", "text/html")
		wantHeader(t, result.Header, "Etag", `"v1"`)
		wantHeader(t, result.Header, "Set-Cookie")
		wantHeader(t, result.Header, correlationHeader, x.received.Header.Get(correlationHeader))
		wantHeader(t, result.Header, statusHeader, "Ok")
		wantSafeToOpen(t, result.Header)
		wantHeader(t, result.Header, "Content-Disposition", "attachment")
	}
}

func TestResultKeepsTheCallsOwnDisposition(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms"})
	x, p := s.timedOut(t)
	wantStatus(t, x.callWith(t, "Content-Disposition", `attachment; filename="a.txt"`, "a"), http.StatusOK)
	wantHeader(t, s.fetch(t, p.ResultURL).Header, "Content-Disposition", `attachment; filename="a.txt"`)
}

func TestFailureCanBePickedUpAfterTheTimeout(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms"})
	x, p := s.timedOut(t)
	req := harness.NewRequest(t, http.MethodPost, x.url, "", "")
	req.Header.Set("X-Link-Status", "Failed")
	req.Header.Set("X-Link-Error-Code", "E17")
	req.Header.Set("X-Link-Error-Text", "no stock")
	wantStatus(t, s.public(t, req), http.StatusOK)

	result := s.fetch(t, p.ResultURL)
	failure := wantProblem(t, result, http.StatusFailedDependency, "failed")
	if failure.ErrorCode != "E17" || failure.ErrorText != "no stock" {
		t.Errorf("the result is %+v", failure)
	}
	wantSafeToOpen(t, result.Header)
	st := s.status(t, p.StatusURL)
	if st.Phase != "failed" || st.ErrorCode != "E17" || st.ErrorText != "no stock" || st.DocumentStatus != "Failed" {
		t.Errorf("the status is %+v", st)
	}
}

func TestTicketAndStateAreNotInterchangeable(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms"})
	x, p := s.timedOut(t)
	ticket := anyUUID.FindString(p.StatusURL)
	for _, path := range []string{
		"/cbr/" + x.state(), "/cbr/" + p.ID, "/cbr/" + x.state() + "/result", "/cbr/not-a-uuid", "/cbr/" + ticket + "/other",
		"/cbr/" + ticket + "/result/more", "/cbr/",
	} {
		wantProblemDocument(t, s.fetch(t, harness.BaseURL+path), http.StatusNotFound)
	}
	for _, secret := range []string{ticket, p.ID} {
		reply := s.partner.Call(t, http.MethodPost, harness.BaseURL+"/cb/"+secret, "", "")
		wantProblem(t, reply, http.StatusNotFound, "unknown-state")
	}
	x.resolve(t, "by the state")
}

func TestStatusAndResultAreOnlyRead(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms"})
	x, p := s.timedOut(t)
	for _, url := range []string{p.StatusURL, p.ResultURL} {
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			reply := s.partner.Call(t, method, url, "", "")
			wantProblem(t, reply, http.StatusMethodNotAllowed, "method-not-allowed")
			if !strings.Contains(reply.Header.Get("Allow"), http.MethodGet) {
				t.Errorf("Allow is %q", reply.Header.Get("Allow"))
			}
		}
	}
	x.resolve(t, "still possible")
}

// wantSafeToOpen checks that a partner's bytes cannot harm a browser.
func wantSafeToOpen(t *testing.T, h http.Header) {
	t.Helper()
	wantHeader(t, h, "Content-Security-Policy", "sandbox; default-src 'none'")
	wantHeader(t, h, "X-Content-Type-Options", "nosniff")
	wantHeader(t, h, "Referrer-Policy", "no-referrer")
	wantNotStored(t, h)
}

func TestWhoPrefersToWaitIsAnsweredWhenTheCallbackHasEnded(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms"})
	x, p := s.timedOut(t)
	var waiting []*harness.Pending
	for _, url := range []string{p.StatusURL, p.ResultURL} {
		req := harness.NewRequest(t, http.MethodGet, url, "", "")
		req.Header.Set("Prefer", "wait=60")
		waiting = append(waiting, harness.Send(s.Client(t, harness.HTTP1), req))
	}
	harness.Eventually(t, "both wait", func() bool { return s.GoroutinesIn(t, "answer.Reading.awaitChange") == len(waiting) })
	x.resolve(t, "the answer")

	status, result := waiting[0].Answer(t), waiting[1].Answer(t)
	wantHeader(t, status.Header, "Preference-Applied", "wait=60")
	if !strings.Contains(string(status.Body), `"resolved"`) {
		t.Errorf("the status is %s", status.Body)
	}
	wantAnswer(t, result, http.StatusOK, "the answer")
}

func TestPreferredWaitEndsWhenItIsOver(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms"})
	_, p := s.timedOut(t)
	req := harness.NewRequest(t, http.MethodGet, p.ResultURL, "", "")
	req.Header.Set("Prefer", "wait=1")
	wantStatus(t, harness.Do(t, s.Client(t, harness.HTTP1), req), http.StatusAccepted)
}
