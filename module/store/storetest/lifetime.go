package storetest

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var lifetime = []test{
	{"what was committed is there after reopening", committedSurvives},
	{"the secret is made with the store and stays", secretStays},
	{"closing commits what is on its way", closingCommits},
	{"closing a store in use loses nothing that was committed", closingInUse},
	{"a closed store says so", closedSaysSo},
	{"waiting for a commit ends with the context and leaves the write alone", waitEndsWithContext},
}

func committedSurvives(h *house) {
	want := make(map[callback.UUID]*callback.Record)
	for i := range 60 {
		r := h.newRecord()
		c := h.create(r)
		switch i % 3 {
		case 1:
			r, c = h.update(store.ByID(r.ID), h.closeFor(strconv.Itoa(i)))
		case 2:
			id := r.ID
			_, c = h.update(store.ByID(id), remove)
			h.wait(c)
			h.wantNotFound("after deleting", h.keysOf(id)...)
			continue
		}
		h.wait(c)
		want[r.ID] = r
	}
	for _, when := range []string{"after reopening", "after reopening again"} {
		h.reopen()
		if err := h.store.Ready(); err != nil {
			h.Fatalf("%s: %v", when, err)
		}
		for id, r := range want {
			for _, key := range h.keysOf(id) {
				h.wantRecord(when, key, r)
			}
		}
		h.wantWaiting(when, 20)
	}
}

func secretStays(h *house) {
	before, id := *h.store.Secret(), h.store.ID()
	h.reopen()
	if *h.store.Secret() != before || before == (callback.Secret{}) {
		h.Error("the secret is different after reopening")
	}
	if h.store.ID() != id || id == "" {
		h.Errorf("the id was %q, and is %q after reopening", id, h.store.ID())
	}
	other := newHouse(h.T, h.open)
	if *other.store.Secret() == before || other.store.ID() == id {
		h.Error("two stores have the same secret or the same id")
	}
}

func closingCommits(h *house) {
	var records []*callback.Record
	var commits []store.Commit
	for i := range 100 {
		r := h.newRecord()
		commits = append(commits, h.create(r))
		if i%2 == 1 {
			var c store.Commit
			r, c = h.update(store.ByID(r.ID), h.closeFor("test"))
			commits = append(commits, c)
		}
		records = append(records, r)
	}
	h.close()
	for _, c := range commits {
		if !isDone(c) {
			h.Fatal("the store is closed, and a commit is neither done nor failed")
		}
		h.wait(c)
	}
	h.store = h.open(h.T, h.dir)
	for _, r := range records {
		h.wantRecord("after reopening", store.ByID(r.ID), r)
	}
	h.wantWaiting("after reopening", 50)
}

// closingInUse closes the store while many write to it.
func closingInUse(h *house) {
	const writers, enough = 8, 40
	var mu sync.Mutex
	acknowledged := make(map[callback.UUID]*callback.Record)
	busy := make(chan struct{})
	var once sync.Once
	var done sync.WaitGroup
	s := h.store
	for range writers {
		done.Go(func() {
			defer once.Do(func() { close(busy) })
			for {
				r, err := h.createAndClose(s)
				if errors.Is(err, store.ErrClosed) {
					return
				}
				if err != nil {
					h.Errorf("writing while the store is being closed: %v", err)
					return
				}
				mu.Lock()
				if acknowledged[r.ID] = r; len(acknowledged) == enough {
					once.Do(func() { close(busy) })
				}
				mu.Unlock()
			}
		})
	}
	<-busy
	h.close()
	done.Wait()
	h.store = h.open(h.T, h.dir)
	for id, r := range acknowledged {
		h.wantRecord("after reopening", store.ByID(id), r)
	}
}

// createAndClose creates and closes a callback and returns its record once it
// is committed.
func (h *house) createAndClose(s store.Store) (*callback.Record, error) {
	r := callback.New(s.Secret(), h.policy, callback.Spec{ExpiresIn: 1}, now)
	if _, err := s.Create(h.Context(), r); err != nil {
		return nil, err
	}
	r, c, err := s.Update(h.Context(), store.ByID(r.ID), h.closeFor("test"))
	if err != nil {
		return nil, err
	}
	return r, store.Wait(h.Context(), c)
}

func closedSaysSo(h *house) {
	r, body := h.created(), h.putBody(patterned(70<<10))
	if err := h.store.PutPolicy(h.Context(), h.policy); err != nil {
		h.Fatal(err)
	}
	other := compiled(h.T, callback.Policy{BaseURL: "https://other.example.com"})
	secret := *h.store.Secret()
	s := h.store
	h.close()
	ctx := h.Context()
	for name, call := range map[string]func() error{
		"Create": func() error {
			_, err := s.Create(ctx, callback.New(&secret, h.policy, callback.Spec{ExpiresIn: 1}, now))
			return err
		},
		"Find by id":           func() error { _, _, err := s.Find(ctx, store.ByID(r.ID)); return err },
		"Find by state":        func() error { _, _, err := s.Find(ctx, store.ByState(secret.State(r.ID))); return err },
		"Find an unknown":      func() error { _, _, err := s.Find(ctx, store.ByID(callback.NewUUID())); return err },
		"Update":               func() error { _, _, err := s.Update(ctx, store.ByID(r.ID), h.closeFor("late")); return err },
		"Update to nothing":    func() error { _, _, err := s.Update(ctx, store.ByID(r.ID), nothing); return err },
		"Update by ticket":     func() error { _, _, err := s.Update(ctx, store.ByTicket(secret.Ticket(r.ID)), remove); return err },
		"PutPolicy":            func() error { return s.PutPolicy(ctx, other) },
		"PutPolicy, known one": func() error { return s.PutPolicy(ctx, h.policy) },
		"Policy":               func() error { _, err := s.Policy(ctx, h.policy.Hash()); return err },
		"Policy, unknown":      func() error { _, err := s.Policy(ctx, other.Hash()); return err },
		"PutBody":              func() error { _, err := s.PutBody(ctx, patterned(70<<10)); return err },
		"NewBody":              func() error { _, err := s.NewBody(ctx); return err },
		"OpenBody":             func() error { _, err := s.OpenBody(ctx, stripped(body), h.space()); return err },
		"Due":                  func() error { _, err := s.Due(ctx, now.Add(1<<50), 10); return err },
		"List":                 func() error { _, _, err := s.List(ctx, store.Query{}); return err },
		"Ready":                s.Ready,
	} {
		if err := call(); !errors.Is(err, store.ErrClosed) {
			h.Errorf("%s: %v", name, err)
		}
	}
	s.DropBody(ctx, stripped(body))
	s.Secret()
	s.Changes()
	s.Waiting()
	if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
		h.Errorf("closing again: %v", err)
	}
}

func waitEndsWithContext(h *house) {
	over, cancel := context.WithCancel(h.Context())
	cancel()
	for range 20 {
		r := h.newRecord()
		c := h.create(r)
		if err := store.Wait(over, c); err != nil && !errors.Is(err, context.Canceled) {
			h.Fatal(err)
		}
		h.wait(c)
		if !isDone(c) || c.Err() != nil {
			h.Fatalf("done is %v, the error %v", isDone(c), c.Err())
		}
		h.wantRecord("after all", store.ByID(r.ID), r)
	}
}
