package integration

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

var failovers = flag.Int("failovers", 0, "how often TestFailoverLosesNothing kills a primary and promotes its synchronous standby; 0 leaves out all tests of failovers")

// follows is an error on a server as long as it follows another one.
const follows = `DO $$ BEGIN IF EXISTS (SELECT 1 FROM pg_stat_wal_receiver) THEN RAISE 'it follows'; END IF; END $$`

// pair returns a primary, its standby, and the URL by which whichever takes writes is found.
func pair(t *testing.T) (primary, standby *postgrestest.Cluster, url string) {
	t.Helper()
	if *failovers == 0 {
		t.Skip("failovers are tested with -failovers")
	}
	primary = postgrestest.NewCluster(t)
	standby = primary.NewStandby(t)
	return primary, standby, primary.URL() + "," + standby.Dir() + "&target_session_attrs=read-write"
}

// failOver kills the primary, and promotes the standby.
func failOver(t *testing.T, primary, standby *postgrestest.Cluster) {
	t.Helper()
	primary.Crash()
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
}

// What is committed is at the synchronous standby, too.
func TestFailoverLosesNothing(t *testing.T) {
	t.Parallel()
	random, from := chance(t)
	var mu sync.Mutex
	var total totals
	var longest time.Duration
	for n := range *failovers {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			primary, standby, url := pair(t)
			if err := primary.Exec("ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()"); err != nil {
				t.Fatal(err)
			}
			l := newNodesLoad(t, 2)
			cfg := l.config()
			cfg.StoreLine = inPostgres(url, "callback")
			stop := l.startAll(t, cfg, rand.New(rand.NewPCG(from, uint64(n))))
			<-time.After(2*time.Second + time.Duration(random.IntN(int(time.Second))))
			killed := time.Now()
			failOver(t, primary, standby)
			harness.Eventually(t, "callbacks are taken", func() bool {
				return len(l.acknowledgedSince(killed)) > 0
			})
			back := time.Since(killed)
			<-time.After(2 * time.Second)
			close(stop)
			l.finish(t)
			mu.Lock()
			defer mu.Unlock()
			total, longest = total.plus(l.total()), max(longest, back)
		})
	}
	if *failovers == 0 {
		t.Skip("failovers are tested with -failovers")
	}
	logFigures(t, total, "%d failovers to a synchronous standby, new work was taken %.1f s after the primary was killed at the latest", *failovers, longest.Seconds())
}

// A standby that is behind lacks what was committed. Nodes cannot mend that, and say so.
func TestFailoverThatLosesCommitsIsNoticed(t *testing.T) {
	t.Parallel()
	primary, standby, url := pair(t)
	nodes := newNodes(t, 2)
	for _, node := range nodes {
		node.Start(t, harness.Config{StoreLine: inPostgres(url, "callback"), Timeout: "2s"})
		node.get(t).stillWaits(t)
	}
	if err := standby.Exec("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the standby falls behind", func() bool { return standby.Exec(follows) == nil })
	for range 10 {
		for _, node := range nodes {
			node.get(t).stillWaits(t)
		}
	}
	failOver(t, primary, standby)
	for _, node := range nodes {
		harness.Eventually(t, "new work is taken", func() bool {
			return node.public(t, harness.NewRequest(t, "GET", harness.HTTP1.URL("/any"), "", "")).Status != 503
		})
		node.logged(t, "the database has lost what it had committed")
	}
	t.Log("figures: a failover to a standby that was behind was told of by each node")
}
