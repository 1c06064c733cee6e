package storetest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var policies = []test{
	{"a policy is found by its hash, compiled", policyIsFound},
	{"a policy can be stored many times, by many at once", policyIsStoredOften},
}

func policyIsFound(h *house) {
	p := compiled(h.T, callback.Policy{
		BaseURL: "https://app.example.com", HeaderPrefix: "X-Acme-",
		Respond:  &callback.Respond{Status: 202, Body: "{http.callback.id} \xff"},
		Redirect: &callback.Redirect{URL: "/done?{http.callback.id}"},
	})
	other := compiled(h.T, callback.Policy{BaseURL: "https://other.example.com"})
	h.wantNoPolicy(p.Hash(), callback.Digest{})
	if err := h.store.PutPolicy(h.Context(), p); err != nil {
		h.Fatal(err)
	}
	for _, when := range []string{"after storing", "after reopening"} {
		h.wantPolicy(when, p)
		h.wantNoPolicy(other.Hash(), callback.Digest{})
		h.reopen()
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
	h.reopen()
	for _, p := range all {
		h.wantPolicy("after reopening", p)
	}
}
