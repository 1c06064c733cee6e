package app

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-callback/caddy-callback/module/store"
)

// gauges collect the current numbers of all stores that are open.
type gauges struct {
	mu sync.Mutex
	// names are those that anything was counted under. They stay, at zero, so that nothing
	// vanishes from a graph.
	names map[string]bool
}

// newGauges knows of callbacks without a name, so that a sum over the names is never empty.
func newGauges() *gauges { return &gauges{names: map[string]bool{"": true}} }

var (
	descWaiting    = describe("waiting", "Callbacks that wait in the store, whichever node has made them.", "name")
	descOldest     = describe("oldest_waiting_seconds", "Age of the oldest callback that waits in the store, 0 if none does.", "name")
	descDead       = describe("deliveries_dead", "Callbacks in the store whose delivery was given up.", "name")
	descHeld       = describe("held", "Clients of this process that wait for a callback: held requests, and reads that wait for a change.")
	descCommits    = describe("store_commits_total", "Commits of the store.")
	descRecords    = describe("store_committed_records_total", "Records in the commits of the store.")
	descCommitTime = describe("store_commit_seconds_total", "Total time that the commits of the store have taken.")
	descNodes      = describe("nodes", "Nodes that use the store, this one among them.")
	descLostHints  = describe("hints_lost_total", "How often hints at what other nodes have changed were lost, or may have been.")
	descReady      = describe("store_ready", "Whether every store takes new callbacks (1) or not (0).")
	descFree       = describe("store_free_bytes", "Free bytes on the disk of the store; of several the one that has least to spare.")
	descLeast      = describe("store_min_free_bytes", "Free bytes below which the same store takes no new callbacks.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(metricsPrefix+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (*gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descWaiting, descOldest, descDead, descHeld, descNodes, descLostHints, descCommits, descRecords, descCommitTime, descReady, descFree, descLeast} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(to chan<- prometheus.Metric) {
	var held, nodes, ready = 0, 0, 1.0
	var commits, records, lost uint64
	var took time.Duration
	var room room
	named := make(map[string]named)
	for _, rt := range runtimes.retainAll() {
		count(named, rt.Engine.Tally(), rt.Engine.Now())
		held += rt.Engine.Held()
		nodes += rt.Engine.Living()
		lost += rt.Engine.LostHints()
		c := rt.Engine.Commits()
		commits, records, took = commits+c.Count, records+c.Records, took+c.Took
		if rt.Engine.Ready() != nil {
			ready = 0
		}
		room.add(rt.Engine.Space())
		rt.Release()
	}
	g.collectNamed(to, named)
	room.collect(to)
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	to <- prometheus.MustNewConstMetric(descHeld, gauge, float64(held))
	to <- prometheus.MustNewConstMetric(descNodes, gauge, float64(nodes))
	to <- prometheus.MustNewConstMetric(descLostHints, counter, float64(lost))
	to <- prometheus.MustNewConstMetric(descReady, gauge, ready)
	to <- prometheus.MustNewConstMetric(descCommits, counter, float64(commits))
	to <- prometheus.MustNewConstMetric(descRecords, counter, float64(records))
	to <- prometheus.MustNewConstMetric(descCommitTime, counter, took.Seconds())
}

// named is what all stores have under one name, and how old the oldest is that waits.
type named struct {
	waiting, dead int
	age           time.Duration
}

// count adds what a store has by its clock.
func count(all map[string]named, tallies []store.Tally, now time.Time) {
	for _, t := range tallies {
		// A label is UTF-8. What was imported may be anything.
		name := strings.ToValidUTF8(t.Name, "\uFFFD")
		n := all[name]
		n.waiting += t.Waiting
		n.dead += t.Dead
		if t.Oldest != 0 {
			n.age = max(n.age, now.Sub(t.Oldest.Time()))
		}
		all[name] = n
	}
}

// collectNamed collects what there is by name. As many names are told apart as in one store.
func (g *gauges) collectNamed(to chan<- prometheus.Metric, all map[string]named) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch {
		case g.names[name] || name == store.OtherNames:
		case len(g.names) < store.MaxTallied:
			g.names[name] = true
		default:
			n, others := all[name], all[store.OtherNames]
			all[store.OtherNames] = named{n.waiting + others.waiting, n.dead + others.dead, max(n.age, others.age)}
			delete(all, name)
		}
	}
	for name := range g.names {
		if _, ok := all[name]; !ok {
			all[name] = named{}
		}
	}
	for name, n := range all {
		to <- prometheus.MustNewConstMetric(descWaiting, prometheus.GaugeValue, float64(n.waiting), name)
		to <- prometheus.MustNewConstMetric(descOldest, prometheus.GaugeValue, n.age.Seconds(), name)
		to <- prometheus.MustNewConstMetric(descDead, prometheus.GaugeValue, float64(n.dead), name)
	}
}

// room is the space of the store that has least to spare, if any knows how much there is.
type room struct {
	free, least uint64
	known       bool
}

func (r *room) add(free, least uint64, known bool) {
	if known && (!r.known || float64(free)-float64(least) < float64(r.free)-float64(r.least)) {
		*r = room{free, least, true}
	}
}

func (r *room) collect(to chan<- prometheus.Metric) {
	if !r.known {
		return
	}
	to <- prometheus.MustNewConstMetric(descFree, prometheus.GaugeValue, float64(r.free))
	to <- prometheus.MustNewConstMetric(descLeast, prometheus.GaugeValue, float64(r.least))
}

// retainAll returns the runtimes that are open. Each must be released.
func (rs *registry) retainAll() []*Runtime {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var all []*Runtime
	for _, rt := range rs.open {
		select {
		case <-rt.opened:
		default:
			continue
		}
		if rt.err == nil && rt.retain() {
			all = append(all, rt)
		}
	}
	return all
}
