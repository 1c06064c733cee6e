package callback_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestNewCallbackWaitsUnderItsDerivedSecrets(t *testing.T) {
	p := compiled(t, callback.Policy{})
	r := callback.New(&secret, p, callback.Spec{Name: "orders", ExpiresIn: 90 * time.Minute}, born)
	if r.Phase != callback.Waiting || r.Policy != p.Hash() || r.Name != "orders" {
		t.Errorf("got %s", contents(t, r))
	}
	if r.State != secret.State(r.ID).Digest() || r.Ticket != secret.Ticket(r.ID).Digest() || r.State == r.Ticket {
		t.Error("state and ticket are not those of the id")
	}
	if r.CreatedAt != born || r.ExpiresAt != born.Add(90*time.Minute) || r.Due() != r.ExpiresAt {
		t.Errorf("got %s", contents(t, r))
	}
}

func TestCallbackWithoutACorrelationIDGetsOneOfItsOwn(t *testing.T) {
	p := compiled(t, callback.Policy{})
	own := callback.New(&secret, p, callback.Spec{ExpiresIn: lifetime}, born)
	if id, ok := callback.ParseUUID(own.CorrelationID); !ok || id == own.ID {
		t.Errorf("got %q", own.CorrelationID)
	}
	if given := callback.New(&secret, p, callback.Spec{CorrelationID: "order-1", ExpiresIn: lifetime}, born); given.CorrelationID != "order-1" {
		t.Errorf("got %q", given.CorrelationID)
	}
}

func TestPhasesHaveTheirWordsAndNumbers(t *testing.T) {
	words := map[callback.Phase]string{1: "waiting", 2: "resolved", 3: "failed", 4: "expired", 5: "closed", 0: "phase(0)", 6: "phase(6)"}
	for p, word := range words {
		b, err := json.Marshal(p)
		if p.String() != word || err != nil || string(b) != `"`+word+`"` {
			t.Errorf("phase %d is %s, %s, %v", uint8(p), p, b, err)
		}
		if p.Final() != (p != callback.Waiting) {
			t.Errorf("%s: final is %v", p, p.Final())
		}
	}
}

func TestTimeIsInMilliseconds(t *testing.T) {
	moment := time.Date(2026, 11, 23, 21, 58, 1, 999_999_999, time.FixedZone("CET", 3600))
	at := callback.At(moment)
	if b, err := json.Marshal(at); err != nil || string(b) != `"2026-11-23T20:58:01.999Z"` {
		t.Errorf("got %s, %v", b, err)
	}
	if !at.Time().Equal(moment.Truncate(time.Millisecond)) || at.Time().Location() != time.UTC {
		t.Errorf("got %s", at.Time())
	}
	if at.Add(time.Second) != at+1000 || at.Add(-time.Second) != at-1000 || at.Add(time.Microsecond) != at {
		t.Error("durations do not add up")
	}
}

func TestFinishedCallbackIsKeptUntilItsRetentionIsOver(t *testing.T) {
	p := compiled(t, callback.Policy{Retain: time.Minute})
	r := waiting(p)
	if r.Forgettable(born.Add(1000 * lifetime)) {
		t.Error("a callback that waits is never forgotten")
	}
	for _, r := range []*callback.Record{accept(t, r, p, newCall("POST", "")), expired(t, p), closed(t, p)} {
		end := r.FinishedAt.Add(time.Minute)
		if r.Due() != end || r.Forgettable(end-1) || !r.Forgettable(end) || !r.Forgettable(end+1) {
			t.Errorf("%s: due at %d, finished at %d", r.Phase, r.Due(), r.FinishedAt)
		}
	}
}

func TestBodiesAreThoseOfCallAndAck(t *testing.T) {
	p := compiled(t, callback.Policy{})
	r := waiting(p)
	if len(r.Bodies()) != 0 {
		t.Errorf("got %v", r.Bodies())
	}
	r = accept(t, acknowledged(t, r, ack(202)), p, newCall("POST", "paid"))
	if b := r.Bodies(); len(b) != 2 || b[0] != &r.Call.Body || b[1] != &r.Ack.Body {
		t.Errorf("got %v", b)
	}
	if r.Call.Body.Size != 4 || callback.NewBody(nil).Size != 0 {
		t.Error("a body does not know its size")
	}
}

func TestPayloadIsOfSuffixQueryWireHeadersAndBody(t *testing.T) {
	p := compiled(t, callback.Policy{})
	payload := func(suffix, query, body string, lines ...string) callback.Digest {
		c := newCall("POST", body, lines...)
		c.Suffix, c.Query = suffix, query
		return c.Payload(p)
	}
	seen := make(map[callback.Digest]int)
	for i, d := range []callback.Digest{
		payload("", "", ""), payload("a", "", ""), payload("", "a", ""), payload("", "", "a"),
		payload("ab", "", ""), payload("a", "b", ""), payload("", "ab", ""), payload("a", "", "b"),
		payload("", "", "", statusHeader, "Ok"), payload("", "", "", statusHeader, "ok"), payload("", "", "", textHeader, "Ok"),
		payload("", "", "", statusHeader, "O", statusHeader, "k"), payload("", "", "", statusHeader, "k", statusHeader, "O"),
		payload("", "", "", statusHeader, ""), payload("", "", "Ok"), payload("", "", statusHeader+"Ok"),
		payload("", "", "\x00\x00\x00\x00\x00\x00\x00\x0d"+statusHeader+"\x00\x00\x00\x00\x00\x00\x00\x02Ok"),
	} {
		if first, again := seen[d]; again {
			t.Errorf("payloads %d and %d have the same digest", first, i)
		}
		seen[d] = i
	}
	if payload("a", "b", "c", statusHeader, "Ok") != payload("a", "b", "c", "User-Agent", "x", statusHeader, "Ok", "Accept", "y") {
		t.Error("a header that is not ours counts")
	}
}
