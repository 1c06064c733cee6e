package postgres

import (
	"errors"
	"flag"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// breaker is in front of a server, and breaks connections in the middle of what is said.
type breaker struct {
	listener net.Listener
	server   string
	// oneIn says that one in so many pieces breaks its connection; 0 for none.
	oneIn  atomic.Int64
	breaks atomic.Int64
	done   sync.WaitGroup
}

const socketName = ".s.PGSQL.5432"

// newBreaker returns a breaker, and the URL by which it is reached.
func newBreaker(t *testing.T, url string) (b *breaker, through string) {
	t.Helper()
	before, dir, _ := strings.Cut(url, "host=")
	front := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(front, socketName))
	if err != nil {
		t.Skip(err)
	}
	b = &breaker{listener: l, server: filepath.Join(dir, socketName)}
	t.Cleanup(func() {
		_ = l.Close()
		b.done.Wait()
	})
	b.done.Go(b.serve)
	return b, before + "host=" + front
}

func (b *breaker) serve() {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", b.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		b.done.Go(func() { b.pass(client, server) })
		b.done.Go(func() { b.pass(server, client) })
	}
}

// pass passes on what comes, up to the piece that breaks the connection: that one is lost, or a
// part of it arrives.
func (b *breaker) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if err != nil {
			return
		}
		if oneIn := b.oneIn.Load(); oneIn > 0 && rand.Int64N(oneIn) == 0 {
			b.breaks.Add(1)
			if rand.IntN(2) == 0 {
				_, _ = to.Write(piece[:rand.IntN(n+1)])
			}
			return
		}
		if _, err := to.Write(piece[:n]); err != nil {
			return
		}
	}
}

var breaks = flag.Int64("breaks", 150, "connections that TestBrokenConnectionsLeaveNothingUncertain breaks")

