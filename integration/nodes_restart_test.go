package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// balancer gives requests to the nodes in turn, but to none that is about to end.
type balancer struct {
	t     *testing.T
	nodes []*stage

	mu       sync.Mutex
	next     int
	out      *stage
	underway map[*stage]int
	// left are the status URLs of what a node held when it ended, by path, early is how many
	// were told to ask again, and failed is what no client or partner may get.
	left   map[string]string
	early  int
	failed []string
}

// take returns the node for the next request.
func (b *balancer) take() *stage {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		b.next++
		if node := b.nodes[b.next%len(b.nodes)]; node != b.out {
			b.underway[node]++
			return node
		}
	}
}

// carry sends a request to one of the nodes, and notes whether it has failed.
func (b *balancer) carry(req *http.Request) (*harness.Response, error) {
	node := b.take()
	got, err := harness.Send(node.Client(b.t, harness.HTTP1), req).Outcome()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.underway[node]--
	switch {
	case err != nil:
		b.failed = append(b.failed, fmt.Sprint(req.URL.Path, ": ", err))
	case exits(got):
		var p problem
		if err := json.Unmarshal(got.Body, &p); err != nil || node != b.out {
			b.failed = append(b.failed, fmt.Sprint(req.URL.Path, ": ", short(got.Body)))
		}
		b.left[req.URL.Path] = p.StatusURL
	case got.Status == http.StatusServiceUnavailable && node == b.out && strings.Contains(string(got.Body), "#shutting-down"):
		b.early++
	case got.Status >= 400 && got.Status != http.StatusConflict:
		b.failed = append(b.failed, fmt.Sprint(req.URL.Path, ": ", got.Status, short(got.Body)))
	}
	return got, err
}

// drain gives a node no more requests, and returns when those that it has are with its handlers.
func (b *balancer) drain(node *stage) {
	b.mu.Lock()
	b.out = node
	b.mu.Unlock()
	harness.Eventually(b.t, "the node has all of its requests", func() bool {
		b.mu.Lock()
		underway := b.underway[node]
		b.mu.Unlock()
		return node.GoroutinesIn(b.t, "caddyhttp.(*Server).ServeHTTP") == underway
	})
}

func (b *balancer) back() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.out = nil
}

func TestRollingRestartFailsNothingButWhatTheNodeHolds(t *testing.T) {
	t.Parallel()
	l := newLoad(t)
	b := &balancer{t: t, nodes: beside(t, l.stage, 3), underway: make(map[*stage]int), left: make(map[string]string)}
	l.carry = b.carry
	url, schema := postgrestest.New(t)
	cfg := l.config()
	cfg.StoreLine = inPostgres(url, schema)
	for _, node := range b.nodes {
		node.Start(t, cfg)
	}
	stop := make(chan struct{})
	l.until(stop)
	l.power.set(true)
	for i, node := range b.nodes {
		harness.Eventually(t, "the load is there", func() bool { return l.total().answered > 20*(i+1) })
		b.drain(node)
		node.Terminate(t)
		// A client may have connected and then used another connection. net/http waits 5 s for
		// the first request of a connection.
		if code := node.Exited(t, exitWithin+5*time.Second); code != 0 {
			t.Errorf("exit code is %d", code)
		}
		node.Start(t, cfg)
		b.back()
	}
	close(stop)
	l.finish(t)
	for _, failed := range b.failed {
		t.Error(failed)
	}
	for path, url := range b.left {
		if len(l.urls[path]) == 0 {
			// The node was ended before the partner had read the request.
			l.status(t, url)
		} else if st := l.ends(t, url); st.Phase != "resolved" {
			t.Errorf("what a node held has become %+v", st)
		}
	}
	l.figures("3 restarts, %d clients told where their answer will be, %d told to ask again", len(b.left), b.early)
}

// movesWithin is how soon another node goes on with the work of one that exits.
const movesWithin = harness.TimeFactor * 1500 * time.Millisecond

