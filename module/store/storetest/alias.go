package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var aliases = []test{
	{"an alias leads to its callback, and is no key of another kind", aliasIsFound},
	{"an alias leads to one callback only", aliasHasOneOwner},
	{"an alias that is refused leaves all as it was", refusedAliasChangesNothing},
	{"an alias can be kept, dropped, taken back and named twice", aliasIsKept},
	{"an alias that an update drops is free at once", aliasIsFreedByUpdate},
	{"an alias of a deleted callback is free at once", aliasIsFreedByDelete},
	{"an alias can go round before anything is committed", aliasGoesRound},
	{"a decision by an alias is made about its callback only", aliasDecides},
	{"a correlation id, and an Idempotency-Key that is withdrawn, lead nowhere any more", aliasesOfThePolicy},
	{"a correlation id of an ack is not taken by a request, nor one of a request by an ack", aliasesOfAckAndRequest},
}

// alias returns one of a few aliases.
func alias(n byte) callback.Digest { return callback.Digest{0: n, 31: n} }

// withAliases returns a new record with these aliases.
func (h *house) withAliases(aliases ...callback.Digest) *callback.Record {
	r := h.newRecord()
	r.Aliases = aliases
	return r
}

// relabel returns the decision to give a callback these aliases, and no others.
func relabel(aliases ...callback.Digest) store.Decide {
	return func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Aliases = aliases
		return store.Change{Next: &next}, nil
	}
}

// wantClash checks that neither a new callback nor the other one can get these
// aliases.
func (h *house) wantClash(when string, other callback.UUID, aliases ...callback.Digest) {
	h.Helper()
	if c, err := h.store.Create(h.Context(), h.withAliases(aliases...)); !errors.Is(err, store.ErrExists) || c != nil {
		h.Fatalf("%s: creating another with the alias: %v, %v", when, c, err)
	}
	if r, c, err := h.store.Update(h.Context(), store.ByID(other), relabel(aliases...)); !errors.Is(err, store.ErrExists) || r != nil || c != nil {
		h.Fatalf("%s: giving the alias to another: %+v, %v, %v", when, r, c, err)
	}
}

func aliasIsFound(h *house) {
	h.wait(h.create(h.withAliases(alias(3))))
	r := h.withAliases(alias(1), alias(2))
	h.beforeAndAfter(h.create(r), func(when string) {
		h.wantRecord(when, store.ByAlias(alias(1)), r)
		h.wantRecord(when, store.ByAlias(alias(2)), r)
		h.wantNotFound(when, store.ByAlias(alias(4)), store.ByAlias(r.State), store.ByAlias(r.Ticket), store.ByAlias(r.ID.Digest()),
			store.Key{Kind: store.KeyState, Digest: alias(1)}, store.Key{Kind: store.KeyTicket, Digest: alias(1)})
	})
	got, c := h.update(store.ByID(r.ID), relabel(alias(5)))
	h.beforeAndAfter(c, func(when string) {
		h.wantRecord(when+" of the update", store.ByAlias(alias(5)), got)
		h.wantNotFound(when+" of the update", store.ByAlias(alias(1)), store.ByAlias(alias(2)))
	})
}

func aliasHasOneOwner(h *house) {
	other := h.created()
	r := h.withAliases(alias(1), alias(2))
	h.beforeAndAfter(h.create(r), func(when string) {
		h.wantClash(when, other.ID, alias(1))
		h.wantClash(when, other.ID, alias(3), alias(2))
		h.wantRecord(when, store.ByAlias(alias(2)), r)
	})
	r, c := h.update(store.ByID(r.ID), relabel(alias(2), alias(4)))
	h.beforeAndAfter(c, func(when string) {
		h.wantClash(when+" of the update", other.ID, alias(4))
		h.wantRecord(when+" of the update", store.ByAlias(alias(4)), r)
	})
}

func refusedAliasChangesNothing(h *house) {
	other := h.withAliases(alias(8))
	h.wait(h.create(other))
	refused := h.withAliases(alias(2), alias(1), alias(3))
	h.beforeAndAfter(h.create(h.withAliases(alias(1))), func(when string) {
		if _, err := h.store.Create(h.Context(), refused); !errors.Is(err, store.ErrExists) {
			h.Fatalf("%s: %v", when, err)
		}
		h.wantNotFound(when, append(h.keysOf(refused.ID), store.ByAlias(alias(2)), store.ByAlias(alias(3)))...)
		h.wantClash(when, other.ID, alias(2), alias(1))
		h.wantRecord(when, store.ByAlias(alias(8)), other)
		// The other aliases of the refused callback are free.
		r := h.withAliases(alias(2), alias(3))
		c := h.create(r)
		h.wantRecord(when, store.ByAlias(alias(3)), r)
		h.wait(c)
		_, c = h.update(store.ByID(r.ID), remove)
		h.wait(c)
		h.wantWaiting(when, 2)
	})
}

