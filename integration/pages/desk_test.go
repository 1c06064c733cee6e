package pages

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// deskURL is where operators look, and opsURL where they find the same below a path.
const (
	deskURL = "http://desk.test/"
	opsURL  = "http://ops.test/look/"
)

// views are those of the dashboard that can be reached from everywhere, and their titles.
var views = map[string]string{"": "Now", "list": "Callbacks", "approvals": "Approvals", "live": "Live", "routes": "Routes"}

// startDesk returns a stage with a dashboard: one that asks for no key, with further lines.
func startDesk(t *testing.T, lines string) *stage {
	t.Helper()
	s := newStage(t)
	s.begin(t, harness.Config{
		Callback: "deliver {\nallow 127.0.0.1 http://127.0.0.1\nretry 1ms\ntimeout 1s\n}\n",
		Private: `
callback /orders/* hold 1h {
	name orders
}
callback /renders/* park {
	name renders
	progress json percent
}
` + s.toPartner(),
		Sites: s.Site("desk", "callback_dashboard {\nkey off\n"+lines+"}\n") + s.Site("ops", "handle_path /look/* {\ncallback_dashboard {\nkey off\n}\n}\n"),
	})
	return s
}

// fillDesk makes callbacks in all states, and returns the id of one in each.
func (s *stage) fillDesk(t *testing.T) map[string]string {
	t.Helper()
	ids := make(map[string]string)
	note := func(state string, c created) created {
		ids[state] = c.ID
		return c
	}
	note("waiting", s.create(t, `{"correlationId":"order-1001","data":{"customer":42},"expiresIn":"2h"}`))
	resolved := note("resolved", s.create(t, `{"correlationId":"order-1002"}`))
	s.call(t, resolved.CallbackURL, "application/json", `{"paid":true,"amount":12345678901234567890.10}`)
	note("closed", s.create(t, `{"correlationId":"order-1003"}`))
	s.send(t, http.MethodDelete, apiURL+"/"+ids["closed"], "", "")
	dead := note("dead", s.create(t, `{"correlationId":"order-1004","deliverTo":"http://127.0.0.1:9/results"}`))
	s.call(t, dead.CallbackURL, "text/plain", "nobody takes this")
	for i := range 3 {
		s.park(t, fmt.Sprintf("/renders/%d", i))
	}
	failed := s.park(t, "/renders/failed")
	s.call(t, failed, "application/json", `{"percent":50}`)
	s.call(t, failed, "application/json", `{"error":"no space"}`, "X-Link-Status", "Failed", "X-Link-Error-Code", "E-28", "X-Link-Error-Text", "There is no space left.")
	ids["failed"] = s.newest(t)
	harness.Eventually(t, "the delivery is given up", func() bool {
		return strings.Contains(string(s.send(t, http.MethodGet, apiURL+"/"+ids["dead"], "", "").Body), `"dead"`)
	})
	return ids
}

// park sends a request that is parked, and returns its callback URL.
func (s *stage) park(t *testing.T, path string) (url string) {
	t.Helper()
	got := s.send(t, http.MethodPost, appURL+path, "application/json", `{"scene":"`+path+`"}`)
	if got.Status != http.StatusAccepted {
		t.Fatalf("%s: %d %s", path, got.Status, got.Body)
	}
	return s.called(t, path)
}

// Every view says why it is empty, and can be used by everybody.
func TestDashboardThatIsEmpty(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "")
	p := comeTo(t, s.Caddy)
	for view, title := range views {
		p.look(deskURL+view, "empty view "+view)
		p.wantTitle(title)
		p.walk("empty view " + view)
	}
}

// Every view can be used by everybody when there is much to see.
func TestDashboardWithCallbacks(t *testing.T) {
	t.Parallel()
	s := startDesk(t, "")
	ids := s.fillDesk(t)
	p := comeTo(t, s.Caddy)
	for view, title := range views {
		p.look(deskURL+view, "view "+view)
		p.wantTitle(title)
		p.walk("view " + view)
	}
	for state, id := range ids {
		p.look(deskURL+"callback/"+id, state+" callback")
		p.walk(state + " callback")
	}
}
