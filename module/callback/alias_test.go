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
		callback.AckAlias("", ""), callback.AckAlias("a", ""), callback.AckAlias("", "a"), callback.AckAlias("a", "b"),
		callback.AckAlias("ab", ""), callback.AckAlias("", "ab"), callback.AckAlias("b", "a"),
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

func TestCorrelationIDOfAnAckHasAliasesOfItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		keys  []string
		alias callback.Digest
	}{
		"none": {nil, callback.Digest{}}, "keys": {[]string{"a", "b"}, callback.Digest{}}, "request": {nil, idempotency}, "both": {[]string{"a", "b"}, idempotency},
	} {
		p := compiled(t, callback.Policy{Keys: c.keys})
		r := keyed(p, c.alias)
		for _, id := range []string{"order-1", "order-2"} {
			next, yes := r.Correlate(p, id, born)
			if !yes || next.CorrelationID != id || next.Phase != callback.Waiting {
				t.Fatalf("%s: got %s", name, contents(t, next))
			}
			var want []callback.Digest
			for _, key := range c.keys {
				want = append(want, callback.AckAlias(key, id))
			}
			if !c.alias.IsZero() {
				want = append(want, c.alias)
			}
			if !slices.Equal(next.Aliases, want) {
				t.Errorf("%s: got %x, want %x", name, next.Aliases, want)
			}
			if again, yes := next.Correlate(p, id, born); yes || again != nil {
				t.Errorf("%s: the same ack again changes it to %s", name, contents(t, again))
			}
			r = next
		}
	}
}

// The partner's ack is what counts, also where it repeats the id that it was sent.
func TestCorrelationIDThatAnAckRepeatsIsOneOfAnAck(t *testing.T) {
	p := compiled(t, callback.Policy{Keys: []string{"a"}})
	r := keyed(p, idempotency)
	next, yes := r.Correlate(p, correlation, born)
	if want := []callback.Digest{callback.AckAlias("a", correlation), idempotency}; !yes || !slices.Equal(next.Aliases, want) {
		t.Errorf("got %s", contents(t, next))
	}
}

func TestCorrelationIsLookedForByEachKeyAndSpelling(t *testing.T) {
	const id, capitals = "0b9f9a4e-1d2c-4c8e-9a36-6a1c5a0f7d11", "0B9F9A4E-1D2C-4C8E-9A36-6A1C5A0F7D11"
	var want []callback.Correlation
	for _, spelling := range []string{capitals, id} {
		for _, key := range []string{"a", "b"} {
			want = append(want, callback.Correlation{ByAck: callback.AckAlias(key, spelling), ByRequest: callback.CorrelationAlias(key, spelling)})
		}
	}
	if got := callback.Correlations([]string{"a", "b"}, capitals); !slices.Equal(got, want) {
		t.Errorf("got %x", got)
	}
	if got := callback.Correlations(nil, id); got != nil {
		t.Errorf("without a key: %x", got)
	}
}

func TestCorrelationIDThatIsTheSameOrComesTooLateChangesNothing(t *testing.T) {
	p := compiled(t, callback.Policy{})
	for _, r := range []*callback.Record{accept(t, waiting(p), p, newCall("POST", "")), expired(t, p), closed(t, p)} {
		if next, yes := r.Correlate(p, "order-1", born); yes || next != nil {
			t.Errorf("%s: got %s", r.Phase, contents(t, next))
		}
	}
	if next, yes := waiting(p).Correlate(p, correlation, born); yes || next != nil {
		t.Errorf("got %s", contents(t, next))
	}
}

func TestCallsAreJudgedByTheNewCorrelationID(t *testing.T) {
	p := compiled(t, callback.Policy{})
	r, _ := waiting(p).Correlate(p, "order-1", born)
	if v := receive(r, p, newCall("POST", "", correlationHeader, correlation), born); v.Kind != callback.Refused {
		t.Errorf("with the old one: %+v", v)
	}
	next := accept(t, r, p, newCall("POST", "", correlationHeader, "order-1"))
	if got := next.Result(p).Header.Get(correlationHeader); got != "order-1" {
		t.Errorf("the result has %q", got)
	}
}