func aliasIsKept(h *house) {
	r := h.withAliases(alias(1), alias(1), alias(2))
	commits := []store.Commit{h.create(r)}
	for _, labels := range [][]callback.Digest{
		{alias(2), alias(1)}, {}, {alias(1)}, {alias(2), alias(2)}, {alias(1), alias(2)}, nil, {alias(2)}, {alias(1), alias(2), alias(1)},
	} {
		got, c := h.update(store.ByID(r.ID), relabel(labels...))
		commits = append(commits, c)
		for n := range byte(3) {
			if slices.Contains(labels, alias(n)) {
				h.wantRecord("with others", store.ByAlias(alias(n)), got)
			} else {
				h.wantNotFound("without it", store.ByAlias(alias(n)))
			}
		}
		r = got
	}
	for _, c := range commits {
		h.wait(c)
	}
	check := func(when string) {
		h.wantRecord(when, store.ByAlias(alias(1)), r)
		h.wantRecord(when, store.ByAlias(alias(2)), r)
	}
	check("after the commits")
	h.reopen()
	check("after reopening")
	_, c := h.update(store.ByAlias(alias(1)), remove)
	h.beforeAndAfter(c, func(when string) { h.wantNotFound(when, store.ByAlias(alias(1)), store.ByAlias(alias(2))) })
}

// freeing checks that an alias is free again after a decision about a callback that
// has it: even before that decision is committed, and whether or not the callback was
// committed.
func (h *house) freeing(decide store.Decide) {
	h.Helper()
	for _, settled := range []bool{false, true} {
		r := h.withAliases(alias(1))
		c := h.create(r)
		if settled {
			h.wait(c)
		}
		_, freed := h.update(store.ByID(r.ID), decide)
		h.wantNotFound("at once", store.ByAlias(alias(1)))
		next := h.withAliases(alias(1))
		taken := h.create(next)
		h.wantRecord("at once", store.ByAlias(alias(1)), next)
		h.wait(c)
		h.wait(freed)
		h.beforeAndAfter(taken, func(when string) {
			h.wantRecord(when, store.ByAlias(alias(1)), next)
		})
		_, c = h.update(store.ByID(next.ID), decide)
		h.beforeAndAfter(c, func(when string) { h.wantNotFound(when+" of freeing", store.ByAlias(alias(1))) })
	}
}

func aliasIsFreedByUpdate(h *house) { h.freeing(relabel()) }

func aliasIsFreedByDelete(h *house) { h.freeing(remove) }

// aliasGoesRound passes aliases from callback to callback. Most rounds wait for no
// commit, so that many changes are committed together.
func aliasGoesRound(h *house) {
	const rounds = 20
	var ids []callback.UUID
	for range 3 {
		ids = append(ids, h.created().ID)
	}
	var commits []store.Commit
	to := func(id callback.UUID, labels ...callback.Digest) {
		_, c := h.update(store.ByID(id), relabel(labels...))
		commits = append(commits, c)
	}
	for round := range rounds {
		first, second, third := ids[round%3], ids[(round+1)%3], ids[(round+2)%3]
		for _, id := range ids {
			to(id)
		}
		to(first, alias(1))
		to(second, alias(2))
		// Two callbacks swap their aliases by way of a third.
		to(third)
		to(first)
		to(third, alias(1))
		to(second)
		to(first, alias(2))
		to(third)
		to(second, alias(1))
		check := func(when string) {
			h.wantNotFound(when, store.ByAlias(alias(3)))
			for alias, want := range map[callback.Digest]callback.UUID{alias(1): second, alias(2): first} {
				if r, _, err := h.store.Find(h.Context(), store.ByAlias(alias)); err != nil || r.ID != want {
					h.Fatalf("%s, round %d: alias %d leads to %+v, %v", when, round, alias[0], r, err)
				}
			}
		}
		check("at once")
		if round%4 == 0 {
			continue
		}
		for _, c := range commits {
			h.wait(c)
		}
		check("after the commits")
		if round%5 == 0 {
			h.reopen()
			check("after reopening")
		}
	}
}

