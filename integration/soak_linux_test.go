package integration

import (
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// Long runs last for 30 minutes.
var (
	soak      = flag.Duration("soak", time.Minute/harness.TimeFactor, "how long TestSoakStaysFlat lasts")
	soakNodes = flag.Duration("soak-nodes", 20*time.Second/harness.TimeFactor, "how long TestSoakOfNodesStaysFlat lasts")
)

// vitals are what must not grow while a server runs.
type vitals struct{ memory, disk, files, goroutines int64 }

// vitals measures the server, and the directory of its store. It ignores files that are deleted
// while it walks the directory.
func (s *stage) vitals(t *testing.T, store string) (v vitals) {
	t.Helper()
	_ = filepath.WalkDir(store, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			info, err := d.Info()
			if err != nil {
				return nil
			}
			// Badger's logs are sparse.
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				v.disk += stat.Blocks * 512
			}
		}
		return nil
	})
	v.memory, v.files = s.Memory(t), int64(s.OpenFiles(t))
	got := s.Admin(t, harness.NewRequest(t, http.MethodGet, "http://127.0.0.1/debug/pprof/goroutine?debug=1", "", ""))
	wantStatus(t, got, http.StatusOK)
	if _, err := fmt.Sscanf(string(got.Body), "goroutine profile: total %d", &v.goroutines); err != nil {
		t.Fatal(err)
	}
	return v
}

// A server that is used and reloaded all the time takes no more in the last quarter
// than in the second, when caches and tables have reached their size.
func TestSoakStaysFlat(t *testing.T) {
	t.Parallel()
	l := newLoad(t)
	l.soak(t, *soak, l.config(), l.Path("store"), l.stage)
}

// So do nodes, and the database that they share.
func TestSoakOfNodesStaysFlat(t *testing.T) {
	t.Parallel()
	db := postgrestest.NewCluster(t)
	l := newNodesLoad(t, 2)
	cfg := l.config()
	cfg.StoreLine = inPostgres(db.URL(), "callback")
	l.soak(t, *soakNodes, cfg, filepath.Join(db.Dir(), "data", "base"), l.nodes...)
}

// soak has servers bear the load for a time, and be reloaded every now and then. Of all of them
// the sum is what must not grow.
func (l *load) soak(t *testing.T, last time.Duration, cfg harness.Config, store string, servers ...*stage) {
	t.Helper()
	// Other tests need the processors, too.
	l.open, l.pause = make(chan struct{}, 4), 50*time.Millisecond
	// Ended callbacks are deleted while the test runs, and idle connections closed,
	// such as those of the configuration before a reload.
	cfg.Callback = "retain 10s"
	cfg.Private = strings.ReplaceAll(cfg.Private, l.toPartner(), strings.TrimSuffix(l.toPartner(), "\n")+" {\ntransport http {\nkeepalive 5s\n}\n}\n")
	for _, s := range servers {
		s.Start(t, cfg)
	}
	stop := make(chan struct{})
	l.until(stop)
	l.power.set(true)
	var all []vitals
	every := time.NewTicker(last / 60)
	defer every.Stop()
	for i := range 60 {
		<-every.C
		v := vitals{}
		for _, s := range servers {
			one := s.vitals(t, store)
			v = vitals{v.memory + one.memory, one.disk, v.files + one.files, v.goroutines + one.goroutines}
		}
		all = append(all, v)
		if i%5 == 0 {
			servers[i/5%len(servers)].MustReload(t, cfg)
		}
	}
	close(stop)
	harness.Eventually(t, "client and partner have what they want", func() bool { return l.busy.Load() == 0 })
	harness.Eventually(t, "nothing is left to be done", func() bool { return len(l.waiting(t)) == 0 })
	l.audit(t)

	for _, c := range []struct {
		name string
		of   func(vitals) int64
		// slack allows for what comes and goes: memory until it is collected, tables
		// until they are merged, connections.
		slack int64
	}{
		{"memory", func(v vitals) int64 { return v.memory }, 48 << 20 * harness.MemoryFactor},
		{"disk", func(v vitals) int64 { return v.disk }, 64 << 20},
		{"descriptors", func(v vitals) int64 { return v.files }, 60},
		{"goroutines", func(v vitals) int64 { return v.goroutines }, 120},
	} {
		c.slack *= int64(len(servers))
		early, late := medianOf(all[15:30], c.of), medianOf(all[45:], c.of)
		t.Logf("%s: %d in the second quarter, %d in the last", c.name, early, late)
		if late > early+early/10+c.slack {
			t.Errorf("%s grows: %d in the second quarter, %d in the last", c.name, early, late)
		}
	}
	l.figures("%v of load, a reload every %v", last, last/12)
}

// medianOf returns the median of one of the vitals.
func medianOf(all []vitals, of func(vitals) int64) int64 {
	var values []int64
	for _, v := range all {
		values = append(values, of(v))
	}
	return median(values)
}
