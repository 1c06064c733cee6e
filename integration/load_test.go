package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// kind is a way in which requests are handled.
type kind struct {
	// durable: the callback is committed before the partner gets its URL.
	durable bool
	// answers: the result is the app's answer. delivers: the result is delivered.
	answers, delivers bool
}

// kinds are the kinds of a mixed load, by the first part of their paths.
var kinds = map[string]kind{
	"hold":    {},
	"keyed":   {durable: true},
	"park":    {},
	"asked":   {},
	"large":   {},
	"deliver": {delivers: true},
	"chain":   {durable: true, answers: true, delivers: true},
	"steps":   {durable: true, delivers: true},
	"defer":   {durable: true, answers: true, delivers: true},
	"polled":  {answers: true, delivers: true},
}

// load is a mix of requests, the partner that answers them, and the ledger of both.
type load struct {
	*stage
	*ledger
	t *testing.T
	// nodes are the servers that client and partner turn to at random; none if there is only
	// that of the stage.
	nodes  []*stage
	target *httptest.Server
	// power says whether the server runs; the load waits for it.
	power *power
	// open limits the number of requests under way.
	open chan struct{}
	// pause is how long a request that has ended keeps its place in open.
	pause time.Duration
	// carry carries a request out. By default the server gets it.
	carry func(req *http.Request) (*harness.Response, error)
	// busy counts what client and partner are doing.
	busy atomic.Int64
}

// newLoad returns a load on a server that does not run yet.
func newLoad(t *testing.T) *load {
	t.Helper()
	return newLoadOn(t, newStage(t))
}

// newNodesLoad returns a load on several servers, which do not run yet.
func newNodesLoad(t *testing.T, n int) *load {
	t.Helper()
	nodes := newNodes(t, n)
	l := newLoadOn(t, nodes[0])
	l.nodes, l.durable = nodes, true
	l.carry = func(req *http.Request) (*harness.Response, error) {
		to := nodes[rand.IntN(n)]
		return harness.Send(to.Client(t, harness.HTTP1), req).Outcome()
	}
	return l
}

func newLoadOn(t *testing.T, s *stage) *load {
	t.Helper()
	l := &load{stage: s, ledger: newLedger(), t: t, power: newPower(), open: make(chan struct{}, 24)}
	l.partner.HandleEvery(l.serve)
	l.target = httptest.NewServer(http.HandlerFunc(l.take))
	t.Cleanup(l.target.Close)
	t.Cleanup(l.power.end)
	return l
}

// begin runs something that client or partner does.
func (l *load) begin(do func()) {
	l.busy.Add(1)
	go func() {
		defer l.busy.Add(-1)
		do()
	}()
}

// config returns a configuration with all kinds.
func (l *load) config() harness.Config {
	deliver := fmt.Sprintf("deliver {\n\tto %s/hook\n\tallow %s\n}\n", l.target.URL, l.target.URL)
	to := l.toPartner()
	return harness.Config{Public: askRoute(l.stage), Private: "" +
		"callback /hold/* hold 30s\n" +
		"callback /keyed/* hold 30s\n" +
		"callback /park/* park\n" +
		"callback /asked/* park {\nask /decide\ncorrelation_id request header X-Order\n}\n" +
		"callback /large/* park\n" +
		"callback /deliver/* park {\nname deliver\n" + deliver + "}\n" +
		"callback /chain/* park {\nname chain\n" + deliver + "call {\n" + to + "}\nthen {\n" + to + "}\n}\n" +
		"callback /steps/* park {\nname steps\n" + deliver + "call {\n" + to + "}\n" +
		"then {\nrewrite * /inner{uri}\ncallback park {\nname inner\ncall {\n" + to + "}\n}\n}\n}\n" +
		"callback /polled/* park {\nname polled\n" + deliver + "poll {\nfrom header Location\nafter 1s\nevery 1s\nusing {\n" + to + "}\n}\n}\n" +
		"callback /defer/* defer {\nname defer\n" + deliver + "then {\n" + to + "}\n}\n" + to}
}

// take accepts a delivery.
func (l *load) take(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		l.delivered(r.Header.Get("Webhook-Id"), string(body))
	}
}

// serve is the partner, which calls back if the request has a callback URL, or the
// app, which answers at once.
func (l *load) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if r.URL.Path == "/decide" {
		w.Header().Set("Content-Type", jsonType)
		_, _ = io.WriteString(w, "{}")
		return
	}
	path, polled := strings.CutPrefix(r.URL.Path, "/jobs")
	url := r.Header.Get(callbackHeader)
	switch {
	case url == "":
		_, _ = io.WriteString(w, l.did(path, string(body)))
		return
	case !polled && strings.HasPrefix(path, "/polled/"):
		// Its partner never calls: it wants to be asked.
		w.Header().Set("Location", "/jobs"+path)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if c := l.given(r.URL.Path, url); c != nil {
		l.begin(func() { l.callBack(r.URL.Path, c) })
	}
	w.WriteHeader(http.StatusAccepted)
}

// partnerPause is how long the partner waits before it calls again.
const partnerPause = 10 * time.Millisecond

