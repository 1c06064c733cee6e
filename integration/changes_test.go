package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// change is an event of the stream of changes.
type change struct{ At, What, ID, Phase, Name, CorrelationID string }

// changes opens the API's stream of changes. Header lines come as names and values in turn.
func (s *stage) changes(t *testing.T, query string, lines ...string) *listener {
	t.Helper()
	return s.changesAt(t, apiURL, query, lines...)
}

// changesAt is changes for one of several places where the API is.
func (s *stage) changesAt(t *testing.T, url, query string, lines ...string) *listener {
	t.Helper()
	req := harness.NewRequest(t, http.MethodGet, url+"/events"+query, "", "")
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	return s.open(t, harness.HTTP1, req)
}

// adminURL is the API at the admin endpoint.
const adminURL = "http://admin.test/callbacks"

// hears waits for the next change, which must be of that kind and about that callback.
func (l *listener) hears(t *testing.T, what, id string) change {
	t.Helper()
	var c change
	if err := json.Unmarshal([]byte(l.next(t, "change").data), &c); err != nil {
		t.Fatal(err)
	}
	if c.What != what || c.ID != id {
		t.Fatalf("told %+v, want %s of %s", c, what, id)
	}
	return c
}

// hearsInTheEnd is hears where hints of other nodes may have been lost before: a node that begins
// to listen to others does not know.
func (l *listener) hearsInTheEnd(t *testing.T, what, id string) change {
	t.Helper()
	for {
		e := harness.Receive(t, "the client is told", l.events)
		if e.name == "lost" {
			continue
		}
		var c change
		if err := json.Unmarshal([]byte(e.data), &c); err != nil || c.What != what || c.ID != id {
			t.Fatalf("told %+v, %v, want %s of %s", c, err, what, id)
		}
		return c
	}
}

// over waits for the end of the stream, before which nothing comes, and returns with which id the
// client comes back.
func (l *listener) over(t *testing.T) string {
	t.Helper()
	harness.Receive(t, "the stream ends", l.ended)
	for e := range l.events {
		t.Errorf("the client gets %+v", e)
	}
	return l.last
}

func TestChangesAreToldAsTheyHappen(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{Hold: "name orders"})
	l := s.changes(t, "")
	made := s.create(t, `{"correlationId":"order 17","allowMultipleCalls":true}`)
	c := l.hears(t, "created", made.ID)
	if at, err := time.Parse(time.RFC3339, c.At); err != nil || time.Since(at) > time.Minute || c.Phase != "waiting" || c.CorrelationID != "order 17" || c.Name != "" {
		t.Errorf("%+v, %v", c, err)
	}
	wantStatus(t, s.callURL(t, http.MethodPost, made.CallbackURL, "a"), http.StatusOK)
	if c := l.hears(t, "resolved", made.ID); c.Phase != "resolved" {
		t.Errorf("%+v", c)
	}
	wantStatus(t, s.callURL(t, http.MethodPost, made.CallbackURL, "b"), http.StatusOK)
	l.hears(t, "called", made.ID)
	x := s.get(t)
	id := s.list(t, "?phase=waiting").ids()[0]
	if c := l.hears(t, "created", id); c.Name != "orders" {
		t.Errorf("%+v", c)
	}
	x.resolve(t, "done")
	l.hears(t, "resolved", id)
	wantStatus(t, s.api(t, http.MethodDelete, "/"+id+"?purge=true", ""), http.StatusNoContent)
	l.hears(t, "removed", id)
}

func TestChangesAreFiltered(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	one := s.create(t, `{"correlationId":"one"}`)
	byID, byCorrelation, byPhase, byName := s.changes(t, "?id="+one.ID), s.changes(t, "?correlationId=two"), s.changes(t, "?phase=closed"), s.changes(t, "?name=nobody")
	two := s.create(t, `{"correlationId":"two"}`)
	for _, id := range []string{one.ID, two.ID} {
		wantStatus(t, s.api(t, http.MethodDelete, "/"+id, ""), http.StatusNoContent)
	}
	byID.hears(t, "closed", one.ID)
	byCorrelation.hears(t, "created", two.ID)
	byCorrelation.hears(t, "closed", two.ID)
	byPhase.hears(t, "closed", one.ID)
	byPhase.hears(t, "closed", two.ID)
	for _, l := range []*listener{byID, byCorrelation, byPhase, byName} {
		l.leave()
		l.over(t)
	}
	for query, field := range map[string]string{"?phase=x": "phase", "?id=X": "id", "?correlationId=": "correlationId", "?limit=3": "limit", "?id=" + one.ID + "&id=" + two.ID: "id"} {
		if p := wantProblem(t, s.api(t, http.MethodGet, "/events"+query, ""), http.StatusBadRequest, "invalid-request"); p.Field != field {
			t.Errorf("%s: %+v", query, p)
		}
	}
}

