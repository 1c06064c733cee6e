package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var machines = []test{
	{"any sequence of commands agrees with a map", anySequence},
}

// oneIn says that one in so many of the cases that -rapid.checks asks for is tried,
// because each opens the store several times.
const oneIn = 4

// machine gives random commands to a store, and the same to a map.
type machine struct {
	*house
	model map[callback.UUID]*callback.Record
	// alive and deleted are in the order of creation and of deletion, so that a
	// sequence that failed can be repeated.
	alive   []callback.UUID
	deleted []callback.UUID
	pending []store.Commit
}

// anySequence uses one store for all cases, because opening takes longest. Each case
// deletes what it has created. After one that failed, the next gets a new directory.
func anySequence(h *house) {
	cases, clean, failed := 0, true, false
	rapid.Check(h.T, func(t *rapid.T) {
		// rapid repeats a case that failed, to find a shorter one.
		if cases++; cases%oneIn != 1 && !failed {
			return
		}
		if !clean {
			h.close()
			h.dir = h.TempDir()
			h.store = h.open(h.T, h.dir)
		}
		clean, failed = false, true
		m := &machine{house: h, model: make(map[callback.UUID]*callback.Record)}
		t.Repeat(map[string]func(*rapid.T){
			"create":         m.create,
			"update":         m.update,
			"updateAgain":    m.update,
			"refuse":         m.refuse,
			"relabel":        m.relabel,
			"find by alias":  m.findAlias,
			"list":           m.list,
			"change nothing": m.changeNothing,
			"delete":         m.delete,
			"find":           m.find,
			"find deleted":   m.findDeleted,
			"due":            m.due,
			"waiting":        m.waiting,
			"tally":          m.tally,
			"reopen":         m.reopen,
		})
		m.leaveNothing(t)
		clean, failed = true, false
	})
}

func (m *machine) create(t *rapid.T) {
	r := m.newRecord()
	r.Name, r.CorrelationID = anyText().Draw(t, "name"), anyText().Draw(t, "correlation id")
	r.CreatedAt, r.ExpiresAt, r.Aliases = anyMoment(t), anyMoment(t), anyAliases(t)
	if rapid.Bool().Draw(t, "has a correlation id of its own") {
		r.CorrelationID = m.store.Secret().CorrelationID(r.ID).String()
	}
	r.Confirm = rapid.IntRange(0, 3).Draw(t, "confirm") == 0
	c, err := m.store.Create(m.Context(), r)
	if m.clashes(r.ID, r.Aliases) {
		if !errors.Is(err, store.ErrExists) {
			t.Fatalf("creating with an alias that another has: %v", err)
		}
		m.deleted = append(m.deleted, r.ID)
		return
	}
	if err != nil {
		t.Fatalf("creating: %v", err)
	}
	m.model[r.ID] = r
	m.alive = append(m.alive, r.ID)
	m.pending = append(m.pending, c)
}

func anyMoment(t *rapid.T) callback.Time {
	return now.Add(time.Duration(rapid.IntRange(-50, 50).Draw(t, "hours")) * time.Hour)
}

// pick draws one of the model's callbacks and one of its keys.
func (m *machine) pick(t *rapid.T) (*callback.Record, store.Key) {
	if len(m.alive) == 0 {
		t.Skip("there is no callback")
	}
	r := m.model[rapid.SampledFrom(m.alive).Draw(t, "id")]
	keys := m.keysOf(r.ID)
	for _, alias := range r.Aliases {
		keys = append(keys, store.ByAlias(alias))
	}
	return r, rapid.SampledFrom(keys).Draw(t, "key")
}

// change draws a record that may follow r.
func (m *machine) change(t *rapid.T, r *callback.Record) *callback.Record {
	next := *r
	switch rapid.IntRange(0, 3).Draw(t, "change") {
	case 0:
		next.Phase = callback.Phase(rapid.IntRange(2, 5).Draw(t, "phase"))
		next.FinishedAt, next.KeepUntil = now, anyMoment(t)
	case 1:
		next.ExpiresAt, next.KeepUntil = anyMoment(t), anyMoment(t)
	case 2:
		next.Ack, next.Job, next.Delivery = anyResponse(t, "ack"), nil, nil
		if rapid.Bool().Draw(t, "has work") {
			next.Job = &callback.Job{NextAt: anyMoment(t)}
			next.Delivery = &callback.Delivery{Total: 1, NextAt: anyMoment(t)}
		}
	default:
		next.Call, next.Reply, next.Failure = anyCall(t, "call"), anyReply(t), anyFailure(t)
	}
	next.Reason = anyText().Draw(t, "reason")
	return &next
}

func (m *machine) update(t *rapid.T) {
	r, key := m.pick(t)
	next := m.change(t, r)
	got, c, err := m.store.Update(m.Context(), key, func(seen *callback.Record) (store.Change, error) {
		if encoded(t, seen) != encoded(t, r) {
			return store.Change{}, fmt.Errorf("decide was shown %s, the newest is %s", brief(seen), brief(r))
		}
		return store.Change{Next: next}, nil
	})
	if err != nil {
		t.Fatalf("updating: %v", err)
	}
	m.same(t, got, next)
	m.model[r.ID] = next
	m.pending = append(m.pending, c)
}

