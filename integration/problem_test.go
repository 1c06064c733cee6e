package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// problem is a problem document (RFC 9457) with every member that we add.
type problem struct {
	Type            string `json:"type"`
	Title           string `json:"title"`
	Status          int    `json:"status"`
	Detail          string `json:"detail"`
	ID              string `json:"id"`
	StatusURL       string `json:"statusUrl"`
	ResultURL       string `json:"resultUrl"`
	DocumentStatus  string `json:"documentStatus"`
	TechnicalStatus string `json:"technicalStatus"`
	ErrorCode       string `json:"errorCode"`
	ErrorText       string `json:"errorText"`
	Field           string `json:"field"`
}

// wantProblem checks that a response is a whole problem document of that type,
// which no cache keeps.
func wantProblem(t *testing.T, got *harness.Response, status int, slug string) problem {
	t.Helper()
	p := wantProblemDocument(t, got, status)
	if !strings.HasSuffix(p.Type, "#"+slug) {
		t.Errorf("type is %q, want one that ends in #%s; detail: %s", p.Type, slug, p.Detail)
	}
	return p
}

// wantProblemDocument is wantProblem for a problem of any type.
func wantProblemDocument(t *testing.T, got *harness.Response, status int) problem {
	t.Helper()
	wantStatus(t, got, status)
	wantHeader(t, got.Header, "Content-Type", "application/problem+json")
	wantNotStored(t, got.Header)
	var p problem
	if err := json.Unmarshal(got.Body, &p); err != nil {
		t.Fatalf("%v in %s", err, short(got.Body))
	}
	if !strings.Contains(p.Type, "#") || p.Title == "" || p.Status != status || p.Detail == "" {
		t.Errorf("problem document is incomplete: %s", got.Body)
	}
	return p
}

// wantPickUp checks that a problem document says where to find the callback.
func wantPickUp(t *testing.T, p problem) {
	t.Helper()
	if !wholeUUID.MatchString(p.ID) {
		t.Errorf("id is %q", p.ID)
	}
	if !statusURLForm.MatchString(p.StatusURL) {
		t.Errorf("statusUrl is %q", p.StatusURL)
	}
	if !resultURLForm.MatchString(p.ResultURL) {
		t.Errorf("resultUrl is %q", p.ResultURL)
	}
}

func wantNotStored(t *testing.T, h http.Header) {
	t.Helper()
	if got := h.Get("Cache-Control"); !strings.Contains(got, "no-store") {
		t.Errorf("Cache-Control is %q, want no-store", got)
	}
}
