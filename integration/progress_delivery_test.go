package integration

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// reports are the options by which calls with a status of their own are progress, and are
// delivered to a target.
func reports(g *target, deliver string) string {
	return "name orders\nprogress json status starting processing\nfailed json status failed\ndeliver {\n" + allows(g) + "progress on\n" + deliver + "\n}"
}

// report makes a call that is progress.
func (x *exchange) report(t *testing.T, body string) {
	t.Helper()
	wantStatus(t, x.call(t, "application/json", body), http.StatusOK)
}

// picky returns a target that takes results, and no progress.
func picky(t *testing.T) *target {
	t.Helper()
	got := make(chan *harness.Received, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- &harness.Received{Method: r.Method, URI: r.RequestURI, Header: r.Header.Clone(), ContentLength: r.ContentLength, Body: body}
		if r.Header.Get("X-Link-Result-Status") == "202" {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	return &target{Server: server, got: got}
}

// refusedOnce waits until it is recorded that an attempt to deliver has failed.
func (s *stage) refusedOnce(t *testing.T, p parked) {
	t.Helper()
	harness.Eventually(t, "the attempt is recorded", func() bool {
		return strings.Contains(string(s.admin(t, http.MethodGet, "/"+p.ID, "").Body), `"attempts":1`)
	})
}

// As Replicate does it: a client learns of the start, of what there is so far, and of the end.
func TestProgressIsDeliveredInOrderAndEachOnce(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s := startParked(t, reports(g, "format cloudevents"))
	x := s.order(t, g.URL)
	p := s.wantParked(t, x.Answer(t))
	large := `{"status":"processing","output":"` + strings.Repeat("x", 200_000) + `"}`
	calls := []string{`{"status":"starting"}`, large, `{"status":"processing","output":"all"}`, `{"status":"succeeded","output":"all of it"}`}
	for i, body := range calls {
		x.report(t, body)
		d := g.delivered(t)
		id, status, word, kind := p.ID, "202", []string(nil), "callback.progress"
		if i > 0 {
			id += "." + string(rune('1'+i))
		}
		if i == len(calls)-1 {
			status, word, kind = "200", []string{"Ok"}, "callback.resolved"
		}
		if string(d.Body) != body {
			t.Errorf("delivered %.100s, want %.100s", d.Body, body)
		}
		wantHeader(t, d.Header, "Webhook-Id", id)
		wantHeader(t, d.Header, "X-Link-Result-Status", status)
		wantHeader(t, d.Header, statusHeader, word...)
		wantHeader(t, d.Header, correlationHeader, x.received.Header.Get(correlationHeader))
		wantHeader(t, d.Header, "Ce-Type", kind)
		wantHeader(t, d.Header, "Content-Type", "application/json")
		if i < len(calls)-1 {
			s.deliveryIs(t, p, "pending")
		}
	}
	s.deliveryIs(t, p, "delivered")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, calls[3])
	if len(g.got) > 0 {
		t.Error("something is delivered twice")
	}
}

func TestRepeatedProgressIsNotDeliveredAgain(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s := startParked(t, reports(g, ""))
	x := s.order(t, g.URL)
	s.wantParked(t, x.Answer(t))
	for range 3 {
		req := harness.NewRequest(t, http.MethodPost, x.url, "application/json", `{"status":"starting"}`)
		req.Header.Set("Webhook-Id", "m1")
		wantStatus(t, s.public(t, req), http.StatusOK)
	}
	x.report(t, `{"status":"succeeded"}`)
	for _, want := range []string{`{"status":"starting"}`, `{"status":"succeeded"}`} {
		if d := g.delivered(t); string(d.Body) != want {
			t.Errorf("delivered %s, want %s", d.Body, want)
		}
	}
}

// What was taken is delivered, in its order, whatever becomes of the process meanwhile.
func TestProgressOutlivesCrashes(t *testing.T) {
	t.Parallel()
	g := newTarget(t, slices.Repeat([]int{http.StatusServiceUnavailable}, 3)...)
	s, with := shaping(t)
	cfg := with(reports(g, "retry 1s 1s 1s 1s 1s 1s 1s 1s"))
	s.Start(t, cfg)
	x := s.order(t, g.URL)
	p := s.wantParked(t, x.Answer(t))
	calls := []string{`{"status":"starting"}`, `{"status":"processing","output":"` + strings.Repeat("x", 100_000) + `"}`, `{"status":"succeeded"}`}
	for _, body := range calls[:2] {
		x.report(t, body)
		s.Kill(t)
		s.Start(t, cfg)
	}
	var ids, bodies []string
	comes := func(n int) {
		for len(ids) < n {
			d := g.delivered(t)
			// An attempt that has failed, or was cut short, or whose outcome was lost, is
			// made again.
			if id := d.Header.Get("Webhook-Id"); !slices.Contains(ids, id) && d.ContentLength == int64(len(d.Body)) {
				ids, bodies = append(ids, id), append(bodies, string(d.Body))
			}
		}
	}
	comes(2)
	x.report(t, calls[2])
	s.Kill(t)
	s.Start(t, cfg)
	comes(3)
	if !slices.Equal(ids, []string{p.ID, p.ID + ".2", p.ID + ".3"}) || !slices.Equal(bodies, calls) {
		t.Errorf("delivered are %v, %.200v", ids, bodies)
	}
	s.deliveryIs(t, p, "delivered")
}

func TestProgressThatIsNotTakenHoldsNoResultUp(t *testing.T) {
	t.Parallel()
	g := picky(t)
	s := startParked(t, reports(g, "retry 1h"))
	x := s.order(t, g.URL)
	p := s.wantParked(t, x.Answer(t))
	x.report(t, `{"status":"starting"}`)
	x.report(t, `{"status":"processing"}`)
	g.delivered(t)
	s.refusedOnce(t, p)
	x.report(t, `{"status":"succeeded"}`)
	for _, want := range []string{`{"status":"starting"}`, `{"status":"succeeded"}`} {
		if d := g.delivered(t); string(d.Body) != want {
			t.Errorf("delivered %s, want %s", d.Body, want)
		}
	}
	s.deliveryIs(t, p, "delivered")
}

func TestProgressBetweenManyResultsIsDeliveredInItsPlace(t *testing.T) {
	t.Parallel()
	g := newTarget(t, http.StatusServiceUnavailable)
	s := startParked(t, "multiple on\n"+reports(g, "retry 1s 1s"))
	x := s.order(t, g.URL)
	s.wantParked(t, x.Answer(t))
	calls := []string{`{"status":"succeeded","n":1}`, `{"status":"processing","n":2}`, `{"status":"failed","n":3}`, `{"status":"processing","n":4}`}
	for _, body := range calls {
		x.report(t, body)
	}
	g.delivered(t)
	for i, want := range calls {
		d := g.delivered(t)
		if i != 2 && string(d.Body) != want || i == 2 && d.Header.Get(statusHeader) != "Failed" {
			t.Errorf("delivered %s, want %s", d.Body, want)
		}
	}
}

// A request that is carried out in the background has progress, too, while its job is under
// way, and its result is that of what runs after the callback.
func TestProgressOfBackgroundWorkIsDelivered(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s := newStage(t)
	s.Start(t, harness.Config{Private: "callback park {\n" + reports(g, "") + "\ncall {\nreverse_proxy unix/" + s.Path("partner.sock") + "\n}\nthen {\nrewrite /then\nreverse_proxy unix/" + s.Path("partner.sock") + "\n}\n}\n"})
	s.partner.Handle("/then", harness.Ack(http.StatusOK, nil, "then"))
	x := s.order(t, g.URL)
	p := s.wantParked(t, x.Answer(t))
	x.report(t, `{"status":"starting"}`)
	if d := g.delivered(t); string(d.Body) != `{"status":"starting"}` {
		t.Errorf("delivered %s", d.Body)
	}
	x.report(t, `{"status":"processing"}`)
	x.report(t, `{"status":"succeeded"}`)
	for i, want := range []string{`{"status":"processing"}`, "then"} {
		d := g.delivered(t)
		if string(d.Body) != want {
			t.Errorf("delivered %s, want %s", d.Body, want)
		}
		wantHeader(t, d.Header, "Webhook-Id", p.ID+"."+string(rune('2'+i)))
	}
}

func TestProgressAtAnyNodeIsDelivered(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]bool{"once": false, "although a node is killed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newTarget(t, http.StatusServiceUnavailable)
			nodes := startNodesWith(t, 3, func(node *stage) harness.Config {
				return harness.Config{Private: node.parks(reports(g, "retry 1s 1s 1s"))}
			})
			x := nodes[0].order(t, g.URL)
			p := nodes[0].wantParked(t, x.Answer(t))
			calls := []string{`{"status":"starting"}`, `{"status":"processing","n":1}`, `{"status":"processing","n":2}`, `{"status":"succeeded"}`}
			for i, body := range calls[:3] {
				x.at(nodes[i%3]).report(t, body)
			}
			g.delivered(t)
			nodes[0].refusedOnce(t, p)
			x.at(nodes[0]).report(t, calls[3])
			ids := []string{p.ID, p.ID + ".2", p.ID + ".3", p.ID + ".4"}
			for i := 0; i < len(ids); {
				d := g.delivered(t)
				if id := d.Header.Get("Webhook-Id"); killed && slices.Contains(ids[:i], id) {
					// The outcome of that attempt was lost with its node.
					continue
				}
				wantHeader(t, d.Header, "Webhook-Id", ids[i])
				if string(d.Body) != calls[i] {
					t.Errorf("delivered %s, want %s", d.Body, calls[i])
				}
				if i++; i == 1 && killed {
					nodes[1].Kill(t)
				}
			}
			if killed {
				return
			}
			harness.Until(time.Now().Add(noMore))
			if n := len(g.got); n != 0 {
				t.Errorf("%d more are delivered", n)
			}
		})
	}
}
