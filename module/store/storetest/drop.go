package storetest

import (
	"context"
	"errors"
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var dropping = []test{
	{"a body that no record refers to is dropped", looseBodyIsDropped},
	{"a body is dropped after a decision that was not made", bodyOfNoDecisionIsDropped},
	{"a body is dropped although the client has left", bodyIsDroppedWithoutContext},
	{"a body that a record refers to is not dropped", bodyOfARecordIsNotDropped},
	{"a body that a decision dropped cannot be dropped again", droppedBodyIsGone},
	{"a body in a record is never dropped", inlineBodyIsNotDropped},
	{"of racers with a body each, the losers' are dropped", losersDropTheirBodies},
}

func looseBodyIsDropped(h *house) {
	kept, dropped := h.putBody(patterned(70<<10)), h.putBody(patterned(80<<10))
	for range 2 {
		h.store.DropBody(h.Context(), dropped)
		h.wantBodyGone("after dropping", dropped)
	}
	h.wantBody("the other one", kept, patterned(70<<10))
	stranger := dropped
	stranger.File = "../" + kept.File
	h.store.DropBody(h.Context(), stranger)
	h.store.DropBody(h.Context(), callback.Body{File: "x"})
	h.wantBody("after dropping strangers", kept, patterned(70<<10))
	h.store.DropBody(h.Context(), stripped(kept))
	h.wantBodyGone("by its name alone", kept)
}

func bodyOfNoDecisionIsDropped(h *house) {
	alias := callback.Digest{1}
	first := h.newRecord()
	first.Aliases = []callback.Digest{alias}
	h.wait(h.create(first))
	refused := errors.New("refused")
	for name, decide := range map[string]func(b callback.Body) error{
		"refused": func(callback.Body) error {
			_, _, err := h.store.Update(h.Context(), store.ByID(first.ID), func(*callback.Record) (store.Change, error) { return store.Change{}, refused })
			return err
		},
		"no such callback": func(b callback.Body) error {
			_, _, err := h.store.Update(h.Context(), store.ByID(callback.NewUUID()), holding(b))
			return err
		},
		"alias taken": func(b callback.Body) error {
			r := h.newRecord()
			r.Aliases, r.Request = []callback.Digest{alias}, &callback.Request{Method: "POST", Body: b}
			_, err := h.store.Create(h.Context(), r)
			return err
		},
		"alias taken, update": func(b callback.Body) error {
			r := h.newRecord()
			h.wait(h.create(r))
			_, _, err := h.store.Update(h.Context(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
				next := *r
				next.Aliases, next.Call = []callback.Digest{alias}, &callback.Call{Method: "POST", Body: b}
				return store.Change{Next: &next}, nil
			})
			return err
		},
	} {
		b := h.putBody(patterned(70 << 10))
		if err := decide(b); err == nil {
			h.Fatalf("%s: no error", name)
		}
		h.store.DropBody(h.Context(), b)
		h.wantBodyGone(name, b)
	}
	b := h.putBody(patterned(70 << 10))
	h.update(store.ByID(first.ID), nothing)
	h.store.DropBody(h.Context(), b)
	h.wantBodyGone("nothing was changed", b)
}

// holding returns the decision that makes a body that of the callback's latest call.
func holding(b callback.Body) store.Decide {
	return func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Latest = &callback.Call{Method: "POST", Body: b}
		return store.Change{Next: &next}, nil
	}
}

func bodyIsDroppedWithoutContext(h *house) {
	b := h.putBody(patterned(70 << 10))
	over, cancel := context.WithCancel(h.Context())
	cancel()
	h.store.DropBody(context.WithoutCancel(over), b)
	h.wantBodyGone("after the client has left", b)
}

func bodyOfARecordIsNotDropped(h *house) {
	r, all := h.inAllPlaces(*h.newRecord())
	shared := h.putBody(patterned(90 << 10))
	two := h.newRecord()
	two.Call, two.Latest = &callback.Call{Method: "POST", Body: shared}, &callback.Call{Method: "POST", Body: shared}
	h.create(two)
	h.beforeAndAfter(h.create(r), func(when string) {
		for _, b := range append(r.Bodies(), &shared) {
			h.store.DropBody(h.Context(), *b)
		}
		for _, b := range r.Bodies() {
			if b.File != "" {
				h.wantBody(when, *b, dataOf(b, all))
			}
		}
		h.wantBody(when+", in two places", shared, patterned(90<<10))
	})
	// One of two references goes.
	_, c := h.update(store.ByID(two.ID), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Latest = nil
		return store.Change{Next: &next}, nil
	})
	h.store.DropBody(h.Context(), shared)
	h.wait(c)
	h.store.DropBody(h.Context(), shared)
	h.wantBody("in one place", shared, patterned(90<<10))
}

func droppedBodyIsGone(h *house) {
	r := h.newRecord()
	h.create(r)
	b := h.putBody(patterned(70 << 10))
	h.update(store.ByID(r.ID), holding(b))
	other := h.putBody(patterned(80 << 10))
	_, c := h.update(store.ByID(r.ID), holding(other))
	h.store.DropBody(h.Context(), b)
	h.wait(c)
	h.store.DropBody(h.Context(), b)
	h.wantBodyGone("after it was replaced", b)
	h.wantBody("what replaced it", other, patterned(80<<10))
}

func inlineBodyIsNotDropped(h *house) {
	r := h.newRecord()
	r.Call = &callback.Call{Method: "POST", Body: callback.NewBody([]byte("paid"))}
	h.wait(h.create(r))
	h.store.DropBody(h.Context(), r.Call.Body)
	h.store.DropBody(h.Context(), callback.Body{})
	h.wantRecord("after dropping", store.ByID(r.ID), r)
}

func losersDropTheirBodies(h *house) {
	const racers, rounds = 8, 5
	for range rounds {
		r := h.newRecord()
		h.create(r)
		bodies := make([]callback.Body, racers)
		won := make([]bool, racers)
		var wg sync.WaitGroup
		for i := range racers {
			wg.Go(func() {
				bodies[i] = h.putBody(patterned(70<<10 + i))
				_, c, err := h.store.Update(h.Context(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
					if won[i] = r.Call == nil; !won[i] {
						return store.Change{}, nil
					}
					next := *r
					next.Call = &callback.Call{Method: "POST", Body: bodies[i]}
					return store.Change{Next: &next}, nil
				})
				h.store.DropBody(h.Context(), bodies[i])
				if err == nil {
					err = store.Wait(h.Context(), c)
				}
				if err != nil {
					h.Error(err)
				}
			})
		}
		wg.Wait()
		winners := 0
		for i, b := range bodies {
			if !won[i] {
				h.wantBodyGone("of a loser", b)
				continue
			}
			winners++
			h.wantBody("of the winner", b, patterned(70<<10+i))
		}
		if winners != 1 {
			h.Errorf("%d have won", winners)
		}
	}
}
