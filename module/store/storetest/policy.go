package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var policies = []test{
	{"a policy is found by its hash, compiled", policyIsFound},
	{"a policy can be stored many times, by many at once", policyIsStoredOften},
	{"policies that no callback needs are forgotten when the store is opened", policiesAreForgotten},
	{"a policy that is in use is not forgotten", policyInUseStays},
}

func policyIsFound(h *house) {
	p := compiled(h.T, callback.Policy{
		BaseURL: "https://app.example.com", HeaderPrefix: "X-Acme-",
		Respond:  &callback.Respond{Status: 202, Body: "{http.callback.id} \xff"},
		Redirect: &callback.Redirect{URL: "/done?{http.callback.id}"},
	})
	other := compiled(h.T, callback.Policy{BaseURL: "https://other.example.com"})
	h.wantNoPolicy(p.Hash(), callback.Digest{})
	h.needed(p)
	for _, when := range []string{"after storing", "after reopening"} {
		h.wantPolicy(when, p)
		h.wantNoPolicy(other.Hash(), callback.Digest{})
		h.reopen()
	}
}

// needed stores a policy and a callback that refers to it, and waits for the commit.
func (h *house) needed(p *callback.Policy) *callback.Record {
	h.Helper()
	h.putPolicy(p)
	r := callback.New(h.store.Secret(), p, callback.Spec{ExpiresIn: time.Hour}, now)
	h.wait(h.create(r))
	return r
}

func (h *house) putPolicy(p *callback.Policy) {
	h.Helper()
	if err := h.store.PutPolicy(h.Context(), p); err != nil {
		h.Fatalf("storing a policy: %v", err)
	}
}

func policiesAreForgotten(h *house) {
	var all []*callback.Policy
	for i := range 8 {
		all = append(all, compiled(h.T, callback.Policy{BaseURL: fmt.Sprintf("https://app%d.example.com", i)}))
	}
	needed, unneeded := all[:4], all[4:]
	for _, p := range needed {
		h.needed(p)
	}
	h.putPolicy(unneeded[0])
	for _, p := range unneeded[1:] {
		// Its only callback is deleted.
		_, c := h.update(store.ByID(h.needed(p).ID), remove)
		h.wait(c)
	}
	for _, p := range all {
		h.wantPolicy("before closing", p)
	}
	h.eventually("forgetting", func() bool {
		// A policy that is looked at stays, so it is looked at after another opening.
		h.reopen()
		h.reopen()
		return !slices.ContainsFunc(unneeded, func(p *callback.Policy) bool {
			_, err := h.store.Policy(h.Context(), p.Hash())
			return !errors.Is(err, store.ErrNotFound)
		})
	})
	for _, p := range needed {
		h.wantPolicy("after forgetting the others", p)
	}
}

func policyInUseStays(h *house) {
	p := compiled(h.T, callback.Policy{BaseURL: "https://other.example.com"})
	h.putPolicy(p)
	for range 5 {
		h.reopen()
		// It may be forgotten just now, and may be used again in the same moment.
		r := h.needed(p)
		h.wantPolicy("while it is in use", p)
		h.reopen()
		h.wantPolicy("after reopening", p)
		_, c := h.update(store.ByID(r.ID), remove)
		h.wait(c)
		h.wantPolicy("after its last callback", p)
	}
}

func (h *house) wantNoPolicy(hashes ...callback.Digest) {
	h.Helper()
	for _, hash := range hashes {
		if p, err := h.store.Policy(h.Context(), hash); !errors.Is(err, store.ErrNotFound) || p != nil {
			h.Errorf("policy %x: %+v, %v", hash, p, err)
		}
	}
}

func (h *house) wantPolicy(when string, want *callback.Policy) {
	h.Helper()
	got, err := h.store.Policy(h.Context(), want.Hash())
	if err != nil {
		h.Fatalf("%s: %v", when, err)
	}
	if got.Hash() != want.Hash() || got.BaseURL != want.BaseURL || got.Wire() != want.Wire() || got.Allow() != want.Allow() {
		h.Errorf("%s: got %+v, want %+v", when, got, want)
	}
}

func policyIsStoredOften(h *house) {
	var done sync.WaitGroup
	all := make([]*callback.Policy, 4)
	for i := range all {
		all[i] = compiled(h.T, callback.Policy{BaseURL: fmt.Sprintf("https://app%d.example.com", i)})
	}
	for i := range 16 {
		done.Go(func() {
			p := *all[i%len(all)]
			if err := h.store.PutPolicy(h.Context(), &p); err != nil {
				h.Errorf("storing a policy: %v", err)
			}
			if _, err := h.store.Policy(h.Context(), p.Hash()); err != nil {
				h.Errorf("finding a policy: %v", err)
			}
		})
	}
	done.Wait()
	for _, p := range all {
		h.needed(p)
	}
	h.reopen()
	for _, p := range all {
		h.wantPolicy("after reopening", p)
	}
}
