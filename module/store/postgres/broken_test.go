package postgres

import (
	"errors"
	"flag"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

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

// A long run breaks 10,000 connections.
var breaks = flag.Int64("breaks", 100, "how many connections TestBrokenConnectionsLeaveNothingUncertain breaks at least")

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
	b.oneIn.Store(60)
	var acknowledged, unknown atomic.Int64
	var done sync.WaitGroup
	for _, s := range stores {
		for range 8 {
			done.Go(func() {
				for n := 0; n < 60 || b.breaks.Load() < *breaks; n++ {
					_, _, err := s.Update(t.Context(), counters[rand.IntN(len(counters))], add("x"))
					switch {
					case err == nil:
						acknowledged.Add(1)
					case strings.Contains(err.Error(), "unknown"):
						unknown.Add(1)
					case !errors.Is(err, store.ErrFailed):
						t.Error(err)
					}
				}
			})
		}
	}
	done.Wait()
	b.oneIn.Store(0)
	counted := int64(0)
	for _, key := range counters {
		r, _, err := n.one.Find(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		counted += int64(len(r.Reason))
	}
	t.Logf("figures: %d connections broke: %d decisions acknowledged and counted, of %d it is unknown", b.breaks.Load(), acknowledged.Load(), unknown.Load())
	if counted < acknowledged.Load() || counted > acknowledged.Load()+unknown.Load() || b.breaks.Load() == 0 {
		t.Errorf("%d are counted, %d were acknowledged, and of %d it is unknown; %d connections broke", counted, acknowledged.Load(), unknown.Load(), b.breaks.Load())
	}
	if unknown.Load() > 0 {
		t.Errorf("of %d it is unknown whether they were stored", unknown.Load())
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
