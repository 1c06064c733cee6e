package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// nodes are stores that are open on the same tables.
type nodes struct {
	*testing.T
	options  Options
	one, two *Store
	policy   *callback.Policy
}

func newNodes(t *testing.T) *nodes { return newPatientNodes(t, 500*time.Millisecond) }

// newPatientNodes is newNodes for nodes that give each other up after a time.
func newPatientNodes(t *testing.T, giveUp time.Duration) *nodes {
	o := testOptions(t)
	o.heartbeat, o.giveUp = 100*time.Millisecond, giveUp
	n := &nodes{T: t, options: o, policy: &callback.Policy{BaseURL: "https://app.example.com"}}
	if err := n.policy.Compile(); err != nil {
		t.Fatal(err)
	}
	n.one, n.two = n.open(), n.open()
	return n
}

// open opens a store that is closed when the test ends.
func (n *nodes) open() *Store {
	n.Helper()
	s := mustOpen(n.T, n.options)
	n.Cleanup(func() { _ = s.Close() })
	return s
}

func (n *nodes) create(s *Store, change func(*callback.Record)) *callback.Record {
	n.Helper()
	r := callback.New(s.Secret(), n.policy, callback.Spec{ExpiresIn: time.Minute}, 1000)
	if change != nil {
		change(r)
	}
	if _, err := s.Create(n.Context(), r); err != nil {
		n.Fatal(err)
	}
	return r
}

// add is the decision to add to the reason.
func add(text string) store.Decide {
	return func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Reason += text
		return store.Change{Next: &next}, nil
	}
}

func (n *nodes) eventually(what string, done func() bool) {
	n.Helper()
	n.within(10*time.Second, what, done)
}

// within waits for something that may take so long.
func (n *nodes) within(longest time.Duration, what string, done func() bool) {
	n.Helper()
	for deadline := time.Now().Add(longest); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.Fatalf("%s: not within %v", what, longest)
		}
	}
}

func TestWhatOneNodeWritesTheOtherReads(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	r := n.create(n.one, nil)
	if _, _, err := n.two.Update(t.Context(), store.ByState(n.two.Secret().State(r.ID)), add("a")); err != nil {
		t.Fatal(err)
	}
	if got, _, err := n.one.Find(t.Context(), store.ByID(r.ID)); err != nil || got.Reason != "a" {
		t.Errorf("%+v, %v", got, err)
	}
	n.eventually("counting what the other has created", func() bool { return n.two.Waiting() == 1 && n.one.Waiting() == 1 })
	if n.one.ID() != n.two.ID() || n.one.Node() == n.two.Node() {
		t.Errorf("ids %s and %s, nodes %d and %d", n.one.ID(), n.two.ID(), n.one.Node(), n.two.Node())
	}
	if d := time.Since(n.one.Now()).Abs(); d > time.Second {
		t.Errorf("the clock of this machine and the database's differ by %s", d)
	}
}