func TestJobsOfANodeThatExitsMoveAtOnce(t *testing.T) {
	t.Parallel()
	const jobs = 5
	nodes := startNodesWith(t, 3, func(node *stage) harness.Config { return harness.Config{Private: node.deferred("orders", "")} })
	a := nodes[0]
	paths := make(map[string]parked)
	for range jobs {
		path := a.path()
		var attempts atomic.Int64
		a.partner.Handle(path, func(w http.ResponseWriter, r *http.Request) {
			if attempts.Add(1) == 1 {
				<-r.Context().Done()
				return
			}
			harness.Ack(http.StatusOK, nil, "done")(w, r)
		})
		paths[path] = a.wantParked(t, a.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "x")))
		a.partner.Received(t, path)
	}
	begun := time.Now()
	a.Terminate(t)
	for path := range paths {
		a.partner.Received(t, path)
	}
	if took := time.Since(begun); took > movesWithin {
		t.Errorf("the jobs move after %v", took)
	}
	for path, p := range paths {
		nodes[1].ends(t, p.StatusURL)
		wantAnswer(t, nodes[2].fetch(t, p.ResultURL), http.StatusOK, "done")
		a.wantArrivals(t, path, 0)
	}
	a.Exited(t, exitWithin)
}

func TestWhatANodeThatExitsHeldIsPickedUpAtAnother(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2, harness.Config{})
	a, b := nodes[0], nodes[1]
	held := a.holdMany(t, 5, harness.HTTP1, harness.H2C)
	a.Acknowledged(t)
	a.Terminate(t)
	for i, x := range held {
		answer := x.Answer(t)
		p := wantProblem(t, answer, http.StatusGatewayTimeout, "shutting-down")
		wantPickUp(t, p)
		wantHeader(t, answer.Header, "Retry-After")
		wantStatus(t, b.fetch(t, p.ResultURL), http.StatusAccepted)
		waits := b.preferring(t, p.ResultURL)
		x.at(b).resolve(t, fmt.Sprint("answer ", i))
		wantAnswer(t, waits.Answer(t), http.StatusOK, fmt.Sprint("answer ", i))
	}
	if code := a.Exited(t, exitWithin); code != 0 {
		t.Errorf("exit code is %d", code)
	}
}

func TestReloadAtOneNodeLosesNothing(t *testing.T) {
	t.Parallel()
	url, schema := postgrestest.New(t)
	nodes := newNodes(t, 2)
	a, b := nodes[0], nodes[1]
	config := func(generation int) harness.Config {
		return harness.Config{
			StoreLine: inPostgres(url, schema), Public: fmt.Sprintf("header X-Generation %d\ncallback_server", generation),
			Private: harness.Hold("/hold*", "", "") + "callback /park* park {\nname step\ncall {\n" + a.toPartner() + "}\nthen {\n" + a.side("/then") + "}\n}\n" + a.toPartner(),
		}
	}
	for _, node := range nodes {
		node.Start(t, config(0))
	}
	var held []*exchange
	for range 5 {
		held = append(held, a.to(t, "/hold"+a.path()))
	}
	path := "/park" + a.path()
	release := a.hang(path, harness.Ack(http.StatusAccepted, nil, ""))
	defer release()
	job := a.to(t, path)
	p := a.wantParked(t, job.Answer(t))
	waits := a.preferring(t, p.ResultURL)
	a.changing(t, 1)
	for generation := range 3 {
		a.MustReload(t, config(generation+1))
	}
	release()
	for i, x := range held {
		x.at(b).resolve(t, fmt.Sprint("answer ", i))
		wantAnswer(t, x.Answer(t), http.StatusOK, fmt.Sprint("answer ", i))
	}
	a.partner.Handle("/then"+path, harness.Ack(http.StatusOK, nil, appsAnswer))
	job.at(b).resolve(t, "checked")
	a.partner.Received(t, "/then"+path)
	wantAnswer(t, waits.Answer(t), http.StatusOK, appsAnswer)
	a.wantArrivals(t, path, 0)
	a.wantArrivals(t, "/then"+path, 0)
}