func aliasDecides(h *house) {
	r, other := h.withAliases(alias(1)), h.withAliases(alias(2))
	h.wait(h.create(other))
	h.create(r)
	got, c := h.update(store.ByAlias(alias(1)), h.closeFor("by alias"))
	h.beforeAndAfter(c, func(when string) {
		h.wantRecord(when, store.ByID(r.ID), got)
		h.wantRecord(when, store.ByID(other.ID), other)
	})
	decide := func(*callback.Record) (store.Change, error) {
		h.Error("decide was called for an alias that leads nowhere")
		return store.Change{}, nil
	}
	_, c = h.update(store.ByID(r.ID), relabel())
	h.beforeAndAfter(c, func(when string) {
		if r, c, err := h.store.Update(h.Context(), store.ByAlias(alias(1)), decide); !errors.Is(err, store.ErrNotFound) || r != nil || c != nil {
			h.Errorf("%s: %+v, %v, %v", when, r, c, err)
		}
	})
}

func aliasesOfThePolicy(h *house) {
	h.policy = compiled(h.T, callback.Policy{BaseURL: "https://app.example.com", Keys: []string{"erp", "shop"}})
	idempotency := callback.IdempotencyAlias("client", "key")
	spec := callback.Spec{CorrelationID: "a", Idempotency: idempotency, ExpiresIn: 1}
	byCorrelation := func(id string) store.Key { return store.ByAlias(callback.CorrelationAlias("erp", id)) }
	byAck := store.ByAlias(callback.AckAlias("erp", "b"))
	r := callback.New(h.store.Secret(), h.policy, spec, now)
	h.create(r)
	correlated, c := h.update(byCorrelation("a"), func(r *callback.Record) (store.Change, error) {
		next, _ := r.Correlate(h.policy, "b", now)
		return store.Change{Next: next}, nil
	})
	h.beforeAndAfter(c, func(when string) {
		h.wantNotFound(when, byCorrelation("a"), byCorrelation("b"))
		for _, key := range []store.Key{byAck, store.ByAlias(idempotency), store.ByAlias(callback.AckAlias("shop", "b"))} {
			h.wantRecord(when, key, correlated)
		}
		again := callback.New(h.store.Secret(), h.policy, spec, now)
		if _, err := h.store.Create(h.Context(), again); !errors.Is(err, store.ErrExists) {
			h.Errorf("%s: another with the same Idempotency-Key: %v", when, err)
		}
	})
	h.update(store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
		next, _ := r.Withdraw(h.policy, "not accepted", false, now)
		return store.Change{Next: next}, nil
	})
	h.wantNotFound("after withdrawing", byCorrelation("b"), byAck, store.ByAlias(idempotency))
	again := callback.New(h.store.Secret(), h.policy, spec, now)
	h.beforeAndAfter(h.create(again), func(when string) { h.wantRecord(when, store.ByAlias(idempotency), again) })
}

func aliasesOfAckAndRequest(h *house) {
	h.policy = compiled(h.T, callback.Policy{BaseURL: "https://app.example.com", Keys: []string{"erp"}})
	byRequest, byAck := store.ByAlias(callback.CorrelationAlias("erp", "job-7")), store.ByAlias(callback.AckAlias("erp", "job-7"))
	given := callback.Spec{CorrelationID: "job-7", ExpiresIn: time.Hour}
	made := func(spec callback.Spec) *callback.Record { return callback.New(h.store.Secret(), h.policy, spec, now) }
	correlate := func(r *callback.Record) (store.Change, error) {
		next, _ := r.Correlate(h.policy, "job-7", now)
		return store.Change{Next: next}, nil
	}
	asked, answered, late := made(given), made(callback.Spec{ExpiresIn: time.Hour}), made(callback.Spec{ExpiresIn: time.Hour})
	for _, r := range []*callback.Record{asked, answered, late} {
		h.create(r)
	}
	answered, c := h.update(store.ByID(answered.ID), correlate)
	h.beforeAndAfter(c, func(when string) {
		h.wantRecord(when, byRequest, asked)
		h.wantRecord(when, byAck, answered)
		if _, err := h.store.Create(h.Context(), made(given)); !errors.Is(err, store.ErrExists) {
			h.Errorf("%s: another request with the id: %v", when, err)
		}
		if _, _, err := h.store.Update(h.Context(), store.ByID(late.ID), correlate); !errors.Is(err, store.ErrExists) {
			h.Errorf("%s: another ack with the id: %v", when, err)
		}
	})
	_, c = h.update(store.ByID(asked.ID), remove)
	h.beforeAndAfter(c, func(when string) {
		h.wantNotFound(when+" of removing", byRequest)
		h.wantRecord(when+" of removing", byAck, answered)
	})
	_, c = h.update(store.ByID(answered.ID), remove)
	again, _ := h.update(store.ByID(late.ID), correlate)
	h.beforeAndAfter(c, func(when string) { h.wantRecord(when+" of removing both", byAck, again) })
}