func TestNodesOutrunEachOther(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	r := n.create(n.one, nil)
	const each = 50
	var done sync.WaitGroup
	for _, s := range []*Store{n.one, n.two} {
		for range 4 {
			done.Go(func() {
				for range each {
					if _, _, err := s.Update(t.Context(), store.ByID(r.ID), add("x")); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	done.Wait()
	if got, _, err := n.one.Find(t.Context(), store.ByID(r.ID)); err != nil || len(got.Reason) != 8*each {
		t.Errorf("%d of %d updates are left, %v", len(got.Reason), 8*each, err)
	}
}

func TestChangesAreHintedAt(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	if h := <-n.two.Changes(); !h.IsZero() {
		t.Errorf("the first hint is %+v", h)
	}
	alias := callback.Digest{1}
	r := n.create(n.one, func(r *callback.Record) { r.Aliases = []callback.Digest{alias} })
	if h := <-n.two.Changes(); h.ID != r.ID || !slices.Equal(h.Aliases, []callback.Digest{alias}) {
		t.Errorf("hint %+v", h)
	}
	<-n.one.Changes()
	select {
	case h := <-n.one.Changes():
		t.Errorf("a node hears what it has done itself: %+v", h)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestHintsThatAreLostAreToldOf(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	<-n.two.Changes()
	if _, err := n.one.pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' || $1 || '%'`, n.one.channel()); err != nil {
		t.Fatal(err)
	}
	if h := <-n.two.Changes(); !h.IsZero() {
		t.Errorf("after the connection broke: %+v", h)
	}
	n.eventually("counting that", func() bool { return n.one.LostHints() > 0 && n.two.LostHints() > 0 })
}

func TestManyHintsFitIntoNotices(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	<-n.two.Changes()
	var want []callback.UUID
	for range 1000 {
		w := &write{id: callback.NewUUID(), added: make([]callback.Digest, 2)}
		want = append(want, w.id)
		n.one.notifier.add([]*write{w})
	}
	for _, id := range want {
		if h := <-n.two.Changes(); h.ID != id || len(h.Aliases) != 2 {
			t.Fatalf("hint %+v, want %s", h, id)
		}
	}
}

func TestWorkOfANodeThatLivesIsLeftToIt(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	r := n.create(n.one, func(r *callback.Record) { r.Owner = n.one.Node() })
	for s, want := range map[*Store]int{n.one: 1, n.two: 0} {
		if ids, err := s.Due(t.Context(), r.ExpiresAt, 10); err != nil || len(ids) != want {
			t.Errorf("%d are due, want %d: %v", len(ids), want, err)
		}
	}
	if err := n.one.Close(); err != nil {
		t.Fatal(err)
	}
	if ids, err := n.two.Due(t.Context(), r.ExpiresAt, 10); err != nil || len(ids) != 1 {
		t.Errorf("after its node has left %d are due: %v", len(ids), err)
	}
	n.eventually("hearing that it has left", func() bool { return !n.two.Lives(r.Owner) })
	if n.two.Waiting() != 1 || !n.two.Lives(n.two.Node()) {
		t.Errorf("%d wait", n.two.Waiting())
	}
}

// A node whose joining was committed, but who has not heard so, looks who the others are.
func TestNodeThatHasJoinedLooks(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	m := &n.one.members
	m.mu.Lock()
	was := m.self
	m.clock, m.at, m.living = time.Time{}, time.Time{}, nil
	m.mu.Unlock()
	if err := n.one.joinFirst(t.Context()); err != nil {
		t.Fatal(err)
	}
	if off := time.Until(n.one.Now()).Abs(); off > time.Minute || n.one.Node() != was || !n.one.Lives(n.two.Node()) {
		t.Errorf("node %d was %d, its clock is off by %v, and the other one lives: %t", n.one.Node(), was, off, n.one.Lives(n.two.Node()))
	}
}

func TestNodesThatJoinLive(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	three := n.open()
	if !n.one.Lives(three.Node()) || !three.Lives(n.one.Node()) || n.one.Lives(0) {
		t.Error("a node that has joined does not live")
	}
	n.eventually("hearing of it", func() bool {
		n.one.members.mu.RLock()
		defer n.one.members.mu.RUnlock()
		return n.one.members.living[three.Node()]
	})
}

// Its work must not wait for the next heartbeats of the others.
func TestNodeThatLeavesTellsTheOthers(t *testing.T) {
	t.Parallel()
	n := &nodes{T: t, options: testOptions(t)}
	n.options.heartbeat, n.options.giveUp = time.Hour, 24*time.Hour
	n.one, n.two = n.open(), n.open()
	if hint := <-n.one.Changes(); !hint.IsZero() {
		t.Fatalf("a node that begins to listen hears %v", hint)
	}
	was := n.two.Node()
	if err := n.two.Close(); err != nil {
		t.Fatal(err)
	}
	n.eventually("hearing that a node has left", func() bool { return !n.one.Lives(was) })
}

// silence lets nothing be heard of a node any more, whose lane goes on.
func (n *nodes) silence(s *Store) {
	n.Helper()
	s.stop()
	was := s.Node()
	n.eventually("giving up a node", func() bool { return !n.one.Lives(was) })
}

func TestNodeThatIsGivenUpIsFenced(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	r := n.create(n.two, nil)
	was := n.two.Node()
	n.silence(n.two)
	if n.one.Waiting() != 1 {
		t.Errorf("%d wait after the node that counted them was given up", n.one.Waiting())
	}
	if _, err := n.two.Create(t.Context(), callback.New(n.two.Secret(), n.policy, callback.Spec{ExpiresIn: 1}, 1)); !errors.Is(err, store.ErrFailed) {
		t.Errorf("creating as a node that was given up: %v", err)
	}
	if n.two.Node() == was {
		t.Fatal("it is still the same node")
	}
	n.two.lane.node = 0
	decisions := 0
	if _, _, err := n.two.Update(t.Context(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
		decisions++
		return add("a")(r)
	}); err != nil || decisions != 1 {
		t.Errorf("as another node: %d decisions, %v", decisions, err)
	}
}

func TestDecisionsOfANodeThatIsGivenUpAreMadeAgain(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	r := n.create(n.two, nil)
	if err := n.one.leave(t.Context(), n.two.Node()); err != nil {
		t.Fatal(err)
	}
	var as []callback.Node
	_, _, err := n.two.Update(t.Context(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
		as = append(as, n.two.Node())
		return add("a")(r)
	})
	if err != nil || as[0] == as[len(as)-1] && len(as) > 1 {
		t.Errorf("decided as %v: %v", as, err)
	}
}

func TestPoliciesInUseStay(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	if err := n.one.PutPolicy(t.Context(), n.policy); err != nil {
		t.Fatal(err)
	}
	if err := n.two.forgetPolicies(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.open().Policy(t.Context(), n.policy.Hash()); err != nil {
		t.Errorf("a policy that another node uses: %v", err)
	}
	// A node that was given up uses it again.
	if err := n.two.leave(t.Context(), n.one.Node()); err != nil {
		t.Fatal(err)
	}
	was := n.one.Node()
	n.eventually("joining again", func() bool { return n.one.Node() != was })
	if err := n.two.forgetPolicies(t.Context()); err != nil {
		t.Fatal(err)
	}
	var there bool
	if err := n.one.pool.QueryRow(t.Context(), n.one.sql(`SELECT EXISTS (SELECT 1 FROM @uses WHERE node = $1)`), int64(n.one.Node())).Scan(&there); err != nil || !there {
		t.Errorf("the node that has joined again uses no policy: %v", err)
	}
}

func TestWhatHasEnded(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	waits, ended, unknown := n.create(n.one, nil), n.create(n.one, func(r *callback.Record) { r.Phase = callback.Closed }), callback.NewUUID()
	got, err := n.two.Ended(t.Context(), []callback.UUID{waits.ID, ended.ID, unknown})
	if err != nil || len(got) != 2 || !slices.Contains(got, ended.ID) || !slices.Contains(got, unknown) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAcksAreAwaited(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	awaited := []callback.Digest{{1}, {2}}
	r := n.create(n.one, func(r *callback.Record) { r.Awaited = awaited })
	ask := func(until callback.Time, ds ...callback.Digest) bool {
		yes, err := n.two.AwaitsAck(t.Context(), ds, until)
		if err != nil {
			t.Error(err)
		}
		return yes
	}
	if !ask(1000, awaited[1]) || !ask(2000, callback.Digest{9}, awaited[0]) || ask(999, awaited...) || ask(1000, callback.Digest{9}) || ask(1000) {
		t.Error("it is not said rightly which acks are awaited")
	}
	if _, _, err := n.two.Update(t.Context(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Phase = callback.Closed
		return store.Change{Next: &next}, nil
	}); err != nil || ask(1000, awaited...) {
		t.Errorf("after its end its ack is awaited: %v", err)
	}
}

func TestWhatIsPastItsRetentionIsForgotten(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	body, err := n.one.PutBody(t.Context(), []byte(strings.Repeat("x", 70_000)))
	if err != nil {
		t.Fatal(err)
	}
	alias := callback.Digest{1}
	var all []*callback.Record
	for i := range 5 {
		all = append(all, n.create(n.one, func(r *callback.Record) {
			r.Phase, r.KeepUntil = callback.Closed, callback.Time(10+i)
			if i == 0 {
				r.Aliases, r.Answer = []callback.Digest{alias}, &callback.Response{Body: body}
			}
		}))
	}
	n.create(n.one, func(r *callback.Record) { r.ExpiresAt = 1 })
	if k, err := n.two.Forget(t.Context(), 13, 3); err != nil || k != 3 {
		t.Errorf("%d are forgotten of 3: %v", k, err)
	}
	if k, err := n.two.Forget(t.Context(), 13, 3); err != nil || k != 1 {
		t.Errorf("%d are forgotten of 1: %v", k, err)
	}
	if _, _, err := n.one.Find(t.Context(), store.ByID(all[4].ID)); err != nil {
		t.Errorf("the one that is kept: %v", err)
	}
	var left int
	if err := n.one.pool.QueryRow(t.Context(), n.one.sql(`SELECT (SELECT count(*) FROM @aliases) + (SELECT count(*) FROM @bodies) + (SELECT count(*) FROM @pieces)`)).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left behind: %v", left, err)
	}
}

func TestOtherSecretIsRefused(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	o := n.options
	o.Secrets = callback.NewSecrets(callback.NewSecret())
	if _, err := Open(o); !errors.Is(err, errOtherSecret) {
		t.Errorf("another secret: %v", err)
	}
	if o.Secrets = nil; true {
		if _, err := Open(o); !errors.Is(err, errNoSecret) {
			t.Errorf("no secret: %v", err)
		}
	}
	o.Secrets = callback.NewSecrets(callback.NewSecret(), *n.options.Secrets.First())
	s := mustOpen(t, o)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	o.Secrets = callback.NewSecrets(*o.Secrets.First())
	s = mustOpen(t, o)
	_ = s.Close()
}

func TestTablesOfALaterReleaseAreRefused(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	o.Migrate = false
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "migrate") {
		t.Errorf("without tables: %v", err)
	}
	o.Migrate = true
	s := mustOpen(t, o)
	if err := pgx.BeginFunc(context.Background(), s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), s.sql(`UPDATE @meta SET version = 9, least = 9`))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "later release") {
		t.Errorf("with tables of a later release: %v", err)
	}
}

// Behind a pooler no statement can be prepared, and types are known by what is sent.
func TestStoreWorksBehindAPooler(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	o := n.options
	o.Direct = o.URL
	s := mustOpen(t, o)
	defer s.Close()
	body, err := s.PutBody(t.Context(), []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutPolicy(t.Context(), n.policy); err != nil {
		t.Error(err)
	}
	alias := callback.Digest{1}
	r := n.create(s, func(r *callback.Record) {
		r.Aliases, r.Awaited, r.Owner = []callback.Digest{alias}, []callback.Digest{{2}}, s.Node()
	})
	for _, key := range []store.Key{store.ByAlias(alias), store.ByTicket(s.Secret().Ticket(r.ID))} {
		if _, _, err := s.Update(t.Context(), key, func(r *callback.Record) (store.Change, error) {
			next := *r
			next.Answer = &callback.Response{Body: body}
			return store.Change{Next: &next}, nil
		}); err != nil {
			t.Error(err)
		}
	}
	if ids, err := s.Due(t.Context(), r.ExpiresAt, 1); err != nil || len(ids) != 1 {
		t.Errorf("%v are due, %v", ids, err)
	}
	if page, _, err := s.List(t.Context(), store.Query{Name: r.Name}); err != nil || len(page) != 1 {
		t.Errorf("%d are listed, %v", len(page), err)
	}
	if yes, err := s.AwaitsAck(t.Context(), r.Awaited, r.CreatedAt); err != nil || !yes {
		t.Errorf("awaited: %v, %v", yes, err)
	}
	if ended, err := s.Ended(t.Context(), []callback.UUID{r.ID, callback.NewUUID()}); err != nil || len(ended) != 1 {
		t.Errorf("ended: %v, %v", ended, err)
	}
	if _, _, err := s.Update(t.Context(), store.ByID(r.ID), func(*callback.Record) (store.Change, error) { return store.Change{Delete: true}, nil }); err != nil {
		t.Error(err)
	}
	if _, err := s.Forget(t.Context(), 1, 1); err != nil || s.forgetPolicies(t.Context()) != nil || s.Waiting() != 0 {
		t.Errorf("forgetting: %v; %d wait", err, s.Waiting())
	}
}