// countWhileBreaking lets many count in a few places, over connections that break, until enough
// of them have. It returns how often they were told that it was counted, and that this is
// unknown.
func (b *breaker) countWhileBreaking(t *testing.T, places int, count func(worker, place int) error) (acknowledged, unknown int64) {
	t.Helper()
	var known, open atomic.Int64
	var done sync.WaitGroup
	before := b.breaks.Load()
	b.oneIn.Store(60)
	for worker := range 16 {
		done.Go(func() {
			for b.breaks.Load()-before < *breaks && !t.Failed() {
				switch err := count(worker, rand.IntN(places)); {
				case err == nil:
					known.Add(1)
				case strings.Contains(err.Error(), "unknown"):
					open.Add(1)
				case !errors.Is(err, store.ErrFailed):
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	b.oneIn.Store(0)
	return known.Load(), open.Load()
}

// countOne is the decision to count one more in the reason.
func countOne(r *callback.Record) (store.Change, error) {
	next := *r
	n, _ := strconv.Atoi(r.Reason)
	next.Reason = strconv.Itoa(n + 1)
	return store.Change{Next: &next}, nil
}

// Two nodes count in a few callbacks over connections that break. What was acknowledged counts
// exactly once, and what was not does not count.
func TestBrokenConnectionsLeaveNothingUncertain(t *testing.T) {
	t.Parallel()
	n := newPatientNodes(t, time.Minute)
	b, url := newBreaker(t, n.options.URL)
	n.options.URL, n.options.Log = url, zap.NewNop()
	stores := []*Store{n.open(), n.open()}
	counters := make([]store.Key, 5)
	for i := range counters {
		counters[i] = store.ByID(n.create(n.one, nil).ID)
	}
	acknowledged, unknown := b.countWhileBreaking(t, len(counters), func(worker, place int) error {
		_, _, err := stores[worker%2].Update(t.Context(), counters[place], countOne)
		return err
	})
	counted := int64(0)
	for _, key := range counters {
		r, _, err := n.one.Find(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		k, _ := strconv.ParseInt(r.Reason, 10, 64)
		counted += k
	}
	t.Logf("figures: %d connections broke; %d decisions are counted, %d were acknowledged, of %d it is unknown", b.breaks.Load(), counted, acknowledged, unknown)
	if counted != acknowledged || unknown != 0 {
		t.Errorf("%d are counted, %d were acknowledged, and of %d it is unknown", counted, acknowledged, unknown)
	}
}

// What is sent again because a connection broke counts twice now and then: so the connections
// do break where it is uncertain.
func TestBrokenConnectionsWithoutALedgerCountTwice(t *testing.T) {
	t.Parallel()
	n := newPatientNodes(t, time.Minute)
	b, url := newBreaker(t, n.options.URL)
	if _, err := n.one.pool.Exec(t.Context(), n.one.sql(`CREATE TABLE @counters AS SELECT generate_series(0, 4) place, 0 n`)); err != nil {
		t.Fatal(err)
	}
	var connections [16]*pgx.Conn
	acknowledged, _ := b.countWhileBreaking(t, 5, func(worker, place int) (err error) {
		for {
			if c := connections[worker]; c != nil {
				if _, err := c.Exec(t.Context(), n.one.sql(`UPDATE @counters SET n = n + 1 WHERE place = $1`), place); err == nil {
					return nil
				}
				_ = c.Close(t.Context())
			}
			connections[worker], err = pgx.Connect(t.Context(), url)
			if t.Context().Err() != nil {
				return err
			}
		}
	})
	for _, c := range connections {
		if c != nil {
			_ = c.Close(t.Context())
		}
	}
	var counted int64
	if err := n.one.pool.QueryRow(t.Context(), n.one.sql(`SELECT sum(n) FROM @counters`)).Scan(&counted); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d connections broke; %d are counted, %d acknowledged", b.breaks.Load(), counted, acknowledged)
	if counted <= acknowledged {
		t.Errorf("%d are counted, and %d were acknowledged", counted, acknowledged)
	}
}

func TestStoreComesBackAfterAnOutage(t *testing.T) {
	t.Parallel()
	n := newPatientNodes(t, time.Minute)
	b, url := newBreaker(t, n.options.URL)
	n.options.URL, n.options.Log = url, zap.NewNop()
	s := n.open()
	r := n.create(s, nil)
	<-s.Changes()
	b.oneIn.Store(1)
	n.eventually("noticing the outage", func() bool { return errors.Is(s.Ready(), store.ErrFailed) })
	n.eventually("breaking the connection for hints", func() bool {
		listening := 0
		if err := n.one.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' || $1 || '%'`, s.channel()).Scan(&listening); err != nil {
			t.Error(err)
		}
		return listening == 2
	})
	if _, err := s.Create(t.Context(), r); !errors.Is(err, store.ErrFailed) {
		t.Errorf("creating while the database is away: %v", err)
	}
	decided := make(chan error)
	go func() {
		_, _, err := s.Update(t.Context(), store.ByID(r.ID), add("a"))
		decided <- err
	}()
	if err := <-decided; !errors.Is(err, store.ErrFailed) {
		t.Errorf("deciding while the database is away: %v", err)
	}
	b.oneIn.Store(0)
	n.eventually("noticing its end", func() bool { return s.Ready() == nil })
	n.create(s, nil)
	if _, _, err := s.Update(t.Context(), store.ByID(r.ID), add("a")); err != nil {
		t.Error(err)
	}
	if h := <-s.Changes(); !h.IsZero() {
		t.Errorf("after the outage comes %+v", h)
	}
}

// A pooler lets LISTEN succeed, and then no notice comes.
func TestDeafNodeLooksAtEverything(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	o.heartbeat = time.Minute
	s := mustOpen(t, o)
	defer s.Close()
	<-s.Changes()
	s.heardAt.Store(0)
	for range 2 {
		if h := <-s.Changes(); !h.IsZero() {
			t.Errorf("a deaf node is told %+v", h)
		}
	}
	if err := s.heartbeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); time.Since(time.Unix(0, s.heardAt.Load())) > deafAfter; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the node does not hear its heartbeat")
		}
	}
}

// A batch that hangs may still be committed when its writers were told that it is not known. What
// its records refer to must be there then.
func TestBodyOfAnUncertainDecisionStays(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, testOptions(t))
	defer s.Close()
	r := callback.New(s.Secret(), &callback.Policy{}, callback.Spec{ExpiresIn: time.Minute}, 1)
	if _, err := s.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	body, err := s.PutBody(t.Context(), make([]byte, 100_000))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := s.pool.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), s.sql(`SELECT 1 FROM @callbacks FOR UPDATE`))
	}
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Update(t.Context(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Call = &callback.Call{Body: body}
		return store.Change{Next: &next}, nil
	})
	if !errors.Is(err, store.ErrFailed) {
		t.Fatalf("a decision about a callback that is locked: %v", err)
	}
	s.DropBody(t.Context(), body)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left int
	file, _ := callback.ParseUUID(body.File)
	if err := s.pool.QueryRow(t.Context(), s.sql(`SELECT count(*) FROM @bodies`)).Scan(&left); err != nil || left != 1 && s.lane.doubts(file) {
		t.Errorf("%d bodies are left, %v", left, err)
	}
	for deadline := time.Now().Add(10 * time.Second); s.lane.doubts(file); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is not found out what became of the decision")
		}
	}
	if _, _, err := s.Update(t.Context(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Name = "touched"
		return store.Change{Next: &next}, nil
	}); err != nil {
		t.Fatal(err)
	}
	got, _, err := s.Find(t.Context(), store.ByID(r.ID))
	if err != nil {
		t.Fatal(err)
	}
	s.DropBody(t.Context(), body)
	err = s.pool.QueryRow(t.Context(), s.sql(`SELECT count(*) FROM @bodies`)).Scan(&left)
	if want := map[bool]int{true: 1}[got.Call != nil]; err != nil || left != want {
		t.Errorf("the record refers to the body: %t, and %d bodies are left, %v", got.Call != nil, left, err)
	}
}
