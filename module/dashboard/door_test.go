package dashboard

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
)

// arrival is a request that comes to the door, and the status that it gets.
type arrival struct {
	what, method, path, user, key string
	// bearer says that the key is shown without a name.
	bearer bool
	header [2]string
	want   int
}

func (a arrival) request() *http.Request {
	r := httptest.NewRequest(cmp.Or(a.method, http.MethodGet), "http://ops.test"+a.path, nil)
	switch {
	case a.bearer:
		r.Header.Set("Authorization", "Bearer "+a.key)
	case a.user != "" || a.key != "":
		r.SetBasicAuth(a.user, a.key)
	}
	if a.header == [2]string{"Sec-Fetch-Site", "same-site"} && !a.bearer {
		r.Header.Set("Origin", "http://sibling.ops.test")
	}
	if a.header[0] != "" {
		r.Header.Set(a.header[0], a.header[1])
	}
	return r
}

func TestWhoMaySeeAndAct(t *testing.T) {
	d := newDashboard(t, nil)
	cb := d.create(t, callback.Spec{Name: "orders"})
	other := d.create(t, callback.Spec{Name: "invoices"})
	one, others := "/callback/"+cb.ID.String(), "/callback/"+other.ID.String()
	for _, c := range []arrival{
		{what: "nobody", path: "/", want: 401},
		{what: "nobody at a path that leads nowhere", path: "/nowhere", want: 401},
		{what: "nobody at an asset", path: "/-/page.css", want: 401},
		{what: "the operator", path: "/", user: "operator", key: operatorKey, want: 200},
		{what: "the operator as a program", path: "/", key: operatorKey, bearer: true, want: 200},
		{what: "the watcher", path: one, user: "watcher", key: watcherKey, want: 200},
		{what: "another's name", path: "/", user: "operator", key: watcherKey, want: 401},
		{what: "no name", path: "/", user: "", key: operatorKey, want: 401},
		{what: "another key", path: "/", user: "operator", key: "nobody's key at all", want: 401},
		{what: "no key", path: "/", user: "operator", key: "", want: 401},
		{what: "a key that may not read", path: "/", user: "creator", key: creatorKey, want: 401},
		{what: "a program's key that may not read", path: "/", key: creatorKey, bearer: true, want: 401},
		{what: "a key for the orders", path: one, user: "orders", key: ordersKey, want: 200},
		{what: "a key for the orders at another", path: others, user: "orders", key: ordersKey, want: 404},
		{what: "a key for the orders acts on another", method: "POST", path: others + "/close", user: "orders", key: ordersKey, want: 404},
		{what: "nobody acts", method: "POST", path: one + "/close", want: 401},
		{what: "the watcher acts", method: "POST", path: one + "/close", user: "watcher", key: watcherKey, want: 403},
		{what: "another site's page acts", method: "POST", path: one + "/close", user: "operator", key: operatorKey, header: [2]string{"Sec-Fetch-Site", "cross-site"}, want: 403},
		{what: "a sibling's page acts", method: "POST", path: one + "/close", user: "operator", key: operatorKey, header: [2]string{"Sec-Fetch-Site", "same-site"}, want: 403},
		{what: "a sibling that does not say more acts", method: "POST", path: one + "/close", key: operatorKey, bearer: true, header: [2]string{"Sec-Fetch-Site", "same-site"}, want: 403},
		{what: "a page that does not say where it is from acts", method: "POST", path: one + "/close", user: "operator", key: operatorKey, header: [2]string{"Origin", "null"}, want: 403},
		{what: "another host's page acts", method: "POST", path: one + "/close", user: "operator", key: operatorKey, header: [2]string{"Origin", "http://evil.test"}, want: 403},
		{what: "in early data", method: "POST", path: one + "/close", user: "operator", key: operatorKey, header: [2]string{"Early-Data", "1"}, want: 425},
		{what: "with a method that there is not", method: "DELETE", path: one, user: "operator", key: operatorKey, want: 405},
		{what: "with one that changes nothing", method: "GET", path: one + "/close", user: "operator", key: operatorKey, want: 405},
		{what: "the operator acts", method: "POST", path: one + "/close", user: "operator", key: operatorKey, header: [2]string{"Origin", "http://ops.test"}, want: 303},
		{what: "a program acts", method: "POST", path: one + "/close", key: operatorKey, bearer: true, want: 303},
	} {
		got := d.serve(t, c.request())
		if got.Code != c.want {
			t.Errorf("%s: status %d, want %d: %s", c.what, got.Code, c.want, got.Body)
		}
		if c.want == 401 && got.Header().Get("Www-Authenticate") != challenge.Get("Www-Authenticate") {
			t.Errorf("%s: %v", c.what, got.Header())
		}
	}
}

// Whatever is wrong with what was shown, the answer is the same.
func TestFailuresAreAlike(t *testing.T) {
	d := newDashboard(t, nil)
	first := ""
	for _, shown := range [][2]string{{"operator", "nobody's key at all"}, {"nobody", operatorKey}, {"operator", ""}, {"creator", creatorKey}, {"watcher", operatorKey}} {
		r := httptest.NewRequest(http.MethodGet, "http://ops.test/", nil)
		r.SetBasicAuth(shown[0], shown[1])
		got := d.serve(t, r)
		if first == "" {
			first = got.Body.String()
		}
		if got.Code != http.StatusUnauthorized || got.Body.String() != first {
			t.Errorf("%s: %d %s", shown[0], got.Code, got.Body)
		}
	}
}

func TestWithoutKeysPagesOfOthersAreKeptOut(t *testing.T) {
	d := newDashboard(t, open)
	for _, c := range []struct {
		name, value string
		want        int
	}{{"", "", 200}, {"Sec-Fetch-Site", "same-origin", 200}, {"Sec-Fetch-Site", "none", 200}, {"Origin", "http://ops.test", 200}, {"Origin", "http://evil.test", 403}} {
		r := httptest.NewRequest(http.MethodGet, "http://ops.test/", nil)
		if c.name != "" {
			r.Header.Set(c.name, c.value)
		}
		if got := d.serve(t, r); got.Code != c.want {
			t.Errorf("%s %s: %d, want %d", c.name, c.value, got.Code, c.want)
		}
	}
}

func TestSomebodyMustBeAbleToSee(t *testing.T) {
	t.Parallel()
	reader := []app.Key{{Name: "a", Permissions: []string{"send"}}, {Name: "b", Permissions: []string{"read"}}}
	for name, c := range map[string]struct {
		d    *Dashboard
		keys []app.Key
		ok   bool
	}{
		"no key": {&Dashboard{}, nil, false}, "a reader": {&Dashboard{}, reader, true}, "off": {&Dashboard{KeyOff: true}, nil, true},
		"a manager": {&Dashboard{}, []app.Key{{Name: "a", Permissions: []string{"manage"}}}, false},
		"bodies":    {&Dashboard{Bodies: "some"}, reader, false}, "show": {&Dashboard{Bodies: "show"}, reader, true},
	} {
		if err := c.d.Check(c.keys); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