func TestKeyIsToldOfTheCallbacksThatItIsFor(t *testing.T) {
	t.Parallel()
	s := teamed(t, harness.Config{})
	orders, both, all := s.changes(t, "", bearer(ordersKey)...), s.changes(t, "", bearer(bothKey)...), s.changes(t, "", bearer(operatorKey)...)
	none := s.changes(t, "?name=billing", bearer(ordersKey)...)
	nobodys, bill, order := s.create(t, `{}`, bearer(operatorKey)...).ID, s.create(t, `{}`, bearer(billingKey)...).ID, s.create(t, `{}`, bearer(ordersKey)...).ID
	orders.hears(t, "created", order)
	both.hears(t, "created", bill)
	both.hears(t, "created", order)
	for _, id := range []string{nobodys, bill, order} {
		all.hears(t, "created", id)
	}
	none.leave()
	none.over(t)
	wantStatus(t, s.api(t, http.MethodGet, "/events", ""), http.StatusUnauthorized)
	// Who has missed something is not told how much, unless it sees all.
	for key, wants := range map[string]string{ordersKey: `{}`, operatorKey: `{}`} {
		if e := s.changes(t, "", append(bearer(key), lastEventID, "of another time")...).next(t, "lost"); e.data != wants {
			t.Errorf("told %s", e.data)
		}
	}
}

func TestReaderOfChangesComesBackToWhereItWas(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	l := s.changes(t, "")
	first := s.create(t, `{}`).ID
	l.hears(t, "created", first)
	id := l.goes(t)
	second := s.create(t, `{}`).ID
	again := s.changes(t, "", lastEventID, id)
	again.hears(t, "created", second)
	id = again.goes(t)
	// It comes back before anything was told.
	third := s.changes(t, "", lastEventID, id)
	if back := third.goes(t); back == "" {
		t.Error("the client does not know where it was")
	}
	// Of a change that never was, and of one of another process, nobody knows what follows.
	for _, unknown := range []string{"x", "1", strings.Repeat("A", 22), strings.Repeat("A", 5000)} {
		if e := s.changes(t, "", lastEventID, unknown).next(t, "lost"); e.data != "{}" || e.id == "" {
			t.Errorf("%s: told %+v", unknown, e)
		}
	}
	s.Kill(t)
	s.Start(t, withAPI(s, harness.Config{}, "key off"))
	s.changes(t, "", lastEventID, id).next(t, "lost")
}

// A stream must not keep the servers of the configuration before, and its reader comes back to
// the new ones.
func TestStreamOfChangesEndsWithItsConfiguration(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	atAPI, atAdmin := s.changes(t, ""), s.changesAt(t, adminURL, "")
	made := s.create(t, `{}`).ID
	for _, l := range []*listener{atAPI, atAdmin} {
		l.hears(t, "created", made)
	}
	s.MustReload(t, withAPI(s, harness.Config{Hold: "name another"}, "key off"))
	idAPI, idAdmin := atAPI.over(t), atAdmin.over(t)
	made = s.create(t, `{}`).ID
	s.changes(t, "", lastEventID, idAPI).hears(t, "created", made)
	back := s.changesAt(t, adminURL, "", lastEventID, idAdmin)
	back.hears(t, "created", made)
	// A configuration that fails replaces the admin endpoint all the same.
	if err := s.Reload(t, harness.Config{BaseURL: "http://failed.test", Sites: "http://failing.test {\n\tbind unix//no/such/directory/socket\n}\n"}); err == nil {
		t.Fatal("a configuration that cannot start was taken")
	}
	back.over(t)
}

func TestStreamOfChangesEndsWhenCaddyExits(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	atAPI, atAdmin := s.changes(t, ""), s.changesAt(t, adminURL, "")
	s.Terminate(t)
	s.Exited(t, exitWithin)
	atAPI.over(t)
	atAdmin.over(t)
}

// Caddy gives a request to the admin endpoint 10 seconds.
func TestStreamOfChangesLastsAtTheAdminEndpoint(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	l := s.changesAt(t, adminURL, "")
	began := time.Now()
	harness.Within(t, 15*time.Second, "the time for a request is over", func() bool { return time.Since(began) > 11*time.Second })
	made := decode[created](t, s.admin(t, http.MethodPost, "", `{}`))
	l.hears(t, "created", made.ID)
}

func TestReadersOfChangesAreNoHeldClients(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{Callback: "max_held 1"})
	l := s.changes(t, "")
	s.changes(t, "")
	x := s.get(t)
	if page := s.list(t, ""); page.Held != 1 {
		t.Errorf("%d clients are held", page.Held)
	}
	x.resolve(t, "done")
	l.next(t, "change")
}

func TestReadersOfChangesAreBounded(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	var all []*listener
	for range 64 {
		all = append(all, s.changes(t, ""))
	}
	wantProblem(t, s.api(t, http.MethodGet, "/events", ""), http.StatusServiceUnavailable, "busy")
	all[0].goes(t)
	harness.Eventually(t, "there is room again", func() bool {
		return s.api(t, http.MethodHead, "/events", "").Status == http.StatusOK
	})
}

func TestChangesAreToldAtEveryNode(t *testing.T) {
	t.Parallel()
	nodes := startNodesWith(t, 2, func(node *stage) harness.Config { return withAPI(node, harness.Config{}, "key off") })
	a, b := nodes[0], nodes[1]
	l := b.changes(t, "?phase=closed")
	made := a.create(t, `{"correlationId":"elsewhere"}`)
	wantStatus(t, a.api(t, http.MethodDelete, "/"+made.ID, ""), http.StatusNoContent)
	if c := l.hearsInTheEnd(t, "closed", made.ID); c.CorrelationID != "elsewhere" {
		t.Errorf("%+v", c)
	}
}
