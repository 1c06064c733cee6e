package integration

import (
	"flag"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// A long run kills it 20 times.
var databaseKills = flag.Int("database-kills", 5, "how often TestDatabaseThatIsKilledLosesNothing kills the database")

const (
	// worksAgainWithin is how long it takes at most until nodes work after the database does, on
	// a machine that is busy.
	worksAgainWithin = 6 * time.Second * harness.TimeFactor
	// longOutage is longer than a node may be silent.
	longOutage = 12 * time.Second
)

// outages are what was measured in outages of the database.
type outages struct{ refused, called, back time.Duration }

// The database is killed under load, with all its processes or by an immediate stop, and comes
// back after a while. Who is held stays so, and gets the answer.
func TestDatabaseThatIsKilledLosesNothing(t *testing.T) {
	t.Parallel()
	random, from := chance(t)
	db := postgrestest.NewCluster(t)
	l := newNodesLoad(t, 2)
	cfg := l.config()
	cfg.StoreLine = inPostgres(db.URL(), "callback")
	cfg.Private = "callback /held/* hold 2m\n" + cfg.Private
	urls := make(chan string, 64)
	l.partner.HandleEvery(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/held/") {
			l.serve(w, r)
			return
		}
		urls <- r.Header.Get(callbackHeader)
		w.WriteHeader(http.StatusAccepted)
	})
	stop := l.startAll(t, cfg, rand.New(rand.NewPCG(from, 1)))
	var worst outages
	for n := range *databaseKills {
		end, away := db.Crash, time.Duration(random.IntN(int(2*time.Second)))
		if n%2 == 1 {
			end = db.Immediate
		}
		if n == *databaseKills-1 {
			away = longOutage
		}
		l.outage(t, urls, end, func() {
			<-time.After(away)
			if err := db.Again(); err != nil {
				t.Fatal(err)
			}
		}, &worst)
	}
	close(stop)
	l.finish(t)
	for _, node := range l.nodes {
		node.neverLogged(t, "they are given up")
	}
	l.figures("%d times the database was killed: requests were refused after %v at most, calls after %v, nodes worked %v after it did",
		*databaseKills, worst.refused.Round(time.Millisecond), worst.called.Round(time.Millisecond), worst.back.Round(time.Millisecond))
}

