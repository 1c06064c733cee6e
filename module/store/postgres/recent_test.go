package postgres

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// mute lets what a node asks for wait until the returned function is called.
func (n *nodes) mute(s *Store) (answer func()) {
	s.reader.mu.Lock()
	s.reader.running += maxReaders
	s.reader.mu.Unlock()
	var once sync.Once
	answer = func() {
		once.Do(func() {
			for range maxReaders {
				go s.reader.run()
			}
		})
	}
	n.Cleanup(answer)
	return answer
}

func TestLookUpServesTheDecision(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	r := n.create(n.two, nil)
	key := store.ByState(n.one.Secret().State(r.ID))
	if _, _, err := n.one.Find(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	n.mute(n.one)
	for _, key := range []store.Key{key, store.ByID(r.ID)} {
		if _, _, err := n.one.Update(t.Context(), key, add("a")); err != nil {
			t.Errorf("deciding without another look: %v", err)
		}
	}
}

func TestDecisionsOnWhatIsBehindAreMadeAgain(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	r := n.create(n.one, nil)
	if _, _, err := n.two.Update(t.Context(), store.ByID(r.ID), add("a")); err != nil {
		t.Fatal(err)
	}
	got, _, err := n.one.Update(t.Context(), store.ByID(r.ID), add("b"))
	if err != nil || got.Reason != "ab" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatChangesNothingIsDecidedOnTheNewest(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{"left alone": nil, "refused": errors.New("refused")} {
		n := newNodes(t)
		r := n.create(n.one, nil)
		if _, _, err := n.two.Update(t.Context(), store.ByID(r.ID), add("a")); err != nil {
			t.Fatal(err)
		}
		got, _, err := n.one.Update(t.Context(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
			if r.Reason == "" {
				return store.Change{}, refusal
			}
			return store.Change{Next: r}, nil
		})
		if err != nil || got.Reason != "a" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestWhatIsGoneIsNotDecidedOn(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	deleted, forgotten := n.create(n.one, nil), n.create(n.one, func(r *callback.Record) { r.Phase, r.Owner = callback.Closed, 1 })
	if _, _, err := n.two.Update(t.Context(), store.ByID(deleted.ID), func(*callback.Record) (store.Change, error) { return store.Change{Delete: true}, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := n.two.pool.Exec(t.Context(), n.two.sql(`UPDATE @callbacks SET forget = due`)); err != nil {
		t.Fatal(err)
	}
	if k, err := n.two.Forget(t.Context(), 1<<60, 9); err != nil || k != 1 {
		t.Fatalf("%d are forgotten: %v", k, err)
	}
	for name, r := range map[string]*callback.Record{"deleted": deleted, "forgotten": forgotten} {
		if _, ok := n.one.recent.find(store.ByID(r.ID)); !ok {
			t.Errorf("%s: it is not kept", name)
		}
		if _, _, err := n.one.Update(t.Context(), store.ByID(r.ID), add("a")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsKeptInMindIsBounded(t *testing.T) {
	t.Parallel()
	recent, text := newRecent(), strings.Repeat("x", recentSize/2)
	record := func(change func(*callback.Record)) *callback.Record {
		r := callback.New(callback.NewSecrets(callback.NewSecret()).First(), &callback.Policy{}, callback.Spec{CorrelationID: text}, 1)
		if change != nil {
			change(r)
		}
		recent.put(found{r, 1})
		return r
	}
	kept := func(r *callback.Record) bool {
		_, byID := recent.find(store.ByID(r.ID))
		_, byState := recent.find(store.Key{Kind: store.KeyState, Digest: r.State})
		if byID != byState {
			t.Errorf("by id it is kept: %t, by state: %t", byID, byState)
		}
		return byID
	}
	first := record(nil)
	for range recentGeneration / (recentSize / 2) {
		record(nil)
	}
	if !kept(first) {
		t.Error("it is dropped before there are many")
	}
	var last *callback.Record
	for range 4 * recentGeneration / (recentSize / 2) {
		last = record(nil)
	}
	if most := 2 * (recentGeneration + recentSize); recent.young.size+recent.old.size > most || kept(first) || !kept(last) {
		t.Errorf("%d bytes are kept of %d", recent.young.size+recent.old.size, most)
	}
	if kept(record(func(r *callback.Record) { r.CorrelationID += text })) || kept(record(func(r *callback.Record) { r.Phase = callback.Closed })) {
		t.Error("what is large or has ended is kept")
	}
	recent.drop(last.ID)
	if kept(last) {
		t.Error("what was dropped is kept")
	}
}

func TestManyLookUpsShareAQuestion(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	alias := callback.Digest{1}
	r := n.create(n.one, func(r *callback.Record) { r.Aliases = []callback.Digest{alias} })
	keys := map[store.Key]error{
		store.ByID(r.ID): nil, store.ByState(n.one.Secret().State(r.ID)): nil, store.ByTicket(n.one.Secret().Ticket(r.ID)): nil, store.ByAlias(alias): nil,
		store.ByID(callback.NewUUID()): store.ErrNotFound, store.ByAlias(callback.Digest{2}): store.ErrNotFound,
		// Only the half of it that the tables have is right.
		{Kind: store.KeyState, Digest: callback.Digest(append(r.State[:16:16], make([]byte, 16)...))}: store.ErrNotFound,
	}
	answer := n.mute(n.one)
	var done sync.WaitGroup
	const each = 100
	for key, want := range keys {
		for range each {
			done.Go(func() {
				got, _, err := n.one.Find(t.Context(), key)
				if !errors.Is(err, want) || err == nil && got.ID != r.ID {
					t.Errorf("%+v: %+v, %v", key, got, err)
				}
			})
		}
	}
	n.eventually("asking", func() bool {
		n.one.reader.mu.Lock()
		defer n.one.reader.mu.Unlock()
		return len(n.one.reader.pending) == each*len(keys)
	})
	answer()
	done.Wait()
}
