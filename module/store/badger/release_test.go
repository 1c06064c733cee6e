package badger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// In the store of release 0.1 are callbacks of a directive "orders" and of a job
// "shipping", and those of the API, which are known by their correlation ids: "own-1" with
// a domain and a state parameter of its own, "many-1" that takes many calls and delivers
// them, "large-1" with a body in a file, "failed-1" and "closed-1".

// release is an opened store of release 0.1.
type release struct {
	*testing.T
	s *Store
	// byName has its callbacks by their names, or else by their correlation ids.
	byName map[string]*callback.Record
}

func openFirstRelease(t *testing.T) *release {
	t.Helper()
	r := &release{T: t, s: openForTest(t, firstRelease(t)), byName: make(map[string]*callback.Record)}
	all, _, err := r.s.List(t.Context(), store.Query{})
	if err != nil || len(all) != 7 {
		t.Fatalf("there are %d callbacks: %v", len(all), err)
	}
	for _, record := range all {
		name := record.Name
		if name == "" {
			name = record.CorrelationID
		}
		r.byName[name] = record
	}
	return r
}

func (r *release) policy(record *callback.Record) *callback.Policy {
	r.Helper()
	p, err := r.s.Policy(r.Context(), record.Policy)
	if err == nil {
		err = p.CanJudge()
	}
	if err != nil {
		r.Fatal(err)
	}
	return p
}

// change changes a callback, waits for the commit, and returns the record as it is stored.
func (r *release) change(key store.Key, next func(record *callback.Record, p *callback.Policy) *callback.Record) *callback.Record {
	r.Helper()
	changed, commit, err := r.s.Update(r.Context(), key, func(record *callback.Record) (store.Change, error) {
		return store.Change{Next: next(record, r.policy(record))}, nil
	})
	if err == nil {
		err = store.Wait(r.Context(), commit)
	}
	if err != nil {
		r.Fatal(err)
	}
	stored, err := r.s.read(changed.ID)
	if err != nil {
		r.Fatal(err)
	}
	return stored
}

// call makes a call to the callback with that key.
func (r *release) call(key store.Key, body string, keys ...string) *callback.Record {
	r.Helper()
	return r.change(key, func(record *callback.Record, p *callback.Policy) *callback.Record {
		c := &callback.Call{Method: "POST", Body: callback.NewBody([]byte(body)), ReceivedAt: record.CreatedAt + 1000, Caller: callback.Caller{Names: keys}}
		v := record.Receive(p, c, callback.Issued{Record: record, Policy: p, Secret: r.s.Secret()}.Lookup(c, nil), record.CreatedAt+1000)
		if v.Kind != callback.Accepted {
			r.Errorf("the call is answered by %d, %+v", v.Kind, v.Fault)
		}
		return v.Next
	})
}

func (r *release) issued(name string) callback.Issued {
	r.Helper()
	return callback.Issued{Record: r.byName[name], Policy: r.policy(r.byName[name]), Secret: r.s.Secret()}
}

func TestCallbacksOfTheFirstReleaseAreInTheirPhases(t *testing.T) {
	r := openFirstRelease(t)
	for name, phase := range map[string]callback.Phase{
		"orders": callback.Waiting, "shipping": callback.Waiting, "own-1": callback.Waiting, "many-1": callback.Resolved,
		"large-1": callback.Resolved, "failed-1": callback.Failed, "closed-1": callback.Closed,
	} {
		record := r.byName[name]
		if record == nil || record.Phase != phase {
			t.Errorf("%s: %+v", name, record)
			continue
		}
		secret := r.s.Secret()
		for _, key := range []store.Key{store.ByState(secret.State(record.ID)), store.ByTicket(secret.Ticket(record.ID))} {
			if found, _, err := r.s.Find(t.Context(), key); err != nil || found.ID != record.ID {
				t.Errorf("%s: %v, %v", name, found, err)
			}
		}
		r.policy(record)
	}
	waitFor(t, "the count", func() bool { return r.s.Waiting() == 3 })
	page, _, err := r.s.List(t.Context(), store.Query{Name: "orders", Phase: callback.Waiting})
	if err != nil || len(page) != 1 {
		t.Errorf("%d callbacks have the name orders: %v", len(page), err)
	}
}

func TestCallbackOfTheFirstReleaseKeepsTheURLOfItsPolicy(t *testing.T) {
	r := openFirstRelease(t)
	own := r.issued("own-1")
	if want := "http://other.test/deep/cbq/state?state=" + own.State().String(); own.URL() != want || own.StateQuery(own.Policy) != "state" {
		t.Errorf("its URL is %s", own.URL())
	}
	if want := "http://callbacks.test/cbr/" + own.Secret.Ticket(own.ID).String(); own.StatusURL() != want || string(own.Own.Data) != `{"a":1}` {
		t.Errorf("its status is at %s, its data is %s", own.StatusURL(), own.Own.Data)
	}
	ended := r.call(store.ByState(own.State()), "returned")
	if ended.Phase != callback.Resolved || ended.Reply.Header.Get("Location") != "http://other.test/done" {
		t.Errorf("the call has made it %s, and is answered by %+v", ended.Phase, ended.Reply)
	}
}