func (m *machine) refuse(t *rapid.T) {
	r, key := m.pick(t)
	refusal := errors.New("no")
	change := store.Change{Next: m.change(t, r), Delete: rapid.Bool().Draw(t, "delete")}
	if _, _, err := m.store.Update(m.Context(), key, func(*callback.Record) (store.Change, error) { return change, refusal }); err != refusal {
		t.Fatalf("decide's error became %v", err)
	}
}

func (m *machine) changeNothing(t *rapid.T) {
	r, key := m.pick(t)
	got, c, err := m.store.Update(m.Context(), key, nothing)
	if err != nil {
		t.Fatalf("updating: %v", err)
	}
	m.same(t, got, r)
	m.pending = append(m.pending, c)
}

func (m *machine) delete(t *rapid.T) {
	r, key := m.pick(t)
	got, c, err := m.store.Update(m.Context(), key, remove)
	if err != nil || got != nil {
		t.Fatalf("deleting returned a record: %v, %v", got != nil, err)
	}
	delete(m.model, r.ID)
	m.alive = slices.DeleteFunc(m.alive, func(id callback.UUID) bool { return id == r.ID })
	m.deleted = append(m.deleted, r.ID)
	m.pending = append(m.pending, c)
}

func (m *machine) find(t *rapid.T) {
	r, key := m.pick(t)
	got, c, err := m.store.Find(m.Context(), key)
	if err != nil {
		t.Fatalf("finding by key %d: %v", key.Kind, err)
	}
	m.same(t, got, r)
	m.pending = append(m.pending, c)
}

func (m *machine) findDeleted(t *rapid.T) {
	if len(m.deleted) == 0 {
		t.Skip("nothing is deleted")
	}
	for _, key := range m.keysOf(rapid.SampledFrom(m.deleted).Draw(t, "id")) {
		if _, _, err := m.store.Find(m.Context(), key); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("finding a deleted callback by key %d: %v", key.Kind, err)
		}
	}
}

func (m *machine) due(t *rapid.T) {
	m.settle(t)
	until, limit := anyMoment(t), rapid.IntRange(1, 8).Draw(t, "limit")
	got, err := m.store.Due(m.Context(), until, limit)
	if err != nil {
		t.Fatalf("listing what is due: %v", err)
	}
	var want []callback.Time
	for _, r := range m.model {
		if r.Due() <= until {
			want = append(want, r.Due())
		}
	}
	slices.Sort(want)
	want = want[:min(limit, len(want))]
	// Callbacks that are due at the same moment may come in any order.
	moments := make([]callback.Time, len(got))
	for i, id := range got {
		r := m.model[id]
		if r == nil || slices.Contains(got[:i], id) {
			t.Fatalf("number %d that is due is deleted, or was listed already", i)
		}
		moments[i] = r.Due()
	}
	if !slices.Equal(moments, want) {
		t.Fatalf("due until %d are %v, want %v", until, moments, want)
	}
}

func (m *machine) waiting(*rapid.T) {
	want := 0
	for _, r := range m.model {
		if r.Phase == callback.Waiting {
			want++
		}
	}
	m.wantWaiting("at some time", want)
}

func (m *machine) reopen(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "often") > 0 {
		t.Skip("opening takes long")
	}
	m.house.reopen()
	m.settle(t)
	for id, r := range m.model {
		for _, key := range m.keysOf(id) {
			m.wantRecord("after reopening", key, r)
		}
	}
}

// settle waits until everything is committed.
func (m *machine) settle(*rapid.T) {
	for _, c := range m.pending {
		m.wait(c)
	}
	m.pending = nil
}

func (m *machine) same(t *rapid.T, got, want *callback.Record) {
	t.Helper()
	if encoded(t, got) != encoded(t, want) {
		t.Fatalf("got  %s\n\twant %s", brief(got), brief(want))
	}
}

// brief describes a record by what is the same in every run: rapid shortens a
// sequence that failed only if it fails with the same message.
func brief(r *callback.Record) string {
	return fmt.Sprintf("%s %q, due %d, reason %q, call %+v, ack %+v, reply %+v", r.Phase, r.Name, r.Due(), r.Reason, r.Call, r.Ack, r.Reply)
}

func (m *machine) leaveNothing(t *rapid.T) {
	for id := range m.model {
		_, c, err := m.store.Update(m.Context(), store.ByID(id), remove)
		if err != nil {
			t.Fatalf("deleting at the end: %v", err)
		}
		m.pending = append(m.pending, c)
	}
	m.settle(t)
	if ids, err := m.store.Due(m.Context(), now.Add(1<<60), 10); err != nil || len(ids) > 0 {
		t.Fatalf("in an empty store %d are due, %v", len(ids), err)
	}
	if all := m.listAll(store.Query{}); len(all) > 0 {
		t.Fatalf("an empty store lists %d callbacks", len(all))
	}
}
