package badger

import (
	"maps"
	"slices"
	"sync"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// tally counts callbacks by their names. What is counted is what was decided, whether or not
// it is committed.
type tally struct {
	mu     sync.Mutex
	names  map[string]*nameTally
	others *nameTally
}

// nameTally is what there is under one name. While the store still counts what it had at the
// start, numbers can be below zero.
type nameTally struct {
	waiting, dead int
	ages          ages
}

func newTally() *tally { return &tally{names: make(map[string]*nameTally), others: new(nameTally)} }

// of returns the counts of a name. A name is told apart for good, or never: otherwise what was
// counted under one would be missing from the other. The lock must be held.
func (t *tally) of(name string) *nameTally {
	n := t.names[name]
	switch {
	case n != nil:
		return n
	case len(t.names) == store.MaxTallied:
		return t.others
	}
	n = new(nameTally)
	t.names[name] = n
	return n
}

// counted is what of a callback is counted.
type counted struct {
	name        string
	created     callback.Time
	waits, dead bool
}

// countedOf returns what of a record is counted; nil stands for no record.
func countedOf(r *callback.Record) counted {
	if r == nil {
		return counted{}
	}
	return counted{r.Name, r.CreatedAt, r.Phase == callback.Waiting, r.Delivery != nil && r.Delivery.Dead}
}

// move counts what puts one record in place of another; nil stands for no record.
func (t *tally) move(before, after *callback.Record) {
	was, is := countedOf(before), countedOf(after)
	if was == is || !was.waits && !was.dead && !is.waits && !is.dead {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count(was, -1)
	t.count(is, 1)
}

// count adds a callback, or takes it out. The lock must be held.
func (t *tally) count(c counted, by int) {
	if !c.waits && !c.dead {
		return
	}
	n := t.of(c.name)
	if c.waits {
		n.waiting += by
		n.ages.add(c.created, by)
	}
	if c.dead {
		n.dead += by
	}
}

// forget sets all counts to zero.
func (t *tally) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.names {
		*n = nameTally{}
	}
	*t.others = nameTally{}
}

var _ store.Tallied = (*Store)(nil)

// Tally implements store.Tallied.
func (s *Store) Tally() []store.Tally {
	t := s.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]store.Tally, 0, len(t.names)+1)
	for _, name := range slices.Sorted(maps.Keys(t.names)) {
		all = append(all, t.names[name].tally(name))
	}
	if len(t.names) == store.MaxTallied {
		all = append(all, t.others.tally(store.OtherNames))
	}
	return all
}

func (n *nameTally) tally(name string) store.Tally {
	t := store.Tally{Name: name, Waiting: max(0, n.waiting), Dead: max(0, n.dead)}
	if t.Waiting > 0 {
		t.Oldest = n.ages.oldest()
	}
	return t
}

// countedAtOnce is how many callbacks are counted while others wait for the counts.
const countedAtOnce = 256

// countAll counts what is in a database, unless the store is closed meanwhile.
func (s *Store) countAll(txn *badgerdb.Txn) {
	var some []counted
	flush := func() {
		s.tally.mu.Lock()
		defer s.tally.mu.Unlock()
		for _, c := range some {
			if c.waits {
				s.waiting.Add(1)
			}
			s.tally.count(c, 1)
		}
		some = some[:0]
	}
	defer flush()
	names := make(map[string]string)
	eachListed(txn, func(at callback.Time, phase callback.Phase, dead bool, name []byte) bool {
		if waits := phase == callback.Waiting; waits || dead {
			some = append(some, counted{interned(names, name), at, waits, dead})
		}
		if len(some) < countedAtOnce {
			return true
		}
		flush()
		select {
		case <-s.stopping:
			return false
		default:
			return true
		}
	})
}

// interned returns a name, the same string for the same name as long as there are few.
func interned(names map[string]string, name []byte) string {
	if known, ok := names[string(name)]; ok {
		return known
	}
	fresh := string(name)
	if len(names) < store.MaxTallied {
		names[fresh] = fresh
	}
	return fresh
}

// eachListed calls yield for each callback of the list's index until it returns false.
func eachListed(txn *badgerdb.Txn, yield func(at callback.Time, phase callback.Phase, dead bool, name []byte) bool) {
	it := txn.NewIterator(badgerdb.IteratorOptions{Prefix: []byte{keyList}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		k := item.Key()
		if len(k) != listKeyLength {
			continue
		}
		more := true
		_ = item.Value(func(b []byte) error {
			if len(b) > 0 {
				more = yield(listedAt(k), listedPhase(b), listedDead(b), listedName(b))
			}
			return nil
		})
		if !more {
			return
		}
	}
}