func TestKeysOfTheFirstReleaseLeadToTheirCallbacks(t *testing.T) {
	r := openFirstRelease(t)
	nobody := sha256.Sum256(nil)
	orders := r.byName["orders"]
	for name, alias := range map[string]callback.Digest{
		"own-1":  callback.IdempotencyAlias("api", "api-1"),
		"orders": callback.IdempotencyAlias("app.test authorization "+hex.EncodeToString(nobody[:]), "order-7"),
	} {
		found, _, err := r.s.Find(t.Context(), store.ByAlias(alias))
		if err != nil || found.ID != r.byName[name].ID || found.Fingerprint.IsZero() {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
	}
	taken := newRecord(r.s, r.policy(orders))
	taken.Aliases = []callback.Digest{callback.IdempotencyAlias("api", "api-1")}
	if _, err := r.s.Create(t.Context(), taken); !errors.Is(err, store.ErrExists) {
		t.Errorf("a key in use can be used by another: %v", err)
	}
	if want := callback.Fingerprint("POST", "/orders", "text/plain", []byte("order")); orders.Fingerprint != want {
		t.Error("the request is not known again")
	}
	// At the fixed URL the correlation id leads to it.
	ended := r.call(store.ByAlias(callback.CorrelationAlias("erp", orders.CorrelationID)), "done", "erp")
	if ended.ID != orders.ID || ended.Phase != callback.Resolved || ended.Name != "orders" {
		t.Errorf("the call has ended %+v", ended)
	}
}

func TestWorkOfTheFirstReleaseGoesOn(t *testing.T) {
	r := openFirstRelease(t)
	shipping := r.byName["shipping"]
	later := shipping.CreatedAt.Add(48 * time.Hour)
	due, err := r.s.Due(t.Context(), later, 10)
	if err != nil || !slices.Contains(due, shipping.ID) {
		t.Errorf("due are %v, %v", due, err)
	}
	if shipping.Job.Block != callback.CallBlock || shipping.Job.Attempts != 1 || string(shipping.Request.Body.Data) != "parcel" {
		t.Errorf("the job is %+v, its request %+v", shipping.Job, shipping.Request)
	}
	acked := r.change(store.ByID(shipping.ID), func(record *callback.Record, p *callback.Policy) *callback.Record {
		next, _ := record.Attempted(p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptAcked}, later)
		return next
	})
	if acked.Phase != callback.Waiting || acked.Job != nil {
		t.Errorf("after the ack it is %+v", acked)
	}
	if ended := r.call(store.ByID(shipping.ID), "shipped"); ended.Phase != callback.Resolved || ended.Name != "shipping" {
		t.Errorf("the call has made it %s", ended.Phase)
	}

	many := r.byName["many-1"]
	for n, want := range []string{"call 0", "call 1", "call 2"} {
		sent, number, pending := many.ToDeliver()
		if !pending || string(sent.Call.Body.Data) != want {
			t.Fatalf("result %d is %+v, %t", n, sent.Call, pending)
		}
		many = r.change(store.ByID(many.ID), func(record *callback.Record, p *callback.Policy) *callback.Record {
			next, _ := record.Delivered(p, number, callback.Sent{OK: true}, later)
			return next
		})
	}
	if many.Delivery.Done != 3 || many.Delivery.Dead {
		t.Errorf("the delivery is %+v", many.Delivery)
	}
}

func TestResultsOfTheFirstReleaseAreRead(t *testing.T) {
	r := openFirstRelease(t)
	large := r.byName["large-1"]
	body, err := r.s.OpenBody(context.Background(), *large.Result(r.policy(large)).Body, somewhere())
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(body)
	if err != nil || !bytes.Equal(data, bytes.Repeat([]byte("large"), 20_000)) {
		t.Errorf("%d bytes are read: %v", len(data), err)
	}
	failed := r.byName["failed-1"]
	if result := failed.Result(r.policy(failed)); result.Status != callback.DefaultFailedStatus || result.Failure.ErrorText != "no stock" {
		t.Errorf("the failure is %+v", result)
	}
	commit, err := closeRecord(r.s, r.policy(r.byName["orders"]), r.byName["orders"].ID)
	if err == nil {
		err = store.Wait(t.Context(), commit)
	}
	if err != nil {
		t.Error(err)
	}
}

// What callbacks of release 0.1 need is there after they have ended, and is forgotten with
// the last of them.
func TestPoliciesOfTheFirstReleaseAreForgottenWithTheirCallbacks(t *testing.T) {
	dir := firstRelease(t)
	s := mustOpen(t, testOptions(t, dir))
	<-s.forgotten
	before := storedPolicies(t, s)
	all, _, err := s.List(t.Context(), store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range all {
		_, commit, err := s.Update(t.Context(), store.ByID(record.ID), func(*callback.Record) (store.Change, error) { return store.Change{Delete: true}, nil })
		if err == nil {
			err = store.Wait(t.Context(), commit)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	s = openForTest(t, dir)
	<-s.forgotten
	if n := storedPolicies(t, s); before != 5 || n != 0 {
		t.Errorf("there were %d policies, and are %d", before, n)
	}
}
