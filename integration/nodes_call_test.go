package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestCallOfAnySizeAnswersTheClientAtAnotherNode(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2, harness.Config{})
	a, b := nodes[0], nodes[1]
	for name, size := range map[string]int{"empty": 0, "small": 1 << 10, "in the record": 64 << 10, "in a file": 64<<10 + 1, "as large as may be": 10 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, body := a.post(t, "text/plain", "an order"), noise(size)
			req := harness.NewRequest(t, http.MethodPost, x.url, "image/png", body)
			req.Header.Set("Content-Language", "nl")
			wantAnswer(t, x.at(b).stage.public(t, req), http.StatusOK, "")
			answer := x.Answer(t)
			wantAnswer(t, answer, http.StatusOK, body)
			wantHeader(t, answer.Header, "Content-Type", "image/png")
			wantHeader(t, answer.Header, "Content-Language", "nl")
			wantHeader(t, answer.Header, statusHeader, "Ok")
			wantHeader(t, answer.Header, correlationHeader, x.received.Header.Get(correlationHeader))
		})
	}
}

func TestCallIsJudgedAtAnotherNodeAsAtItsOwn(t *testing.T) {
	t.Parallel()
	const replies = "respond \"noted\" 202\nheader X-Reply here\nmethods POST PUT\nprogress header X-Step working\n" + showStatus
	nodes := startNodesWith(t, 3, func(node *stage) harness.Config {
		node.Setenv("CB_KEY", envKey)
		return harness.Config{
			Callback: "key env {env.CB_KEY} send",
			Private: harness.Hold("/replies*", "", replies+"inject header X-Failed {http.callback.failed_url}") +
				harness.Hold("/redirects*", "", "redir https://shop.example/thanks\nredir_failed https://shop.example/sorry") +
				harness.Hold("/keyed*", "", "key env") + harness.Hold("/included*", "", "key include") +
				"callback /many* park {\nmultiple on\n}\n" + node.toPartner(),
		}
	})
	for name, test := range map[string]func(t *testing.T, a, b, c *stage, path string){
		"/replies": callsGetTheirReplies, "/replies-failed": callAtTheFailedURL, "/redirects": callsAreRedirected,
		"/keyed": callsShowTheKey, "/included": callsShowTheirOwnKey, "/many": manyCalls, "/replies-race": callsRace,
	} {
		t.Run(strings.Trim(name, "/"), func(t *testing.T) {
			t.Parallel()
			test(t, nodes[0], nodes[1], nodes[2], name)
		})
	}
}

// to sends a request for a path and waits until the partner has it.
func (s *stage) to(t *testing.T, path string) *exchange {
	t.Helper()
	return s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "an order"))
}

// A repetition gets the first reply, another call is refused, and progress is no answer.
func callsGetTheirReplies(t *testing.T, a, b, c *stage, path string) {
	x := a.to(t, path)
	wantProblem(t, b.callURL(t, http.MethodPatch, x.url, "no"), http.StatusMethodNotAllowed, "method-not-allowed")
	wantProblem(t, x.at(b).callWith(t, correlationHeader, "another", ""), http.StatusBadRequest, "correlation-mismatch")
	wantAnswer(t, x.at(c).callWith(t, "X-Step", "working", "half"), http.StatusAccepted, "noted")
	x.at(b).wantPhase(t, "waiting")
	for _, node := range []*stage{b, a, c, b} {
		reply := x.at(node).call(t, "text/plain", "the answer")
		wantAnswer(t, reply, http.StatusAccepted, "noted")
		wantHeader(t, reply.Header, "X-Reply", "here")
		wantProblem(t, x.at(node).call(t, "text/plain", "another"), http.StatusConflict, "already-resolved")
	}
	wantAnswer(t, x.Answer(t), http.StatusOK, "the answer")
	x.at(c).wantPhase(t, "resolved")
	unknown := strings.Replace(x.url, x.state()[:8], "00000000", 1)
	wantProblem(t, b.callURL(t, http.MethodPost, unknown, ""), http.StatusNotFound, "unknown-state")
}

func callAtTheFailedURL(t *testing.T, a, b, c *stage, path string) {
	x := a.to(t, path)
	url := x.received.Header.Get("X-Failed")
	wantAnswer(t, b.callURL(t, http.MethodPost, url, "no stock"), http.StatusAccepted, "noted")
	wantProblem(t, x.Answer(t), http.StatusFailedDependency, "failed")
	x.at(c).wantPhase(t, "failed")
}

func callsAreRedirected(t *testing.T, a, b, c *stage, path string) {
	x := a.to(t, path)
	for _, node := range []*stage{b, c} {
		reply := x.at(node).call(t, "text/plain", "paid")
		wantStatus(t, reply, http.StatusSeeOther)
		wantHeader(t, reply.Header, "Location", "https://shop.example/thanks")
	}
	wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
	failed := a.to(t, path+"/2")
	reply := failed.at(b).callWithAll(t, "", "", statusHeader, "Failed", "Accept", "text/html")
	wantHeader(t, reply.Header, "Location", "https://shop.example/sorry")
	wantProblem(t, failed.Answer(t), http.StatusFailedDependency, "failed")
}

func callsShowTheKey(t *testing.T, a, b, _ *stage, path string) {
	x := a.to(t, path)
	wantUnauthorized(t, b.callURL(t, http.MethodPost, x.url, "no"), "key-required")
	wantUnauthorized(t, b.callURL(t, http.MethodPost, x.url, "no", bearer("wrong")...), "key-unknown")
	wantAnswer(t, b.callURL(t, http.MethodPost, x.url, "yes", bearer(envKey)...), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, "yes")
}

