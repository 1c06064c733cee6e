package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// cluster is nodes that hold requests, with one store.
type cluster struct {
	nodes []*server
	// entries are the ports at which the nodes hold requests, and calls those at which they
	// take calls.
	entries, calls []string
}

// compareNodes lets one node with the embedded store and two nodes on one PostgreSQL take turns
// at the same job: a request is held at one node, and called at the other.
func compareNodes(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("nodes", flag.ContinueOnError)
	clients := flags.String("c", "1,16,128", "numbers of concurrent clients")
	rounds := flags.Int("rounds", 3, "how often they take turns")
	length := flags.Duration("length", 2*time.Second, "how long each runs each time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	counts, err := numbers(*clients)
	if err != nil {
		return err
	}
	dir, binary, err := workshop(productPackage)
	if err != nil {
		return err
	}
	b := &bench{dir: dir, body: make([]byte, 200), client: newClient(), callClient: newClient()}
	defer b.close()
	database, err := postgrestest.Start()
	if err != nil {
		return err
	}
	defer database.Stop()
	t := &timekeeper{bench: b}
	if b.ports.peer, err = t.listen(); err != nil {
		return err
	}
	one, err := b.startCluster(binary, "store badger "+filepath.Join(dir, "store"), 1)
	defer one.stop()
	if err != nil {
		return err
	}
	two, err := b.startCluster(binary, fmt.Sprintf("store postgres %q {\n\t\tsecret %064d\n\t}", database.URL(), 0), 2)
	defer two.stop()
	if err != nil {
		return err
	}
	fmt.Println("| clients | two nodes to one (min..max) | per s | p50 | p99 | call to answer p50 | one node per s | p50 | p99 | call to answer p50 | CPU of nodes, to one |\n|---|---|---|---|---|---|---|---|---|---|---|")
	for _, n := range counts {
		if err := t.compare(ctx, one, two, n, *rounds, *length); err != nil {
			return err
		}
	}
	return nil
}

// startCluster starts nodes with the same store.
func (b *bench) startCluster(binary, store string, n int) (c *cluster, err error) {
	c = &cluster{entries: make([]string, n), calls: make([]string, n)}
	for i := range n {
		if c.entries[i], err = freePort(); err != nil {
			return c, err
		}
		if c.calls[i], err = freePort(); err != nil {
			return c, err
		}
	}
	for i := range n {
		// Calls are made at the next node.
		config := fmt.Sprintf(`{
	admin off
	persist_config off
	callback {
		base_url http://127.0.0.1:%s
		%s
	}
}
http://127.0.0.1:%[1]s {
	callback_server
	respond 404
}
http://127.0.0.1:%[3]s {
	request_header X-Calls-At %[4]s
	callback hold 30s
	%[5]s
}
`, c.calls[i], store, c.entries[i], c.calls[(i+1)%n], fmt.Sprintf(proxy, b.ports.peer))
		s, err := startServer(b.dir, binary, fmt.Sprintf("node-%d-of-%d", i, n), c.calls[i], config)
		if err != nil {
			return c, err
		}
		c.nodes = append(c.nodes, s)
	}
	return c, nil
}

func (c *cluster) stop() {
	for _, n := range c.nodes {
		n.stop()
	}
}

func (c *cluster) cpu() (sum time.Duration) {
	for _, n := range c.nodes {
		sum += n.cpu()
	}
	return sum
}

// timekeeper plays the upstream, and takes the time from a call to the answer of its client.
type timekeeper struct {
	*bench
	// called has the moment at which a numbered request's call began.
	called sync.Map
	mu     sync.Mutex
	times  []time.Duration
}

// listen starts the upstream, and returns its port.
func (t *timekeeper) listen() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	t.peer = &http.Server{Handler: http.HandlerFunc(t.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = t.peer.Serve(l) }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// serve acks, and calls back at the node that the request names.
func (t *timekeeper) serve(w http.ResponseWriter, r *http.Request) {
	number, at := r.Header.Get("X-Number"), r.Header.Get("X-Calls-At")
	_, path, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("X-Link-Callback-Url"), "http://"), "/")
	w.WriteHeader(http.StatusAccepted)
	go func() {
		t.called.Store(number, time.Now())
		t.call("http://127.0.0.1:" + at + "/" + path)
	}()
}

// hold is one held request at the next of the nodes.
func (t *timekeeper) hold(c *cluster) func() error {
	var turn atomic.Int64
	return func() error {
		number := strconv.FormatInt(numbered.Add(1), 10)
		entry := c.entries[int(turn.Add(1))%len(c.entries)]
		err := t.post(t.client, t.ports.url(entry, "/work"), http.StatusOK, http.Header{"X-Number": {number}})
		if began, ok := t.called.LoadAndDelete(number); ok && err == nil {
			t.mu.Lock()
			t.times = append(t.times, time.Since(began.(time.Time)))
			t.mu.Unlock()
		}
		return err
	}
}

// measure is bench.measure for all nodes. It also returns the median from call to answer.
func (t *timekeeper) measure(ctx context.Context, c *cluster, clients int, length time.Duration) (s sample, answered float64, err error) {
	t.times = nil
	cpu := c.cpu()
	s, err = t.bench.measure(ctx, c.nodes[0], clients, length, t.hold(c))
	if err != nil {
		return s, 0, err
	}
	slices.Sort(t.times)
	s.cpu = (c.cpu() - cpu) / time.Duration(len(t.times))
	return s, float64(t.times[len(t.times)/2]) / float64(time.Millisecond), nil
}

// compare prints one row.
func (t *timekeeper) compare(ctx context.Context, one, two *cluster, clients, rounds int, length time.Duration) error {
	var ratios, cpus []float64
	var samples [2][]sample
	var answered [2][]float64
	for round := range rounds + 1 {
		for i, c := range []*cluster{one, two} {
			s, a, err := t.measure(ctx, c, clients, length)
			if err != nil {
				return fmt.Errorf("%d nodes with %d clients: %w", i+1, clients, err)
			}
			if round > 0 { // the first round warms up
				samples[i], answered[i] = append(samples[i], s), append(answered[i], a)
			}
		}
		if round > 0 {
			ours, floor := samples[1][round-1], samples[0][round-1]
			ratios = append(ratios, ours.perSecond/floor.perSecond)
			cpus = append(cpus, float64(ours.cpu)/float64(floor.cpu))
		}
	}
	fmt.Printf("| %d | %.2f (%.2f..%.2f)", clients, median(ratios), slices.Min(ratios), slices.Max(ratios))
	for _, i := range []int{1, 0} {
		fmt.Printf(" | %.0f | %.2f ms | %.2f ms | %.2f ms", of(samples[i], rate), of(samples[i], p50), of(samples[i], p99), median(answered[i]))
	}
	fmt.Printf(" | %.2f |\n", median(cpus))
	return nil
}
