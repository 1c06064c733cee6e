package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// The keys of two teams, and of an operator who sees both.
const (
	ordersKey     = "the-key-of-the-orders-team"
	ordersNextKey = "the-next-key-of-the-orders-team"
	billingKey    = "the-key-of-the-billing-team"
	bothKey       = "the-key-of-whoever-does-both"
	operatorKey   = "the-key-of-the-operator"
)

// teamed starts a server for two teams, none of whose keys it may ever log. The site "app"
// holds for the orders team, "billing" for the other one.
func teamed(t *testing.T, cfg harness.Config) *stage {
	t.Helper()
	s := newStage(t)
	for name, key := range map[string]string{"CB_ORDERS": ordersKey, "CB_ORDERS_NEXT": ordersNextKey, "CB_BILLING": billingKey, "CB_BOTH": bothKey, "CB_OPERATOR": operatorKey} {
		s.NeverLog(key)
		s.Setenv(name, key)
	}
	cfg.Callback += `key orders {env.CB_ORDERS} {env.CB_ORDERS_NEXT} send create read manage for orders
key billing {env.CB_BILLING} send create read manage for billing
key both {env.CB_BOTH} send read manage for orders billing
key operator {env.CB_OPERATOR} create read manage
`
	cfg.Hold += "\nname orders\nkey orders both\n" + showStatus
	cfg.Sites += s.Site("billing", s.HoldAndForward("", "", "name billing\nkey billing both"))
	s.Start(t, withAPI(s, cfg, ""))
	return s
}

// listedFor returns the callbacks that a key sees, newest first, page by page.
func (s *stage) listedFor(t *testing.T, key, query string) (ids []string) {
	t.Helper()
	for cursor := ""; ; {
		got := s.api(t, http.MethodGet, "?limit=2"+query+cursor, "", bearer(key)...)
		wantStatus(t, got, http.StatusOK)
		page := decode[listed](t, got)
		ids = append(ids, page.ids()...)
		if len(page.Callbacks) > 2 {
			t.Fatalf("a page has %d callbacks", len(page.Callbacks))
		}
		if told := strings.Contains(string(got.Body), `"held":`); told != (key == operatorKey) {
			t.Errorf("how many are held of all callbacks is told: %t", told)
		}
		if page.Next == "" {
			return ids
		}
		cursor = "&cursor=" + page.Next
	}
}

func TestKeySeesOnlyTheCallbacksThatItIsFor(t *testing.T) {
	t.Parallel()
	s := teamed(t, harness.Config{})
	var orders, billing []string
	for range 3 {
		orders = append(orders, s.create(t, `{}`, bearer(ordersKey)...).ID)
		billing = append(billing, s.create(t, `{}`, bearer(billingKey)...).ID)
	}
	nobodys := s.create(t, `{}`, bearer(operatorKey)...).ID
	held := s.get(t)
	heldID := s.listedFor(t, ordersKey, "")[0]
	orders = append(orders, heldID)
	all := slices.Concat(orders, billing, []string{nobodys})
	for name, c := range map[string]struct {
		key, query string
		want       []string
	}{
		"orders": {ordersKey, "", orders}, "orders, next key": {ordersNextKey, "", orders}, "orders by name": {ordersKey, "&name=orders", orders},
		"orders of others": {ordersKey, "&name=billing", nil}, "orders of nobody": {ordersKey, "&name=no", nil},
		"billing": {billingKey, "", billing}, "both": {bothKey, "", slices.Concat(orders, billing)}, "both by name": {bothKey, "&name=billing", billing},
		"operator": {operatorKey, "", all}, "operator by name": {operatorKey, "&name=orders", orders},
	} {
		got := s.listedFor(t, c.key, c.query)
		slices.Sort(got)
		if want := slices.Sorted(slices.Values(c.want)); !slices.Equal(got, want) {
			t.Errorf("%s: listed %v, want %v", name, got, want)
		}
	}
	if admin := s.commanded(t, "list", "--all"); strings.Count(admin, "\n") < len(all) {
		t.Errorf("the admin endpoint lists %s", admin)
	}
	for _, id := range slices.Concat(billing[:1], []string{nobodys}) {
		s.wantNothingThere(t, ordersKey, id)
		s.wantNothingThere(t, ordersNextKey, id)
	}
	s.wantNothingThere(t, billingKey, heldID)
	for _, key := range []string{ordersNextKey, bothKey, operatorKey} {
		wantStatus(t, s.api(t, http.MethodGet, "/"+heldID, "", bearer(key)...), http.StatusOK)
	}
	wantStatus(t, s.api(t, http.MethodPost, "/"+heldID+"/resolve", "", bearer(bothKey)...), http.StatusOK)
	wantAnswer(t, held.Answer(t), http.StatusOK, "")
	wantStatus(t, s.api(t, http.MethodDelete, "/"+billing[0], "", bearer(billingKey)...), http.StatusNoContent)
}

