package integration

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// looksWithin is how soon a node sees without any hint what another one has done: it looks
// every two seconds, give or take a fifth.
const looksWithin = 2400*time.Millisecond + harness.TimeFactor*1500*time.Millisecond

// channelOf returns the name of the channel for the hints in a schema.
func channelOf(schema string) string {
	sum := sha256.Sum256([]byte(schema))
	return "callback_" + hex.EncodeToString(sum[:8])
}

// connect connects to the tests' PostgreSQL, until the test ends.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// startHinted returns two nodes, the URL of their database, and the name of their channel.
func startHinted(t *testing.T, options ...string) (nodes []*stage, url, channel string) {
	t.Helper()
	url, schema := postgrestest.New(t)
	nodes = newNodes(t, 2)
	for _, node := range nodes {
		node.Start(t, harness.Config{StoreLine: inPostgres(url, schema, options...), Private: harness.Hold("/hold*", "", "") + "callback /park* park\n" + node.toPartner()})
	}
	return nodes, url, channelOf(schema)
}

// meanwhile does something in the background until stop is called, or the test ends.
func meanwhile(t *testing.T, do func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		do(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(stop)
	return stop
}

// answeredWithin holds clients at one node, lets others wait for a result there, and checks how
// long after the first of the calls at another node the last of them has its answer.
func answeredWithin(t *testing.T, a, b *stage, within time.Duration) {
	t.Helper()
	var held, waits []*harness.Pending
	var all []*exchange
	for i := range 8 {
		x := a.to(t, fmt.Sprint([]string{"/hold", "/park"}[i%2], a.path()))
		all, held = append(all, x), append(held, x.Pending)
		if i%2 == 1 {
			waits = append(waits, a.preferring(t, a.wantParked(t, x.Answer(t)).ResultURL))
		}
	}
	a.changing(t, len(waits))
	called := time.Now()
	for _, x := range all {
		x.at(b).resolve(t, "the answer")
	}
	for i, p := range held {
		if i%2 == 1 {
			p = waits[i/2]
		}
		wantAnswer(t, p.Answer(t), http.StatusOK, "the answer")
	}
	took := time.Since(called)
	t.Logf("figures: answered within %v", took)
	if took > within {
		t.Errorf("the last of them has its answer after %v, want at most %v", took, within)
	}
}

func TestClientsAreAnsweredWhileTheListenersAreCutOff(t *testing.T) {
	t.Parallel()
	nodes, url, channel := startHinted(t)
	c := connect(t, url)
	cut := 0
	stop := meanwhile(t, func(ctx context.Context) {
		for ctx.Err() == nil {
			var n int
			if c.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query = 'LISTEN "' || $1 || '"'`, channel).Scan(&n) == nil {
				cut += n
			}
			<-time.After(5 * time.Millisecond)
		}
	})
	for range 3 {
		answeredWithin(t, nodes[0], nodes[1], looksWithin)
	}
	stop()
	if cut < 2 {
		t.Errorf("%d listeners were cut off", cut)
	}
	// Once they are back, hints come again.
	harness.Eventually(t, "both listen again", func() bool { return listeners(t, connect(t, url), channel) == 2 })
	answeredWithin(t, nodes[1], nodes[0], tellsWithin)
}

// listeners returns how many connections listen on a channel.
func listeners(t *testing.T, c *pgx.Conn, channel string) (n int) {
	t.Helper()
	if err := c.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN "' || $1 || '"'`, channel).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestClientsAreAnsweredWhereNobodyCanListen(t *testing.T) {
	t.Parallel()
	nodes, _, _ := startHinted(t, `direct "postgres:///postgres?user=callback&host=/nowhere"`)
	begun := time.Now()
	answeredWithin(t, nodes[0], nodes[1], looksWithin)
	// After a while they know that no hint can come, and look more often.
	harness.Until(begun.Add(7 * time.Second))
	answeredWithin(t, nodes[0], nodes[1], harness.TimeFactor*time.Second)
}

// Anybody who can connect to the database can send notices.
func TestNoticesOfStrangersNeitherBreakNorStickAnything(t *testing.T) {
	t.Parallel()
	nodes, url, channel := startHinted(t)
	a, b := nodes[0], nodes[1]
	say := connect(t, url)
	before, said := goroutines(t, a), 0
	stop := meanwhile(t, func(ctx context.Context) {
		random := rand.New(rand.NewPCG(1, 1))
		for ; ctx.Err() == nil; said++ {
			if _, err := say.Exec(context.Background(), `SELECT pg_notify($1, $2)`, channel, strange(random, said)); err != nil {
				t.Error(err)
				return
			}
			<-time.After(time.Millisecond)
		}
	})
	for range 3 {
		answeredWithin(t, a, b, looksWithin)
	}
	stop()
	if said < 20 {
		t.Errorf("%d notices were sent", said)
	}
	answeredWithin(t, b, a, tellsWithin)
	harness.Eventually(t, "no goroutine is left", func() bool { return goroutines(t, a) <= before+10 })
}

// strange returns the payload of a notice that no node sends, or that is about nobody's callback.
func strange(random *rand.Rand, i int) string {
	garbage := make([]byte, random.IntN(1000))
	for i := range garbage {
		garbage[i] = byte(random.Uint32())
	}
	// Ids of nobody, with no aliases.
	ids := make([]byte, 17*random.IntN(300))
	for i := range ids {
		if ids[i] = byte(random.Uint32()); i%17 == 16 {
			ids[i] = 0
		}
	}
	node := fmt.Sprint(random.IntN(5))
	return []string{
		"", " ", "left", node, node + " left", node + " !", "-1 ", "99999999999999999999 AAAA", strings.Repeat("x", 7000),
		node + " " + base64.RawStdEncoding.EncodeToString(garbage), node + " " + base64.RawStdEncoding.EncodeToString(ids),
		node + " " + base64.RawStdEncoding.EncodeToString(make([]byte, 17)),
	}[i%12]
}

// Each notice comes again, at once and later, and in another order.
func TestNoticesThatComeTwiceAndLateChangeNothing(t *testing.T) {
	t.Parallel()
	nodes, url, channel := startHinted(t)
	hear, say := connect(t, url), connect(t, url)
	if _, err := hear.Exec(t.Context(), "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	said := 0
	stop := meanwhile(t, func(ctx context.Context) {
		var all []string
		ours := make(map[string]int)
		for {
			n, err := hear.WaitForNotification(ctx)
			if err != nil {
				return
			}
			if ours[n.Payload] > 0 {
				ours[n.Payload]--
				continue
			}
			all = append(all, n.Payload)
			late := slices.Clone(all[max(0, len(all)-20):])
			slices.Reverse(late)
			for _, payload := range append(late, n.Payload) {
				ours[payload]++
				said++
				_, _ = say.Exec(context.Background(), `SELECT pg_notify($1, $2)`, channel, payload)
			}
		}
	})
	for range 3 {
		answeredWithin(t, nodes[0], nodes[1], looksWithin)
		answeredWithin(t, nodes[1], nodes[0], looksWithin)
	}
	stop()
	if said < 10 {
		t.Errorf("%d notices were repeated", said)
	}
}