func callsShowTheirOwnKey(t *testing.T, a, b, c *stage, path string) {
	x := a.to(t, path)
	withKey := x.url
	key := x.takeKey(t)
	wantUnauthorized(t, b.callURL(t, http.MethodPost, x.url, "no"), "key-required")
	wantAnswer(t, c.callURL(t, http.MethodPost, x.url, "yes", bearer(key)...), http.StatusOK, "")
	wantAnswer(t, b.callURL(t, http.MethodPost, withKey, "yes"), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, "yes")
}

// Each call counts, wherever it comes, and the latest is the result.
func manyCalls(t *testing.T, a, b, c *stage, path string) {
	x := a.to(t, path)
	p := a.wantParked(t, x.Answer(t))
	for i, node := range []*stage{b, c, a, c, b} {
		body := fmt.Sprint("call ", i)
		x.at(node).resolve(t, body)
		for _, reader := range []*stage{a, b, c} {
			wantAnswer(t, reader.fetch(t, p.ResultURL), http.StatusOK, body)
		}
	}
	if d := decode[document](t, c.admin(t, http.MethodGet, "/"+p.ID, "")); d.Calls != 5 {
		t.Errorf("%d calls are counted", d.Calls)
	}
}

// Of calls that come to all nodes at once one is taken, and it is the client's answer.
func callsRace(t *testing.T, a, b, c *stage, path string) {
	for round := range 10 {
		x := a.to(t, fmt.Sprint(path, "/", round))
		var calls []*harness.Pending
		for i, node := range []*stage{a, b, c} {
			for j := range 2 {
				req := harness.NewRequest(t, http.MethodPost, x.url, "text/plain", fmt.Sprint("call ", i, j))
				calls = append(calls, harness.Send(node.Client(t, harness.HTTP1), req))
			}
		}
		var taken []string
		for i, call := range calls {
			switch got := call.Answer(t); got.Status {
			case http.StatusAccepted:
				taken = append(taken, fmt.Sprint("call ", i/2, i%2))
			case http.StatusConflict:
			default:
				t.Errorf("a call got %d", got.Status)
			}
		}
		if len(taken) != 1 {
			t.Fatalf("taken are %q", taken)
		}
		wantAnswer(t, x.Answer(t), http.StatusOK, taken[0])
	}
}

func TestManyClientsAtOneNodeAreAnsweredByCallsAtAnother(t *testing.T) {
	t.Parallel()
	const clients, rounds = 32, 15 / harness.TimeFactor
	nodes := startNodes(t, 2, harness.Config{})
	a, b := nodes[0], nodes[1]
	var mu sync.Mutex
	called := make(map[string]time.Time)
	a.partner.HandleEvery(func(w http.ResponseWriter, r *http.Request) {
		path, url := r.URL.Path, r.Header.Get(callbackHeader)
		w.WriteHeader(http.StatusAccepted)
		go func() {
			mu.Lock()
			called[path] = time.Now()
			mu.Unlock()
			req := harness.NewRequest(t, http.MethodPost, url, "text/plain", "answer to "+path)
			if reply, err := harness.Send(b.Client(t, harness.HTTP1), req).Outcome(); err != nil || reply.Status != http.StatusOK {
				t.Errorf("the call for %s: %+v, %v", path, reply, err)
			}
		}()
	})
	var took []time.Duration
	concurrently(clients*rounds, clients, func(i int) {
		path := fmt.Sprint("/orders/", i)
		answer, err := harness.Send(a.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path), "", "")).Outcome()
		if err != nil || answer.Status != http.StatusOK || string(answer.Body) != "answer to "+path {
			t.Errorf("%s: %+v, %v", path, answer, err)
		}
		mu.Lock()
		defer mu.Unlock()
		took = append(took, time.Since(called[path]))
	})
	slices.Sort(took)
	t.Logf("figures: %d clients at once, from the call at one node to the answer at the other: p50 %v, p99 %v, longest %v",
		clients, took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}

// Who reads a large result while another call replaces it gets one of the two, as a whole.
func TestLargeResultIsReadAsAWholeWhileCallsReplaceItAtAnyNode(t *testing.T) {
	t.Parallel()
	config := func(node *stage) harness.Config { return harness.Config{Private: node.parks("multiple on")} }
	for name, begin := range map[string]func(t *testing.T) []*stage{
		"PostgreSQL": func(t *testing.T) []*stage { return startNodesWith(t, 3, config) },
		"embedded": func(t *testing.T) []*stage {
			s := startParked(t, "multiple on")
			return []*stage{s, s, s}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readWhileReplaced(t, begin(t))
		})
	}
}

func readWhileReplaced(t *testing.T, nodes []*stage) {
	const calls, words = 15, 64 << 10
	x := nodes[0].post(t, "text/plain", "an order")
	p := nodes[0].wantParked(t, x.Answer(t))
	bodyOf := func(i int) string { return strings.Repeat(fmt.Sprintf("%07d ", i), words) }
	x.at(nodes[1]).resolve(t, bodyOf(0))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	defer readers.Wait()
	defer close(stop)
	for i := range 6 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				read := harness.NewRequest(t, http.MethodGet, p.ResultURL, "", "")
				got, err := harness.Send(nodes[i%3].Client(t, harness.HTTP1), read).Outcome()
				if err != nil || got.Status != http.StatusOK || string(got.Body) != strings.Repeat(string(got.Body[:8]), words) {
					t.Errorf("reading: %+v, %v", got, err)
					return
				}
			}
		})
	}
	for i := range calls {
		x.at(nodes[i%3]).resolve(t, bodyOf(i+1))
	}
	for _, node := range nodes {
		wantAnswer(t, node.fetch(t, p.ResultURL), http.StatusOK, bodyOf(calls))
	}
}
