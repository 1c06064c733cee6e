package badger

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// blockFirstCommit makes the first commit wait until release is closed; blocked
// receives a value when the commit waits.
func blockFirstCommit(s *Store) (blocked, release chan struct{}) {
	blocked, release = make(chan struct{}, 1), make(chan struct{})
	s.beforeCommit = func() error {
		select {
		case blocked <- struct{}{}:
			<-release
		default:
		}
		return nil
	}
	return blocked, release
}

func TestManyWritesShareACommit(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	var commits atomic.Int64
	s.beforeCommit = func() error { commits.Add(1); return nil }

	const writers, each = 64, 50
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				create(t, s, p)
			}
		})
	}
	wg.Wait()
	if n := commits.Load(); n > writers*each/4 {
		t.Errorf("%d records took %d commits", writers*each, n)
	}
}

// What is kept of a commit keeps no body: a held client has its commit until it is answered.
func TestCommitKeepsNothingOfWhatWasWritten(t *testing.T) {
	for name, refused := range map[string]error{"committed": nil, "refused": errors.New("the disk is broken")} {
		s := openForTest(t, t.TempDir())
		p := testPolicy(t, s)
		s.beforeCommit = func() error { return refused }
		commit, data := func() (store.Commit, weak.Pointer[byte]) {
			body, err := s.PutBody(t.Context(), make([]byte, 1<<20))
			if err != nil {
				t.Fatal(err)
			}
			r := newRecord(s, p)
			r.Request = &callback.Request{Method: "POST", Body: body}
			commit, err := s.Create(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			return commit, weak.Make(&body.Data[0])
		}()
		if err := store.Wait(t.Context(), commit); (err != nil) != (refused != nil) {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); data.Value() != nil && time.Now().Before(deadline); {
			runtime.GC()
		}
		if data.Value() != nil {
			t.Errorf("%s: the body is still in memory", name)
		}
		runtime.KeepAlive(commit)
	}
}

// neverInTurn makes a store commit only groups that are hurried or full.
func neverInTurn(s *Store) {
	s.committer.mu.Lock()
	s.committer.pace, s.committer.rest = time.Hour, time.Hour
	s.committer.mu.Unlock()
}

func TestWhatNobodyHurriesSharesOneCommitAndOneWrite(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	neverInTurn(s)
	before := s.Commits()
	r := newRecord(s, p)
	if _, err := s.Create(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	ended, err := closeRecord(s, p, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	ended.Hurry()
	if err := store.WaitInTurn(context.Background(), ended); err != nil {
		t.Fatal(err)
	}
	after := s.Commits()
	if after.Count != before.Count+1 || after.Records != before.Records+1 {
		t.Errorf("%d commits of %d records", after.Count-before.Count, after.Records-before.Records)
	}
}

func TestWhatNobodyHurriesIsCommittedAllTheSame(t *testing.T) {
	s := openForTest(t, t.TempDir())
	c, err := s.Create(context.Background(), newRecord(s, testPolicy(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.WaitInTurn(context.Background(), c); err != nil {
		t.Fatal(err)
	}
}

func TestFullGroupIsCommittedThoughNobodyHurriesIt(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	neverInTurn(s)
	var first store.Commit
	for range maxResting {
		c, err := s.Create(context.Background(), newRecord(s, p))
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = c
		}
	}
	if err := store.WaitInTurn(context.Background(), first); err != nil {
		t.Fatal(err)
	}
}

func TestTwoDecisionsInOneGroupAreWrittenOnce(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	blocked, release := blockFirstCommit(s)
	first := newRecord(s, p)
	if _, err := s.Create(context.Background(), first); err != nil {
		t.Fatal(err)
	}
	<-blocked
	// While the first commit is under way another callback is made and ended.
	second := newRecord(s, p)
	if _, err := s.Create(context.Background(), second); err != nil {
		t.Fatal(err)
	}
	ended, err := closeRecord(s, p, second.ID)
	if err != nil {
		t.Fatal(err)
	}
	before := s.sequence.Load()
	close(release)
	if err := store.Wait(context.Background(), ended); err != nil {
		t.Fatal(err)
	}
	if n := s.sequence.Load() - before; n != 2 {
		t.Errorf("%d commits, want one for each callback", n)
	}
}

// A creation is committed when whoever waits for it is told so, also if its call has taken it
// along meanwhile.
func TestCreationIsCommittedWithItsCall(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	neverInTurn(s)
	before := s.Commits()
	r, other := newRecord(s, p), newRecord(s, p)
	created, err := s.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if _, err := closeRecord(s, p, r.ID); err != nil {
		t.Fatal(err)
	}
	if err := store.Wait(t.Context(), created); err != nil {
		t.Fatal(err)
	}
	if got := s.Commits(); got.Records != before.Records+2 {
		t.Errorf("%d records were written, want one for each callback", got.Records-before.Records)
	}
	for _, id := range []callback.UUID{r.ID, other.ID} {
		if err := s.view(func(txn *badgerdb.Txn) error {
			_, _, err := readRecord(txn, id)
			return err
		}); err != nil {
			t.Errorf("%s is not in the database: %v", id, err)
		}
	}
}

func TestCreationThatWentWithACallFailsWithIt(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	neverInTurn(s)
	s.beforeCommit = func() error { return errors.New("input/output error") }
	r := newRecord(s, p)
	created, err := s.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	ended, err := closeRecord(s, p, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Wait(t.Context(), ended); !errors.Is(err, store.ErrFailed) {
		t.Fatalf("the call: %v", err)
	}
	if err := store.Wait(t.Context(), created); !errors.Is(err, store.ErrFailed) {
		t.Errorf("the creation: %v", err)
	}
}

func TestOnlyCreationsThatNothingDependsOnRest(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	neverInTurn(s)
	for name, change := range map[string]func(*callback.Record){
		"an alias": func(r *callback.Record) { r.Aliases = []callback.Digest{{1}} },
		"work":     func(r *callback.Record) { r.Job = &callback.Job{} },
	} {
		r := newRecord(s, p)
		change(r)
		if _, err := s.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if len(s.committer.resting.writes) > 0 {
			t.Errorf("a creation with %s rests", name)
		}
	}
}

func TestFailedCommitMakesTheStoreFailAndThenRecover(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	kept := create(t, s, p)
	var broken atomic.Bool
	broken.Store(true)
	s.beforeCommit = func() error {
		if broken.Load() {
			return errors.New("input/output error")
		}
		return nil
	}

	r := newRecord(s, p)
	commit, err := s.Create(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Wait(context.Background(), commit); !errors.Is(err, store.ErrFailed) {
		t.Fatalf("commit: %v, want ErrFailed", err)
	}
	broken.Store(false)

	waitFor(t, "the store to be in use again", func() bool { return s.Ready() == nil })
	if _, _, err := s.Find(context.Background(), store.ByID(kept.ID)); err != nil {
		t.Errorf("what was committed before: %v", err)
	}
	if _, _, err := s.Find(context.Background(), store.ByState(s.Secret().State(r.ID))); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what was not committed: %v, want ErrNotFound", err)
	}
	wantCounted(t, s, 1)
	create(t, s, p)
	wantCounted(t, s, 2)
}

// wantCounted checks that so many callbacks wait, by name as well as together.
func wantCounted(t *testing.T, s *Store, want int) {
	t.Helper()
	named := 0
	for _, n := range s.Tally() {
		named += n.Waiting
	}
	if n := s.Waiting(); n != want || named != want {
		t.Errorf("%d callbacks wait, and %d by their names; want %d", n, named, want)
	}
}

func TestWhatWasWrittenByACommitThatFailedIsFoundWhenItIsDue(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	late := callback.At(time.Now().Add(2 * time.Hour))
	// From here on it is known that nothing is due before that time.
	if ids, err := s.Due(context.Background(), late, 10); len(ids) > 0 || err != nil {
		t.Fatalf("%v is due: %v", ids, err)
	}
	r := newRecord(s, p)
	b := s.newBatch()
	if err := errors.Join(b.put(nil, r), b.commit()); err != nil {
		t.Fatal(err)
	}
	s.fail(errors.New("test"))
	waitFor(t, "the store to be in use again", func() bool { return s.Ready() == nil })
	if ids, err := s.Due(context.Background(), late, 10); len(ids) != 1 || err != nil {
		t.Errorf("%v is due: %v", ids, err)
	}
}

func TestFailedStoreRefusesEverything(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	r := create(t, s, p)
	s.fail(errors.New("test"))

	if _, _, err := s.Find(context.Background(), store.ByID(r.ID)); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Find: %v", err)
	}
	if _, err := s.Create(context.Background(), newRecord(s, p)); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Create: %v", err)
	}
	if _, err := closeRecord(s, p, r.ID); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Update: %v", err)
	}
	if _, err := s.PutBody(context.Background(), []byte("x")); !errors.Is(err, store.ErrFailed) {
		t.Errorf("PutBody: %v", err)
	}
	if err := s.Ready(); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Ready: %v", err)
	}
}
