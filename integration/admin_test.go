package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// admin sends a request to the API at the admin endpoint.
func (s *stage) admin(t *testing.T, method, path, body string, lines ...string) *harness.Response {
	t.Helper()
	req := harness.NewRequest(t, method, "http://127.0.0.1/callbacks"+path, "application/json", body)
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	return s.Admin(t, req)
}

func TestAdminEndpointServesTheAPI(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	got := s.admin(t, http.MethodPost, "", `{"responseBody":"made by an operator"}`)
	wantStatus(t, got, http.StatusCreated)
	c := decode[created](t, got)
	s.NeverLog(c.State)
	wantHeader(t, got.Header, "Location", "callbacks/"+c.ID)
	wantAnswer(t, s.callURL(t, http.MethodPost, c.CallbackURL, "hello"), http.StatusOK, "made by an operator")
	if d := decode[document](t, s.admin(t, http.MethodGet, "/"+c.ID, "")); d.Phase != "resolved" || d.LatestCall.Body != "hello" {
		t.Errorf("%+v", d)
	}
	wantAnswer(t, s.admin(t, http.MethodGet, "/"+c.ID+"/result", ""), http.StatusOK, "hello")
	wantProblem(t, s.admin(t, http.MethodPost, "/"+c.ID+"/redeliver", ""), http.StatusConflict, "nothing-to-deliver")

	held := s.get(t)
	id := decode[struct{ Callbacks []document }](t, s.admin(t, http.MethodGet, "?phase=waiting", "")).Callbacks[0].ID
	wantStatus(t, s.admin(t, http.MethodPost, "/"+id+"/resolve", `"by the operator"`), http.StatusOK)
	wantAnswer(t, held.Answer(t), http.StatusOK, `"by the operator"`)

	closed := s.get(t)
	id = decode[struct{ Callbacks []document }](t, s.admin(t, http.MethodGet, "?phase=waiting", "")).Callbacks[0].ID
	wantStatus(t, s.admin(t, http.MethodDelete, "/"+id, ""), http.StatusNoContent)
	wantProblem(t, closed.Answer(t), http.StatusGone, "closed")

	wantProblem(t, s.admin(t, http.MethodPatch, "", ""), http.StatusMethodNotAllowed, "method-not-allowed")
	wantProblem(t, s.admin(t, http.MethodGet, "/a/b/c", ""), http.StatusNotFound, "unknown-path")
	wantProblem(t, s.admin(t, http.MethodDelete, "/"+id, "", "Sec-Fetch-Site", "cross-site"), http.StatusForbidden, "cross-site")
	wantStatus(t, s.admin(t, http.MethodGet, "/openapi.json", ""), http.StatusOK)
}

func TestAdminEndpointChecksWhereRequestsComeFrom(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Admin: "enforce_origin\norigins operator.test"})
	harness.Eventually(t, "the configuration runs", func() bool {
		return s.admin(t, http.MethodGet, "", "", "Origin", "http://operator.test").Status == http.StatusOK
	})
	if got := s.admin(t, http.MethodGet, "", ""); got.Status != http.StatusForbidden {
		t.Errorf("without an origin the status is %d", got.Status)
	}
	if got := s.admin(t, http.MethodGet, "", "", "Origin", "http://elsewhere.test"); got.Status != http.StatusForbidden {
		t.Errorf("from elsewhere the status is %d", got.Status)
	}
}

func TestAdminEndpointKnowsNothingOfAConfigurationThatFailed(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	before := decode[created](t, s.admin(t, http.MethodPost, "", `{}`))
	// The last site fails to start, and the callback app may have started before
	// that.
	for range 4 {
		failing := harness.Config{BaseURL: "http://failed.test", Sites: "http://failing.test {\n\tbind unix//no/such/directory/socket\n}\n"}
		if err := s.Reload(t, failing); err == nil {
			t.Fatal("a configuration that cannot start was taken")
		}
		if d := decode[document](t, s.admin(t, http.MethodGet, "/"+before.ID, "")); d.Phase != "waiting" {
			t.Errorf("%+v", d)
		}
		if c := decode[created](t, s.admin(t, http.MethodPost, "", `{}`)); !strings.HasPrefix(c.CallbackURL, harness.BaseURL) {
			t.Errorf("the callback URL %s is one of the configuration that failed", c.CallbackURL)
		}
	}
}

func TestAdminEndpointGoesByTheNewestConfiguration(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	before := decode[created](t, s.admin(t, http.MethodPost, "", `{}`))
	s.MustReload(t, harness.Config{BaseURL: "http://next.test"})
	if c := decode[created](t, s.admin(t, http.MethodPost, "", `{}`)); !strings.HasPrefix(c.CallbackURL, "http://next.test/") {
		t.Errorf("the callback URL %s is one of the configuration before", c.CallbackURL)
	}
	s.MustReload(t, harness.Config{Store: s.Path("another")})
	wantProblem(t, s.admin(t, http.MethodGet, "/"+before.ID, ""), http.StatusNotFound, "unknown-callback")

	s.MustReload(t, harness.Config{Bare: true, Public: "respond ok", Private: "respond ok"})
	wantProblem(t, s.admin(t, http.MethodGet, "", ""), http.StatusServiceUnavailable, "not-configured")
}
