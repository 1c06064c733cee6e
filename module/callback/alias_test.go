package callback_test

import (
	"slices"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestAliasesDoNotMeet(t *testing.T) {
	seen := make(map[callback.Digest]int)
	for i, d := range []callback.Digest{
		callback.IdempotencyAlias("", ""), callback.IdempotencyAlias("a", ""), callback.IdempotencyAlias("", "a"), callback.IdempotencyAlias("a", "b"),
		callback.IdempotencyAlias("ab", ""), callback.IdempotencyAlias("", "ab"), callback.IdempotencyAlias("b", "a"),
		callback.CorrelationAlias("", ""), callback.CorrelationAlias("a", ""), callback.CorrelationAlias("", "a"), callback.CorrelationAlias("a", "b"),
		callback.CorrelationAlias("ab", ""), callback.CorrelationAlias("", "ab"), callback.CorrelationAlias("b", "a"),
	} {
		if first, again := seen[d]; again || d.IsZero() {
			t.Errorf("aliases %d and %d are the same", first, i)
		}
		seen[d] = i
	}
}

func TestFingerprintIsOfMethodURITypeAndBody(t *testing.T) {
	seen := make(map[callback.Digest]int)
	for i, d := range []callback.Digest{
		callback.Fingerprint("POST", "/a", "t", nil), callback.Fingerprint("PUT", "/a", "t", nil), callback.Fingerprint("POST", "/b", "t", nil),
		callback.Fingerprint("POST", "/a", "u", nil), callback.Fingerprint("POST", "/a", "t", []byte("x")), callback.Fingerprint("POST", "/a", "tx", nil),
		callback.Fingerprint("POST", "/at", "", nil), callback.Fingerprint("POST/a", "", "t", nil),
	} {
		if first, again := seen[d]; again {
			t.Errorf("fingerprints %d and %d are the same", first, i)
		}
		seen[d] = i
	}
	if callback.Fingerprint("POST", "/a", "t", nil) != callback.Fingerprint("POST", "/a", "t", []byte{}) {
		t.Error("no body and an empty one differ")
	}
}

// idempotency is the alias of a request with an Idempotency-Key.
var idempotency = callback.IdempotencyAlias("client", "key")

func keyed(p *callback.Policy, alias callback.Digest) *callback.Record {
	return callback.New(&secret, p, callback.Spec{CorrelationID: correlation, ExpiresIn: lifetime, Idempotency: alias, Fingerprint: callback.Digest{7}}, born)
}

func TestCallbackHasAnAliasForEachKeyAndForItsRequest(t *testing.T) {
	a, b := callback.CorrelationAlias("a", correlation), callback.CorrelationAlias("b", correlation)
	for name, c := range map[string]struct {
		keys  []string
		alias callback.Digest
		want  []callback.Digest
	}{
		"none":    {nil, callback.Digest{}, nil},
		"keys":    {[]string{"a", "b"}, callback.Digest{}, []callback.Digest{a, b}},
		"request": {nil, idempotency, []callback.Digest{idempotency}},
		"both":    {[]string{"a", "b"}, idempotency, []callback.Digest{a, b, idempotency}},
	} {
		r := keyed(compiled(t, callback.Policy{Keys: c.keys}), c.alias)
		if !slices.Equal(r.Aliases, c.want) || r.Fingerprint != (callback.Digest{7}) {
			t.Errorf("%s: got %x", name, r.Aliases)
		}
	}
}

func TestAliasOfACorrelationIDThatWasMadeLeadsToIt(t *testing.T) {
	p := compiled(t, callback.Policy{Keys: []string{"a"}})
	r := callback.New(&secret, p, callback.Spec{ExpiresIn: lifetime}, born)
	if !slices.Equal(r.Aliases, []callback.Digest{callback.CorrelationAlias("a", r.CorrelationID)}) {
		t.Errorf("got %x", r.Aliases)
	}
}

func TestAnotherCorrelationIDHasOtherAliases(t *testing.T) {
	for name, c := range map[string]struct {
		keys  []string
		alias callback.Digest
	}{
		"none": {nil, callback.Digest{}}, "keys": {[]string{"a", "b"}, callback.Digest{}}, "request": {nil, idempotency}, "both": {[]string{"a", "b"}, idempotency},
	} {
		p := compiled(t, callback.Policy{Keys: c.keys})
		r := keyed(p, c.alias)
		before := contents(t, r)
		next, yes := r.Correlate(p, "order-1")
		if !yes || next.CorrelationID != "order-1" || next.Phase != callback.Waiting || contents(t, r) != before {
			t.Fatalf("%s: got %s", name, contents(t, next))
		}
		fresh := callback.New(&secret, p, callback.Spec{CorrelationID: "order-1", ExpiresIn: lifetime, Idempotency: c.alias}, born)
		if !slices.Equal(next.Aliases, fresh.Aliases) {
			t.Errorf("%s: got %x, want %x", name, next.Aliases, fresh.Aliases)
		}
		back, yes := next.Correlate(p, correlation)
		if !yes || contents(t, back) != before {
			t.Errorf("%s: and back it is %s", name, contents(t, back))
		}
	}
}

func TestCorrelationIDThatIsTheSameOrComesTooLateChangesNothing(t *testing.T) {
	p := compiled(t, callback.Policy{})
	for _, r := range []*callback.Record{accept(t, waiting(p), p, newCall("POST", "")), expired(t, p), closed(t, p)} {
		if next, yes := r.Correlate(p, "order-1"); yes || next != nil {
			t.Errorf("%s: got %s", r.Phase, contents(t, next))
		}
	}
	if next, yes := waiting(p).Correlate(p, correlation); yes || next != nil {
		t.Errorf("got %s", contents(t, next))
	}
}

func TestCallsAreJudgedByTheNewCorrelationID(t *testing.T) {
	p := compiled(t, callback.Policy{})
	r, _ := waiting(p).Correlate(p, "order-1")
	if v := receive(r, p, newCall("POST", "", correlationHeader, correlation), born); v.Kind != callback.Refused {
		t.Errorf("with the old one: %+v", v)
	}
	next := accept(t, r, p, newCall("POST", "", correlationHeader, "order-1"))
	if got := next.Result(p).Header.Get(correlationHeader); got != "order-1" {
		t.Errorf("the result has %q", got)
	}
}