// callBack calls until it gets a final answer, each time with another body.
func (l *load) callBack(path string, c *calledURL) {
	for l.power.wait() {
		body := l.next(path, c)
		got, err := l.send(http.MethodPost, c.url, paddingOf(path)+body)
		if err == nil && !l.replied(c, body, got.Status) {
			return
		}
		<-time.After(partnerPause)
	}
}

// padding makes a body too large for a record.
var padding = strings.Repeat("x", 65<<10)

// paddingOf returns what precedes the bodies of calls for the path.
func paddingOf(path string) string {
	if strings.HasPrefix(path, "/large/") {
		return padding
	}
	return ""
}

// send sends a request, whose answer may not come.
func (l *load) send(method, url, body string, lines ...string) (*harness.Response, error) {
	req := harness.NewRequest(l.t, method, url, "text/plain", body)
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	if l.carry != nil {
		return l.carry(req)
	}
	return harness.Send(l.Client(l.t, harness.HTTP1), req).Outcome()
}

// run makes requests until stop is closed.
func (l *load) run(random *rand.Rand, number *atomic.Int64, stop <-chan struct{}) {
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range kinds {
			if !yield(name) {
				return
			}
		}
	})
	for l.power.wait() {
		select {
		case <-stop:
			return
		default:
		}
		select {
		case <-stop:
			return
		case l.open <- struct{}{}:
		}
		kind := names[random.IntN(len(names))]
		o := &order{kind: kind, open: true, path: fmt.Sprintf("/%s/%d", kind, number.Add(1))}
		l.placed(o)
		l.begin(func() {
			defer func() { <-l.open }()
			l.place(o)
			l.update(func() { o.open = false })
			<-time.After(l.pause)
		})
	}
}

// place makes one request, and notes what its client is told. A request with an
// Idempotency-Key is repeated until there is an answer.
func (l *load) place(o *order) {
	lines := []string{"X-Order", o.path}
	if o.kind == "keyed" {
		lines = append(lines, idempotencyKey, o.path)
	}
	got, err := l.send(http.MethodPost, harness.HTTP1.URL(o.path), "order "+o.path, lines...)
	for o.kind == "keyed" && (err != nil || got.Status == http.StatusServiceUnavailable || exits(got)) && l.power.wait() {
		got, err = l.send(http.MethodPost, harness.HTTP1.URL(o.path), "order "+o.path, lines...)
	}
	switch {
	case err != nil:
	case got.Status == http.StatusOK:
		l.update(func() { o.answered, o.answer = true, string(got.Body) })
	case got.Status == http.StatusAccepted:
		var p parked
		if err := json.Unmarshal(got.Body, &p); err != nil {
			l.fault("%s: %v in %s", o.path, err, short(got.Body))
			return
		}
		l.update(func() { o.parked, o.at = &p, time.Now() })
		l.follow(o, p)
	case got.Status != http.StatusServiceUnavailable && !exits(got):
		l.fault("%s got %d %s", o.path, got.Status, short(got.Body))
	}
}

// exits reports whether the answer says that the server exits.
func exits(got *harness.Response) bool {
	return got.Status == http.StatusGatewayTimeout && strings.Contains(string(got.Body), "#shutting-down")
}

// follow asks for the result until it is there.
func (l *load) follow(o *order, p parked) {
	for l.power.wait() {
		got, err := l.send(http.MethodGet, p.ResultURL, "", "Prefer", "wait=2")
		switch {
		case err != nil, got.Status == http.StatusAccepted, got.Status == http.StatusServiceUnavailable:
		case got.Status == http.StatusOK:
			l.read(o, string(got.Body))
			return
		default:
			l.fault("the result of %s is %d %s", o.path, got.Status, short(got.Body))
			return
		}
	}
}

// waiting returns the callbacks that still wait although they must end: their client
// was promised something, or their work is done in the background.
func (l *load) waiting(t *testing.T) (stuck []string) {
	t.Helper()
	var page struct {
		Callbacks []struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"callbacks"`
	}
	got := l.admin(t, http.MethodGet, "?phase=waiting&limit=1000", "")
	wantStatus(t, got, http.StatusOK)
	if err := json.Unmarshal(got.Body, &page); err != nil {
		t.Fatal(err)
	}
	for _, cb := range page.Callbacks {
		if kinds[cb.Name].durable || cb.Name == "inner" {
			stuck = append(stuck, cb.Name+" "+cb.ID)
		}
	}
	return stuck
}

// power says whether the server runs.
type power struct {
	mu      sync.Mutex
	changed *sync.Cond
	on      bool
	// over says that nobody must wait any more.
	over bool
}

func newPower() *power {
	p := new(power)
	p.changed = sync.NewCond(&p.mu)
	return p
}

// wait waits until the server runs, and reports whether it does.
func (p *power) wait() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.on && !p.over {
		p.changed.Wait()
	}
	return !p.over
}

// set notes that the server runs, or that it does not.
func (p *power) set(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.on = on
	p.changed.Broadcast()
}

// end ends every wait.
func (p *power) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.changed.Broadcast()
}
