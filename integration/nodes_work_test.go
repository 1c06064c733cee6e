package integration

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestRequestGoesOnAfterACallAtAnotherNode(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"hold", "park"} {
		for _, useBody := range []string{"on", "off"} {
			t.Run(mode+" use_body "+useBody, func(t *testing.T) {
				t.Parallel()
				nodes := startNodesWith(t, 2, func(node *stage) harness.Config {
					return harness.Config{Private: step(mode, "use_body "+useBody, toSide(node), node.toPartner())}
				})
				a, b := nodes[0], nodes[1]
				j := a.setOut(t, mode)
				j.arrives(t, "/side")
				j.notDone(t)
				j.at(b).resolve(t, "checked")
				got := a.partner.Received(t, j.path)
				want := map[string]string{"on": "checked", "off": `{"original":true}`}[useBody]
				if got.Method != http.MethodPut || got.URI != j.path+"?a=1" || string(got.Body) != want {
					t.Errorf("the app got %s %s with %s", got.Method, got.URI, got.Body)
				}
				wantHeader(t, got.Header, "X-Note", "kept")
				wantAnswer(t, j.result(t), http.StatusOK, appsAnswer)
				a.wantArrivals(t, j.path, 0)
				a.wantArrivals(t, "/side"+j.path, 0)
			})
		}
	}
}

func TestChainOfStepsGoesOverAllNodes(t *testing.T) {
	t.Parallel()
	nodes := startNodesWith(t, 3, func(node *stage) harness.Config { return harness.Config{Private: node.chain()} })
	a, b, c := nodes[0], nodes[1], nodes[2]
	for _, end := range []*stage{b, c} {
		j := a.setOut(t, "park")
		j.arrives(t, "/one")
		j.at(b).resolve(t, "one is done")
		j.arrives(t, "/two")
		j.at(end).resolve(t, "two is done")
		got := a.partner.Received(t, j.path)
		wantHeader(t, got.Header, "X-Outer", "one is done")
		wantHeader(t, got.Header, "X-Inner", "two is done")
		c.ends(t, j.parked.StatusURL)
		wantAnswer(t, j.result(t), http.StatusOK, appsAnswer)
		for _, path := range []string{"/one" + j.path, "/two" + j.path, j.path} {
			a.wantArrivals(t, path, 0)
		}
	}
}

// noMore is how long it is waited for work that must not be done again: each node has looked
// for some by then.
const noMore = 1500 * time.Millisecond

func TestResultOfACallAtAnyNodeIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	const orders = 6
	for name, refusals := range map[string]int{"at once": 0, "at the second attempt": orders} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newTarget(t, slices.Repeat([]int{http.StatusServiceUnavailable}, refusals)...)
			nodes := startNodesWith(t, 3, func(node *stage) harness.Config {
				return harness.Config{Private: node.parks("name orders\ndeliver {\nallow " + g.URL + "\nretry 1s\n}")}
			})
			want, got := make(map[string]int), make(map[string]int)
			for i := range orders {
				x := nodes[0].order(t, g.URL)
				p := nodes[0].wantParked(t, x.Answer(t))
				// The same call comes to more than one node.
				for _, node := range []*stage{nodes[i%3], nodes[(i+1)%3]} {
					x.at(node).resolve(t, "the result")
				}
				want[p.ID] = 1
			}
			for range orders {
				got[g.delivered(t).Header.Get("Webhook-Id")]++
			}
			if !maps.Equal(got, want) {
				t.Errorf("delivered are %v, want %v", got, want)
			}
			for range refusals {
				got[g.delivered(t).Header.Get("Webhook-Id")]--
			}
			for id, n := range got {
				if refusals > 0 && n != 0 {
					t.Errorf("%s is delivered %d times too few at the second attempt", id, n)
				}
				harness.Eventually(t, "it is delivered", func() bool {
					return strings.Contains(string(nodes[1].admin(t, http.MethodGet, "/"+id, "").Body), `"state":"delivered"`)
				})
			}
			harness.Until(time.Now().Add(noMore))
			if n := len(g.got); n != 0 {
				t.Errorf("%d more are delivered", n)
			}
		})
	}
}