// wantNothingThere checks that a callback is to a key as one that does not exist, and that
// nothing happens to it.
func (s *stage) wantNothingThere(t *testing.T, key, id string) {
	t.Helper()
	const nobodys = "00000000-0000-4000-8000-000000000000"
	read := func() string {
		return string(s.api(t, http.MethodGet, "/"+id, "", bearer(operatorKey)...).Body)
	}
	before := read()
	for _, x := range []struct{ method, path, body string }{
		{http.MethodGet, "", ""}, {http.MethodHead, "", ""}, {http.MethodGet, "/result", ""}, {http.MethodPost, "/resolve", `{"a":1}`},
		{http.MethodPost, "/redeliver", ""}, {http.MethodDelete, "", ""},
	} {
		got := s.api(t, x.method, "/"+id+x.path, x.body, bearer(key)...)
		wantStatus(t, got, http.StatusNotFound)
		wantSameAnswer(t, got, s.api(t, x.method, "/"+nobodys+x.path, x.body, bearer(key)...))
	}
	if after := read(); after != before {
		t.Errorf("the callback was %s, and is %s", before, after)
	}
}

func TestCallbackThatATeamMakesHasItsName(t *testing.T) {
	t.Parallel()
	s := teamed(t, harness.Config{})
	for key, want := range map[string]string{ordersKey: "orders", ordersNextKey: "orders", billingKey: "billing", operatorKey: ""} {
		id := s.create(t, `{}`, bearer(key)...).ID
		got := s.api(t, http.MethodGet, "/"+id, "", bearer(operatorKey)...)
		if name := decode[struct{ Name string }](t, got).Name; name != want {
			t.Errorf("the callback has the name %q, want %q", name, want)
		}
	}
	// The two secrets are one key, so a request can be repeated with either.
	first := s.create(t, `{"data":1}`, append(bearer(ordersKey), "Idempotency-Key", "k")...)
	again := s.create(t, `{"data":1}`, append(bearer(ordersNextKey), "Idempotency-Key", "k")...)
	others := s.create(t, `{"data":1}`, append(bearer(billingKey), "Idempotency-Key", "k")...)
	if first.ID != again.ID || first.ID == others.ID {
		t.Errorf("made %s, %s and %s", first.ID, again.ID, others.ID)
	}
}

// A key that is given to another team does not find again what it has made for the first.
func TestKeyThatIsForOthersFindsNothingThatItHasMadeBefore(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_TEAM", ordersKey)
	cfg := func(names string) harness.Config {
		return withAPI(s, harness.Config{Callback: "key team {env.CB_TEAM} create read" + names}, "")
	}
	retry := append(bearer(ordersKey), "Idempotency-Key", "k")
	s.Start(t, cfg(" for orders"))
	first := s.create(t, `{}`, retry...)
	s.MustReload(t, cfg(" for billing"))
	wantProblem(t, s.api(t, http.MethodPost, "", `{}`, retry...), http.StatusUnprocessableEntity, "idempotency-key-reused")
	s.MustReload(t, cfg(" for orders"))
	if again := s.create(t, `{}`, retry...); again.ID != first.ID {
		t.Errorf("made %s again, as %s", first.ID, again.ID)
	}
}

func TestKeyCallsOnlyTheCallbacksThatItIsFor(t *testing.T) {
	t.Parallel()
	s := teamed(t, harness.Config{})
	x := s.get(t)
	id := x.received.Header.Get(correlationHeader)
	wantProblem(t, x.callWithAll(t, "text/plain", "no", bearer(billingKey)...), http.StatusForbidden, "key-not-allowed")
	wantProblem(t, s.callFixed(t, id, "no", bearer(billingKey)...), http.StatusNotFound, "unknown-state")
	x.wantPhase(t, "waiting")
	wantStatus(t, s.callFixed(t, id, "yes", bearer(ordersNextKey)...), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "yes")

	own := s.create(t, `{"includeApiKey":true}`, bearer(operatorKey)...)
	bare, _, _ := strings.Cut(own.CallbackURL, "?")
	wantProblem(t, s.callURL(t, http.MethodPost, bare, "no", bearer(ordersKey)...), http.StatusForbidden, "key-not-allowed")
	mine := s.create(t, `{"includeApiKey":true}`, bearer(ordersKey)...)
	bare, _, _ = strings.Cut(mine.CallbackURL, "?")
	wantProblem(t, s.callURL(t, http.MethodPost, bare, "no", bearer(billingKey)...), http.StatusForbidden, "key-not-allowed")
	wantStatus(t, s.callURL(t, http.MethodPost, bare, "yes", bearer(bothKey)...), http.StatusOK)
	inQuery := s.create(t, `{"stateQueryParameter":"state"}`, bearer(ordersKey)...)
	wantStatus(t, s.callURL(t, http.MethodPost, inQuery.CallbackURL, "no key is asked for", bearer(billingKey)...), http.StatusOK)
}

// A key that the server asks for opens only what it is for, even where the callback asks
// for none.
func TestKeyOfTheServerOpensOnlyTheCallbacksThatItIsFor(t *testing.T) {
	t.Parallel()
	s := teamed(t, harness.Config{Public: "callback_server {\n\tkey orders billing\n}"})
	for _, fields := range []string{`{}`, `{"stateQueryParameter":"state"}`} {
		c := s.create(t, fields, bearer(ordersKey)...)
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodOptions} {
			wantProblem(t, s.callURL(t, method, c.CallbackURL, "", bearer(billingKey)...), http.StatusForbidden, "key-not-allowed")
		}
		wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "yes", bearer(ordersKey)...), http.StatusOK)
	}
}

func TestNameThatNoDirectiveHasIsNoted(t *testing.T) {
	t.Parallel()
	s := teamed(t, harness.Config{Callback: "key old sha256:" + strings.Repeat("ab", 32) + " read for order\n"})
	s.logged(t, `"name":"order","meant":"orders"`)
}
