package callback_test

import (
	"math/bits"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestOwnCorrelationIDLeadsBackToItsCallback(t *testing.T) {
	other := callback.NewSecret()
	seen := make(map[callback.UUID]bool)
	for range 1000 {
		id := callback.NewUUID()
		u := secret.CorrelationID(id)
		if back, ok := callback.ParseUUID(u.String()); !ok || back != u {
			t.Fatalf("%s is no UUID", u)
		}
		if u == id || seen[u] || u == secret.State(id) || u == secret.Ticket(id) {
			t.Fatalf("%s is nothing of its own", u)
		}
		seen[u] = true
		if back := secret.CorrelatedID(u); back != id {
			t.Fatalf("%s leads to %s, want %s", u, back, id)
		}
		if other.CorrelatedID(u) == id || other.CorrelationID(id) == u {
			t.Fatal("another secret gives the same")
		}
	}
}

// Every bit of the id changes about half of the correlation id.
func TestCorrelationIDTellsNothingOfTheID(t *testing.T) {
	id := callback.NewUUID()
	u := secret.CorrelationID(id)
	for at := range 128 {
		changed := id
		changed[at/8] ^= 1 << (at % 8)
		if _, ok := callback.ParseUUID(changed.String()); !ok {
			continue
		}
		other, differ := secret.CorrelationID(changed), 0
		for i := range u {
			differ += bits.OnesCount8(u[i] ^ other[i])
		}
		if differ < 30 || differ > 92 {
			t.Errorf("bit %d of the id changes %d bits", at, differ)
		}
	}
}

func TestCallbackWithoutAGivenCorrelationIDHasItsOwn(t *testing.T) {
	p := compiled(t, callback.Policy{})
	r := callback.New(&secret, p, callback.Spec{ExpiresIn: lifetime}, born)
	if r.CorrelationID != secret.CorrelationID(r.ID).String() || !secret.OwnCorrelationID(r) {
		t.Errorf("it is %s", r.CorrelationID)
	}
	var unknown *callback.Secret
	other := callback.NewSecret()
	if unknown.OwnCorrelationID(r) || other.OwnCorrelationID(r) || secret.OwnCorrelationID(waiting(p)) {
		t.Error("it is said to be another secret's")
	}
	given := *r
	given.CorrelationID = callback.NewUUID().String()
	if secret.OwnCorrelationID(&given) {
		t.Error("one that was given is said to be its own")
	}
}

// The value was computed with another implementation of AES. Callbacks that are stored are found by
// it.
func TestCorrelationIDStaysAsItWas(t *testing.T) {
	id, _ := callback.ParseUUID(aUUID)
	if got := secret.CorrelationID(id).String(); got != "eef3ba50-b426-4cd8-aa9c-794b4181579d" {
		t.Errorf("it is %s", got)
	}
}

func BenchmarkCorrelationID(b *testing.B) {
	id := callback.NewUUID()
	b.ReportAllocs()
	for b.Loop() {
		secret.CorrelationID(id)
	}
}