func TestDueJobsAreDoneByOneNodeEach(t *testing.T) {
	t.Parallel()
	const jobs = 5
	nodes := startNodesWith(t, 3, func(node *stage) harness.Config { return harness.Config{Private: node.deferred("orders", "")} })
	a := nodes[0]
	var mu sync.Mutex
	attempts := make(map[string]int)
	a.partner.HandleEvery(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		attempts[r.URL.Path]++
		n := attempts[r.URL.Path]
		mu.Unlock()
		if n <= 2 {
			// All nodes look for what is due by then.
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	var all []parked
	for range jobs {
		all = append(all, a.wantParked(t, a.fetch(t, harness.HTTP1.URL(a.path()))))
	}
	for i, p := range all {
		if st := nodes[i%3].ends(t, p.StatusURL); st.Phase != "resolved" {
			t.Errorf("the job's status is %+v", st)
		}
	}
	harness.Until(time.Now().Add(noMore))
	mu.Lock()
	defer mu.Unlock()
	if len(attempts) != jobs {
		t.Errorf("attempts are %v", attempts)
	}
	for path, n := range attempts {
		if n != 3 {
			t.Errorf("%s is attempted %d times, want 3", path, n)
		}
	}
}

// The configuration is changed at one node after the other. What only one knows is done there,
// wherever it comes from.
func TestWorkIsDoneWhereTheConfigurationKnowsIt(t *testing.T) {
	t.Parallel()
	targets := map[string]*target{"signed": newTarget(t), "unsigned": newTarget(t)}
	knows := func(node *stage) harness.Config {
		node.Setenv("DELIVERY_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLwSwMfKQ9r8GKYo=")
		to := node.toPartner()
		delivers := func(kind, sign string) string {
			return "callback /" + kind + "* park {\nname " + kind + "\ndeliver {\nallow " + targets[kind].URL + "\n" + sign + "\n}\n}\n"
		}
		return harness.Config{Private: "callback /defer* defer {\nname deferred\nthen {\n" + to + "}\n}\n" +
			"callback /step* park {\nname step\ncall {\n" + node.side("/side") + "}\nthen {\n" + to + "}\n}\n" +
			delivers("signed", "sign {env.DELIVERY_SECRET}") + delivers("unsigned", "") + to}
	}
	first := true
	nodes := startNodesWith(t, 3, func(node *stage) harness.Config {
		defer func() { first = false }()
		if first {
			return knows(node)
		}
		return harness.Config{}
	})
	a, b, c := nodes[0], nodes[1], nodes[2]
	t.Run("job", func(t *testing.T) {
		t.Parallel()
		path, works := "/defer"+a.path(), new(atomic.Bool)
		a.partner.Handle(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "1")
			failing(http.StatusServiceUnavailable, works, "done")(w, r)
		})
		p := a.wantParked(t, a.fetch(t, harness.HTTP1.URL(path)))
		for range 2 {
			a.partner.Received(t, path)
		}
		works.Store(true)
		if st := b.ends(t, p.StatusURL); st.Phase != "resolved" {
			t.Errorf("the status is %+v", st)
		}
		wantAnswer(t, c.fetch(t, p.ResultURL), http.StatusOK, "done")
	})
	t.Run("step whose call comes to another node", func(t *testing.T) {
		t.Parallel()
		j := a.travel(t, "park", "/step"+a.path())
		j.arrives(t, "/side")
		begun := time.Now()
		j.at(b).resolve(t, "checked")
		if got := a.partner.Received(t, j.path); string(got.Body) != "checked" {
			t.Errorf("the app got %s", got.Body)
		}
		if st := c.ends(t, j.parked.StatusURL); st.Phase != "resolved" {
			t.Errorf("the status is %+v", st)
		}
		if took := time.Since(begun); took > 3*tellsWithin {
			t.Errorf("it took %v", took)
		}
		a.wantArrivals(t, j.path, 0)
	})
	for _, kind := range []string{"signed", "unsigned"} {
		t.Run(kind+" deliveries whose calls come to another node", func(t *testing.T) {
			t.Parallel()
			ids, begun := make(map[string]bool), time.Now()
			for range 5 {
				path := "/" + kind + a.path()
				req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), jsonType, fmt.Sprintf(`{"callbackUrl":%q}`, targets[kind].URL))
				x := a.forward(t, harness.HTTP1, req)
				ids[a.wantParked(t, x.Answer(t)).ID] = true
				x.at(b).resolve(t, "the result")
			}
			for range 5 {
				d := targets[kind].delivered(t)
				if id := d.Header.Get("Webhook-Id"); !ids[id] || (d.Header.Get("Webhook-Signature") != "") != (kind == "signed") {
					t.Errorf("delivered with %v", d.Header)
				}
				delete(ids, d.Header.Get("Webhook-Id"))
			}
			if took := time.Since(begun); took > 3*tellsWithin {
				t.Errorf("it took %v", took)
			}
		})
	}
}
