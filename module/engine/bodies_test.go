package engine

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// large is a body that does not fit into a record.
var large = strings.Repeat("x", inlineBody+1)

func largeResponse() *callback.Response {
	return &callback.Response{Status: 200, Body: callback.NewBody([]byte(large))}
}

// send makes a call with a large body and these header lines.
func (b *bed) send(t *testing.T, cb *Callback, ask Ask, lines ...callback.Field) callback.Kind {
	t.Helper()
	v, _, err := b.Receive(t.Context(), Incoming{
		State: b.store.Secret().State(cb.ID), Parameter: b.policy.StateQuery, Ask: ask,
		Call: &callback.Call{Method: "POST", Header: lines, Body: callback.NewBody([]byte(large))},
	})
	if err != nil {
		t.Fatal(err)
	}
	return v.Kind
}

// wantPuts checks how many bodies were stored since the beginning. What newBed checks in
// the end is that of those only the ones are left that a callback refers to.
func (b *bed) wantPuts(t *testing.T, when string, n int64) {
	t.Helper()
	if got := b.store.puts.Load(); got != n {
		t.Errorf("%s: %d bodies were stored, want %d", when, got, n)
	}
}

func TestBodyOfACallThatIsNotKeptIsNotStored(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	status := callback.Field{Name: b.policy.Wire().Status, Value: "nonsense"}
	cb := b.create(t)
	if kind := b.send(t, cb, nil, status); kind != callback.Refused {
		t.Errorf("kind %d", kind)
	}
	b.wantPuts(t, "refused", 0)
	if kind := b.send(t, cb, nil); kind != callback.Accepted {
		t.Errorf("kind %d", kind)
	}
	b.wantPuts(t, "accepted", 1)
	if kind := b.send(t, cb, nil); kind != callback.Repeated {
		t.Errorf("kind %d", kind)
	}
	if kind := b.call(t, cb, large+"y").Kind; kind != callback.Conflict {
		t.Errorf("kind %d", kind)
	}
	closed := b.create(t)
	if _, err := b.CloseCallback(t.Context(), store.ByID(closed.ID), "test", ""); err != nil {
		t.Fatal(err)
	}
	late := b.create(t)
	b.pass(2 * time.Minute)
	for name, cb := range map[string]*Callback{"closed": closed, "expired": late} {
		if kind := b.send(t, cb, nil); kind != callback.Gone {
			t.Errorf("%s: kind %d", name, kind)
		}
	}
	stranger := *cb
	record := *cb.Record
	record.ID = callback.NewUUID()
	stranger.Record = &record
	if _, err := b.tryCall(t.Context(), &stranger, large); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	b.wantPuts(t, "in the end", 1)
}

func TestBodyOfACallThatEndsItsCallbackAsRefusedIsNotStored(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{Once: true})
	cb := b.create(t)
	if kind := b.send(t, cb, nil, callback.Field{Name: b.policy.Wire().Status, Value: "nonsense"}); kind != callback.Refused {
		t.Errorf("kind %d", kind)
	}
	if r := b.find(t, cb.ID); r.Phase != callback.Failed {
		t.Errorf("the callback is %s", r.Phase)
	}
	b.wantPuts(t, "refused", 0)
}

func TestBodyOfACallThatTheAppRefusesIsNotStored(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{Ask: "/decide"})
	cb := b.create(t)
	says := &callback.Asked{Fault: callback.Fault{Slug: "refused", Status: 403}}
	ask := func(context.Context, *Callback, *callback.Call, callback.Fields) *callback.Asked { return says }
	if kind := b.send(t, cb, ask); kind != callback.Refused {
		t.Errorf("kind %d", kind)
	}
	b.wantPuts(t, "refused", 0)
	says = &callback.Asked{}
	if kind := b.send(t, cb, ask); kind != callback.Accepted {
		t.Errorf("kind %d", kind)
	}
	b.wantPuts(t, "accepted", 1)
	if r := b.find(t, cb.ID); r.Call.Body.File == "" || r.Call.Body.Size != int64(len(large)) {
		t.Errorf("the body is %q, %d bytes", r.Call.Body.File, r.Call.Body.Size)
	}
}

func TestBodyThatReplacesAnotherLeavesOne(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{Multiple: true, Progress: []callback.Match{{Location: inject.Location{In: inject.Header, Name: "X-Step"}, Values: []string{"1"}}}})
	cb := b.create(t)
	for range 3 {
		if kind := b.send(t, cb, nil, callback.Field{Name: "X-Step", Value: "1"}); kind != callback.Progressed {
			t.Errorf("kind %d", kind)
		}
		if kind := b.send(t, cb, nil); kind != callback.Accepted {
			t.Errorf("kind %d", kind)
		}
	}
	b.wantPuts(t, "in the end", 6)
}

