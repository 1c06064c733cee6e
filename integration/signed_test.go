package integration

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// signing starts a server that can sign with two secrets, and parks as lines say.
func signing(t *testing.T, cfg harness.Config, lines string) (s *stage, with func(callback, lines string) harness.Config) {
	t.Helper()
	s = newStage(t)
	for name, key := range map[string]string{"ORDERS_SECRET": "0123456789abcdef0123456789abcdef", "GLOBAL_SECRET": "fedcba9876543210fedcba9876543210"} {
		secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))
		s.Setenv(name, secret)
		s.NeverLog(secret)
	}
	with = func(callback, lines string) harness.Config {
		return withAPI(s, harness.Config{Callback: callback, Private: s.parks(lines)}, "key off")
	}
	s.Start(t, with(cfg.Callback, lines))
	return s, with
}

// wantWaits waits until a delivery was not made for that reason, and checks that this
// counts as no attempt.
func (s *stage) wantWaits(t *testing.T, id, why string) {
	t.Helper()
	type full struct {
		Delivery struct {
			State, Error string
			Attempts     int
		} `json:"delivery"`
	}
	harness.Eventually(t, "the delivery waits", func() bool {
		return decode[full](t, s.api(t, http.MethodGet, "/"+id, "")).Delivery.Error == why
	})
	d := decode[full](t, s.api(t, http.MethodGet, "/"+id, "")).Delivery
	if d.State != "pending" || d.Attempts != 0 {
		t.Errorf("the delivery is %+v", d)
	}
}

func TestResultThatWasToBeSignedIsNeverSentUnsigned(t *testing.T) {
	t.Parallel()
	const gone, unsigned = "the directive that signs it is gone from the configuration", "nothing signs it any more"
	g := newTarget(t)
	allow := "allow " + g.URL + "\n"
	own := "name orders\ndeliver {\n" + allow + "sign {env.ORDERS_SECRET}\n}"
	global := "deliver {\n" + allow + "sign {env.GLOBAL_SECRET}\n}"
	bare := "deliver {\n" + allow + "}"
	for name, c := range map[string]struct{ callback, lines, thenCallback, thenLines, why string }{
		"directive renamed":                   {bare, own, bare, "name orders2\ndeliver {\n" + allow + "sign {env.ORDERS_SECRET}\n}", gone},
		"directive renamed, another's secret": {global, own, global, "name orders2", gone},
		"directive gone":                      {bare, own, bare, "", gone},
		"its secret gone":                     {bare, own, bare, "name orders\ndeliver {\n" + allow + "}", unsigned},
		"its delivery gone":                   {bare, own, bare, "name orders\nrespond \"kept\"", gone},
		"global secret gone":                  {global, "name orders\ndeliver {\n" + allow + "}", bare, "name orders\ndeliver {\n" + allow + "}", unsigned},
		"global secret gone, without a name":  {global, "deliver", bare, "deliver", unsigned},
	} {
		t.Run(name, func(t *testing.T) {
			s, with := signing(t, harness.Config{Callback: c.callback}, c.lines)
			x := s.order(t, g.URL)
			p := s.wantParked(t, x.Answer(t))
			s.MustReload(t, with(c.thenCallback, c.thenLines))
			x.resolve(t, name)
			s.wantWaits(t, p.ID, c.why)
			s.logged(t, "a delivery waits", c.why, p.ID)
			s.MustReload(t, with(c.callback, c.lines))
			d := g.delivered(t)
			if string(d.Body) != name || d.Header.Get("Webhook-Signature") == "" {
				t.Errorf("delivered %s, signed with %q", d.Body, d.Header.Get("Webhook-Signature"))
			}
		})
	}
}

// What was not to be signed, or is signed by the global option in any case, goes on.
func TestResultOfARenamedDirectiveIsDeliveredByTheGlobalRules(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	allow := "allow " + g.URL + "\n"
	global := "deliver {\n" + allow + "sign {env.GLOBAL_SECRET}\n}"
	bare := "deliver {\n" + allow + "}"
	for name, c := range map[string]struct {
		callback, lines string
		signed          bool
	}{
		"not signed":           {bare, "name orders\ndeliver {\n" + allow + "retry 1s\n}", false},
		"signed by the global": {global, "name orders\ndeliver {\n" + allow + "retry 1s\n}", true},
	} {
		t.Run(name, func(t *testing.T) {
			s, with := signing(t, harness.Config{Callback: c.callback}, c.lines)
			x := s.order(t, g.URL)
			s.wantParked(t, x.Answer(t))
			s.MustReload(t, with(c.callback, "name orders2"))
			x.resolve(t, name)
			d := g.delivered(t)
			if string(d.Body) != name || (d.Header.Get("Webhook-Signature") != "") != c.signed {
				t.Errorf("delivered %s, signed with %q", d.Body, d.Header.Get("Webhook-Signature"))
			}
		})
	}
}

// Whoever may make callbacks with a directive's name does not get the directive's signature
// for results of their own.
func TestResultOfTheAPIIsNotSignedByTheDirectiveWithItsName(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s := newStage(t)
	s.Setenv("ORDERS_SECRET", "whsec_"+base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef")))
	s.Setenv("CB_ORDERS", ordersKey)
	s.Start(t, withAPI(s, harness.Config{
		Callback: "key orders {env.CB_ORDERS} create for orders\ndeliver {\nallow " + g.URL + "\n}",
		Private:  s.parks("name orders\ndeliver {\nallow " + g.URL + "\nsign {env.ORDERS_SECRET}\n}"),
	}, ""))
	c := s.create(t, `{"deliverTo":"`+g.URL+`"}`, bearer(ordersKey)...)
	wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "result"), http.StatusOK)
	if d := g.delivered(t); string(d.Body) != "result" || d.Header.Get("Webhook-Signature") != "" {
		t.Errorf("delivered %s, signed with %q", d.Body, d.Header.Get("Webhook-Signature"))
	}
}