// outage has the database end and come back, and checks what clients and partners see of it.
func (l *load) outage(t *testing.T, urls <-chan string, end, again func(), worst *outages) {
	t.Helper()
	hold := func(node *stage) *harness.Pending {
		return harness.Send(node.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/held/x"), "text/plain", "x"))
	}
	a, b := l.nodes[0], l.nodes[1]
	client := hold(a)
	url := harness.Receive(t, "the partner gets the request", urls)
	end()
	for _, node := range l.nodes {
		worst.refused = max(worst.refused, node.refusesSoon(t, refusedWithin, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/held/refused"), "text/plain", "x")))
		worst.called = max(worst.called, node.refusesSoon(t, callsWithin, harness.NewRequest(t, http.MethodPost, url, "text/plain", "too early")))
	}
	again()
	back := time.Now()
	for _, node := range l.nodes {
		harness.Eventually(t, "new work is taken", func() bool {
			probe := hold(node)
			select {
			case url := <-urls:
				wantStatus(t, node.callURL(t, http.MethodPost, url, "probed", "Content-Type", "text/plain"), http.StatusOK)
				wantAnswer(t, probe.Answer(t), http.StatusOK, "probed")
				return true
			case <-probe.Done():
				return false
			}
		})
	}
	if took := time.Since(back); took > worksAgainWithin {
		t.Errorf("the nodes work only %v after the database does", took)
	} else {
		worst.back = max(worst.back, took)
	}
	wantStatus(t, b.callURL(t, http.MethodPost, url, "in the end", "Content-Type", "text/plain"), http.StatusOK)
	wantAnswer(t, client.Answer(t), http.StatusOK, "in the end")
}

// The database cannot be reached, or hardly: whatever is asked of the node ends soon, and nothing
// of it is left over.
func TestNodeThatIsCutOffFromItsDatabaseHangsNowhere(t *testing.T) {
	t.Parallel()
	for name, network := range map[string]struct {
		does func(*postgrestest.Proxy)
		// refuses says that it lets nothing through.
		refuses bool
	}{
		"connections break":        {(*postgrestest.Proxy).Cut, true},
		"what is sent disappears":  {(*postgrestest.Proxy).Swallow, true},
		"500 ms for each question": {func(p *postgrestest.Proxy) { p.Delay(250 * time.Millisecond) }, false},
		"1 KiB a second":           {func(p *postgrestest.Proxy) { p.Throttle(1 << 10) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, schema := postgrestest.New(t)
			p := postgrestest.Shared(t).NewProxy(t)
			s := newStage(t)
			s.Start(t, harness.Config{StoreLine: inPostgres(p.URL(), schema)})
			s.get(t).stillWaits(t)
			x := s.get(t)
			s.Acknowledged(t)
			before := goroutines(t, s)
			network.does(p)
			worst := s.underLoad(t, x.url, network.refuses)
			p.Mend()
			harness.Within(t, harness.Patience, "it works again", func() bool {
				return s.callURL(t, http.MethodPost, x.url, "done", "Content-Type", "text/plain").Status < 500
			})
			wantStatus(t, x.Answer(t), http.StatusOK)
			s.CloseClients()
			harness.Eventually(t, "no goroutine is left over", func() bool { return goroutines(t, s) <= before+5 })
			t.Logf("figures: %s: requests ended after %v at most, calls after %v", name, worst.refused.Round(time.Millisecond), worst.called.Round(time.Millisecond))
		})
	}
}

// underLoad sends requests and calls, some at once, for as long as a node notices what is the
// matter, and returns how long they took.
func (s *stage) underLoad(t *testing.T, url string, refuses bool) (worst outages) {
	t.Helper()
	type ended struct {
		took time.Duration
		got  *harness.Response
		call bool
	}
	all := make(chan ended, 1000)
	send := func(call bool, req *http.Request) {
		client := s.Client(t, harness.HTTP1)
		go func() {
			began := time.Now()
			got, _ := harness.Send(client, req).Outcome()
			all <- ended{time.Since(began), got, call}
		}()
	}
	s.partner.Handle("/no-ack", harness.Ack(http.StatusNotFound, nil, ""))
	sent := 0
	for until := time.Now().Add(6 * time.Second); time.Now().Before(until); sent += 2 {
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/no-ack"), "text/plain", "x")
		send(false, req)
		call := harness.NewRequest(t, http.MethodPost, url, "text/plain", "x")
		call.Header.Set(correlationHeader, "another")
		send(true, call)
		harness.Until(time.Now().Add(500 * time.Millisecond))
	}
	for range sent {
		e := harness.Receive(t, "an answer", all)
		within := callsWithin
		if e.got != nil && e.got.Status < 500 {
			// More than one question was answered, each late.
			within *= 2
		}
		switch {
		case e.got == nil:
			t.Error("a request has no answer")
		case e.got.Status >= 500 && (e.got.Status != http.StatusServiceUnavailable || e.got.Header.Get("Retry-After") == ""):
			t.Errorf("the answer is %d %s", e.got.Status, short(e.got.Body))
		case refuses && e.got.Status != http.StatusServiceUnavailable:
			t.Errorf("without a database the answer is %d %s", e.got.Status, short(e.got.Body))
		case e.took > within:
			t.Errorf("it took %v until the answer %d", e.took, e.got.Status)
		case e.call:
			worst.called = max(worst.called, e.took)
		default:
			worst.refused = max(worst.refused, e.took)
		}
	}
	return worst
}

// neverLogged checks that the server has not written a text.
func (s *stage) neverLogged(t *testing.T, text string) {
	t.Helper()
	logs, _ := filepath.Glob(s.Path("log-*"))
	for _, path := range logs {
		if content, err := os.ReadFile(path); err != nil || strings.Contains(string(content), text) {
			t.Errorf("the log has %q, %v", text, err)
		}
	}
}

// goroutines returns how many goroutines of ours, and of connections to the database, a server
// has. Connections to clients and partners that are kept alive have others.
func goroutines(t *testing.T, s *stage) int {
	t.Helper()
	return s.GoroutinesIn(t, "caddy-callback/module/") + s.GoroutinesIn(t, "jackc/pgx")
}
