package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var aliasRaces = []test{
	{"of many that create with one alias at once exactly one wins", oneCreatesWithAnAlias},
	{"of many that create with two aliases in any order exactly one wins", oneCreatesWithTwoAliases},
	{"aliases that many take and give up never lead to two", aliasesChangeHands},
}

// raceToCreate creates callbacks with these aliases at once, and returns the one that
// was stored.
func (h *house) raceToCreate(aliases func(racer int) []callback.Digest) *callback.Record {
	h.Helper()
	const racers = 16
	records := make([]*callback.Record, racers)
	errs := make([]error, racers)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range racers {
		records[i] = h.withAliases(aliases(i)...)
		done.Go(func() {
			start.Wait()
			c, err := h.store.Create(h.Context(), records[i])
			if err == nil {
				err = store.Wait(h.Context(), c)
			}
			errs[i] = err
		})
	}
	start.Done()
	done.Wait()
	var winner *callback.Record
	for i, err := range errs {
		switch {
		case err == nil && winner == nil:
			winner = records[i]
		case err == nil:
			h.Fatal("two callbacks have the same alias")
		case !errors.Is(err, store.ErrExists):
			h.Fatalf("racer %d: %v", i, err)
		default:
			h.wantNotFound("one that has lost", h.keysOf(records[i].ID)...)
		}
	}
	if winner == nil {
		h.Fatal("all were refused")
	}
	return winner
}

func oneCreatesWithAnAlias(h *house) {
	const rounds = 30
	for n := range byte(rounds) {
		winner := h.raceToCreate(func(int) []callback.Digest { return []callback.Digest{alias(n)} })
		h.wantRecord("after the race", store.ByAlias(alias(n)), winner)
	}
	h.wantWaiting("after all races", rounds)
}

// Of callbacks that name the same aliases in opposite order, one must win.
func oneCreatesWithTwoAliases(h *house) {
	const rounds = 30
	for n := range byte(rounds) {
		pair := []callback.Digest{{n, 1}, {255 - n, 2}}
		winner := h.raceToCreate(func(racer int) []callback.Digest {
			if racer%2 == 0 {
				return pair
			}
			return []callback.Digest{pair[1], pair[0]}
		})
		for _, alias := range pair {
			h.wantRecord("after the race", store.ByAlias(alias), winner)
		}
	}
}

// bazaar is members that take and give up a few aliases. owners has for each alias
// the number of the member that has it, counted from 1; 0 means nobody.
type bazaar struct {
	*house
	owners [3]atomic.Int32
	ids    []callback.UUID
}

func aliasesChangeHands(h *house) {
	const members, steps = 8, 60
	b := &bazaar{house: h}
	for range members {
		b.ids = append(b.ids, h.created().ID)
	}
	var done sync.WaitGroup
	for m := range members {
		done.Go(func() {
			random := rand.New(rand.NewPCG(uint64(m), 2))
			for range steps {
				if err := b.trade(m, random); err != nil {
					h.Errorf("member %d: %v", m, err)
					return
				}
			}
		})
	}
	done.Wait()
	// At the end nobody has an alias.
	_, c := h.update(store.ByID(b.ids[0]), relabel())
	h.beforeAndAfter(c, func(when string) {
		for n := range b.owners {
			h.wantNotFound(when, store.ByAlias(alias(byte(n))))
		}
	})
}

// trade tries to take an alias, and gives it up again: by an update, or by deleting
// the callback.
func (b *bazaar) trade(m int, random *rand.Rand) error {
	n := random.IntN(len(b.owners))
	id := b.ids[m]
	_, c, err := b.store.Update(b.Context(), store.ByID(id), relabel(alias(byte(n))))
	if errors.Is(err, store.ErrExists) {
		return nil
	}
	if err != nil {
		return err
	}
	if owner := b.owners[n].Swap(int32(m) + 1); owner != 0 {
		return fmt.Errorf("it got alias %d, which member %d has", n, owner-1)
	}
	if random.IntN(2) == 0 {
		if err := store.Wait(b.Context(), c); err != nil {
			return err
		}
	}
	r, _, err := b.store.Find(b.Context(), store.ByAlias(alias(byte(n))))
	if err != nil || r.ID != id {
		return fmt.Errorf("its alias %d leads to %+v, %v", n, r, err)
	}
	if err := b.visit(random.IntN(len(b.owners))); err != nil {
		return err
	}
	b.owners[n].Store(0)
	giveUp := relabel()
	if random.IntN(3) == 0 {
		giveUp = remove
	}
	if _, _, err = b.store.Update(b.Context(), store.ByID(id), giveUp); err != nil {
		return err
	}
	if _, _, err := b.store.Find(b.Context(), store.ByID(id)); errors.Is(err, store.ErrNotFound) {
		return b.replace(m)
	}
	return nil
}

// visit makes a decision by an alias that other members may take or give up
// meanwhile.
func (b *bazaar) visit(n int) error {
	var seen *callback.Record
	_, _, err := b.store.Update(b.Context(), store.ByAlias(alias(byte(n))), func(r *callback.Record) (store.Change, error) {
		seen = r
		return store.Change{}, nil
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if seen != nil && !slices.Contains(seen.Aliases, alias(byte(n))) {
		return fmt.Errorf("alias %d has led to %+v", n, seen)
	}
	return nil
}

// replace creates a new callback for a member whose own was deleted.
func (b *bazaar) replace(m int) error {
	r := b.newRecord()
	b.ids[m] = r.ID
	_, err := b.store.Create(b.Context(), r)
	return err
}