func TestOfManyCallersWithLargeBodiesOneLeavesItsBody(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	for range 10 {
		cb := b.create(t)
		var done sync.WaitGroup
		for i := range 16 {
			done.Go(func() {
				if _, err := b.tryCall(context.Background(), cb, large+strconv.Itoa(i)); err != nil {
					t.Error(err)
				}
			})
		}
		done.Wait()
		if r := b.find(t, cb.ID); r.Call == nil || r.Call.Body.File == "" {
			t.Fatalf("the callback has the call %+v", r.Call)
		}
	}
}

func TestBodyOfACallThatTheStoreRefusesGoes(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	b.store.full.Store(true)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	for _, ctx := range []context.Context{t.Context(), ctx} {
		if _, err := b.tryCall(ctx, cb, large); !errors.Is(err, store.ErrFull) {
			t.Errorf("got %v", err)
		}
	}
	b.wantPuts(t, "refused", 2)
	b.store.full.Store(false)
	if kind := b.send(t, cb, nil); kind != callback.Accepted {
		t.Errorf("with room again: kind %d", kind)
	}
}

// request describes a callback with a large request and work to do.
func (b *bed) request(alias callback.Digest) Spec {
	return Spec{Policy: b.policy, Spec: callback.Spec{
		ExpiresIn: time.Minute, Block: callback.ThenBlock, Idempotency: alias,
		Request: &callback.Request{Method: "POST", Body: callback.NewBody([]byte(large))},
	}}
}

func TestBodyOfARequestThatIsNotTakenIsNotStored(t *testing.T) {
	b := newBed(t, Limits{MaxMemory: 64 << 20, MaxWaiting: 9, MaxHeld: 9}, callback.Policy{})
	b.store.full.Store(true)
	if _, err := b.Create(t.Context(), b.request(callback.Digest{})); !errors.Is(err, store.ErrFull) {
		t.Errorf("without room: %v", err)
	}
	b.wantPuts(t, "without room", 0)
	b.store.full.Store(false)
	if _, err := b.Create(t.Context(), b.request(callback.Digest{1})); err != nil {
		t.Fatal(err)
	}
	b.wantPuts(t, "taken", 1)
	for range 3 {
		if _, err := b.Create(t.Context(), b.request(callback.Digest{1})); !errors.Is(err, store.ErrExists) {
			t.Errorf("again: %v", err)
		}
	}
	b.wantPuts(t, "again", 1)
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			if _, err := b.Create(context.Background(), b.request(callback.Digest{2})); err != nil && !errors.Is(err, store.ErrExists) {
				t.Error(err)
			}
		})
	}
	done.Wait()
}

func TestBodyOfAResponseThatIsNotKeptGoes(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{AckIsResult: true})
	cb := b.create(t)
	key := store.ByID(cb.ID)
	for range 2 {
		if err := b.Acknowledge(t.Context(), key, largeResponse()); err != nil {
			t.Error(err)
		}
	}
	// A callback that waits has no conclusion.
	if err := b.Conclude(t.Context(), cb.ID, largeResponse()); err != nil {
		t.Error(err)
	}
	if _, err := b.Withdraw(t.Context(), cb.ID, "test", true); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Conclude(t.Context(), cb.ID, largeResponse()); err != nil {
			t.Error(err)
		}
	}
	if err := b.Conclude(t.Context(), callback.NewUUID(), largeResponse()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	if r := b.find(t, cb.ID); len(r.Bodies()) != 2 || r.Ack.Body.File == "" || r.Answer.Body.File == "" {
		t.Errorf("got %+v and %+v", r.Ack, r.Answer)
	}
}

func TestBodyOfAnAttemptThatCountsNoMoreGoes(t *testing.T) {
	for name, meanwhile := range map[string]func(b *bed, id callback.UUID){
		"closed": func(b *bed, id callback.UUID) {
			_, _ = b.CloseCallback(context.Background(), store.ByID(id), "test", "")
		},
		"full":  func(b *bed, _ callback.UUID) { b.store.full.Store(true) },
		"retry": func(*bed, callback.UUID) {},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, plenty, callback.Policy{})
			cb, err := b.Create(t.Context(), b.request(callback.Digest{}))
			if err != nil {
				t.Fatal(err)
			}
			kind := callback.AttemptAnswered
			if name == "retry" {
				kind = callback.AttemptRetry
			}
			b.work(t.Context(), hand{attempt: func() callback.Attempt {
				meanwhile(b, cb.ID)
				return callback.Attempt{Kind: kind, Response: largeResponse()}
			}}, cb.ID)
			if r := b.find(t, cb.ID); r.Answer != nil {
				t.Errorf("the answer is %+v", r.Answer)
			}
			b.wantPuts(t, "after the attempt", 2)
		})
	}
}
