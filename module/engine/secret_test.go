package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

func TestRotationOfTheSecretChangesNoURL(t *testing.T) {
	disk := storetest.NewMemory()
	b := newBedOn(t, disk.Open(), plenty, callback.Policy{OwnKey: true, Multiple: true})
	before := b.create(t)
	old := *b.store.Secret()
	disk.SetSecrets(callback.NewSecrets(callback.NewSecret(), old))
	found := b.find(t, before.ID)
	if found.URL() != before.URL() || found.StatusURL() != before.StatusURL() || found.Key() != before.Key() {
		t.Errorf("its URLs are %s and %s, and were %s and %s", found.URL(), found.StatusURL(), before.URL(), before.StatusURL())
	}
	after := b.create(t)
	if *after.Secret == old || *after.Secret != *b.store.Secret() {
		t.Error("a new callback is derived from an old secret")
	}
	for _, cb := range []*Callback{before, after} {
		in := Incoming{State: cb.State(), Call: &callback.Call{Method: "POST"}, Keys: []string{cb.Key()}}
		if v, _, err := b.Receive(t.Context(), in); err != nil || v.Kind != callback.Accepted {
			t.Errorf("the call is %v: %v", v.Kind, err)
		}
	}
}

func TestCallWhoseCallbackHasLostItsSecretIsTakenUnlessThatIsNeeded(t *testing.T) {
	for name, tc := range map[string]struct {
		policy callback.Policy
		needed bool
	}{
		"plain":                          {callback.Policy{}, false},
		"state in the query":             {callback.Policy{StateQuery: "state"}, false},
		"id in the reply":                {callback.Policy{Respond: &callback.Respond{Status: 200, Body: "{http.callback.id}"}}, false},
		"own key":                        {callback.Policy{OwnKey: true}, true},
		"status URL in the reply":        {callback.Policy{Respond: &callback.Respond{Status: 200, Body: "{http.callback.status_url}"}}, true},
		"URL in a header of the reply":   {callback.Policy{ReplyHeader: callback.Header{{Name: "Link", Value: "{http.callback.url}"}}}, true},
		"result URL in the redirect":     {callback.Policy{Redirect: &callback.Redirect{URL: "/?r={http.callback.result_url}"}}, true},
		"the app is asked":               {callback.Policy{Ask: "/ask"}, false},
		"asked, with a URL in the reply": {callback.Policy{Ask: "/ask", Respond: &callback.Respond{Status: 200, Body: "{http.callback.status_url}"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			disk := storetest.NewMemory()
			b := newBedOn(t, disk.Open(), plenty, tc.policy)
			cb := b.create(t)
			disk.SetSecrets(callback.NewSecrets(callback.NewSecret()))
			asked := 0
			in := Incoming{State: cb.State(), Parameter: tc.policy.StateQuery, Call: &callback.Call{Method: "POST"}, Keys: []string{cb.Key(), ""},
				Ask: func(context.Context, *Callback, *callback.Call, callback.Fields) *callback.Asked {
					asked++
					return &callback.Asked{}
				}}
			if tc.policy.StateQuery == "" {
				if _, _, err := b.Look(t.Context(), in); errors.Is(err, callback.ErrSecretGone) != tc.policy.OwnKey {
					t.Errorf("the look: %v", err)
				}
			}
			v, _, err := b.Receive(t.Context(), in)
			found := b.find(t, cb.ID)
			if tc.needed {
				if !errors.Is(err, callback.ErrSecretGone) || found.Phase != callback.Waiting || found.Calls != 0 || asked > 0 {
					t.Errorf("the call: %v, %v; the callback is %s, the app was asked %d times", v.Kind, err, found.Phase, asked)
				}
				return
			}
			if err != nil || v.Kind != callback.Accepted || found.Phase != callback.Resolved {
				t.Errorf("the call: %v, %v; the callback is %s", v.Kind, err, found.Phase)
			}
			if !found.SecretGone() || found.URL() != "" || found.ResultURL() != "" {
				t.Errorf("it shows %q and %q", found.URL(), found.ResultURL())
			}
			if byTicket, err := b.Find(t.Context(), store.ByTicket(cb.Secret.Ticket(cb.ID))); err != nil || byTicket.ID != cb.ID {
				t.Errorf("by its ticket: %v", err)
			}
		})
	}
}

func TestOperatorEndsACallbackThatHasLostItsSecret(t *testing.T) {
	disk := storetest.NewMemory()
	b := newBedOn(t, disk.Open(), plenty, callback.Policy{OwnKey: true})
	cb := b.create(t)
	disk.SetSecrets(callback.NewSecrets(callback.NewSecret()))
	if v, err := b.Resolve(t.Context(), cb.ID, &callback.Call{Method: "POST"}, nil); err != nil || v.Kind != callback.Accepted {
		t.Errorf("%v, %v", v.Kind, err)
	}
	other, err := b.Create(t.Context(), Spec{Policy: cb.Policy, Spec: callback.Spec{ExpiresIn: time.Hour}})
	if err != nil || other.SecretGone() {
		t.Errorf("%v", err)
	}
}
