package engine

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func TestHeldClientIsToldBeforeTheCommitAndThePartnerAfterIt(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	early, durable := b.await(t, cb, false), b.await(t, cb, true)
	defer early.Stop()
	defer durable.Stop()
	release := b.store.hold()

	replied := make(chan callback.Verdict, 1)
	go func() { replied <- b.call(t, cb, "x") }()
	if r := told(t, early); r.Phase != callback.Resolved {
		t.Errorf("the held client is told %s", r.Phase)
	}
	select {
	case <-replied:
		t.Error("the partner has its reply before the commit")
	case <-durable.C:
		t.Error("who waits for the commit is told before it")
	default:
	}
	release()
	if v := <-replied; v.Kind != callback.Accepted {
		t.Errorf("the call is %v", v.Kind)
	}
	told(t, durable)
}

func TestRepeatBeforeTheFirstCommitWaitsForIt(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	w := b.await(t, cb, false)
	defer w.Stop()
	release := b.store.hold()
	verdicts := make(chan callback.Verdict, 2)
	go func() { verdicts <- b.call(t, cb, "x") }()
	told(t, w)
	go func() { verdicts <- b.call(t, cb, "x") }()
	select {
	case v := <-verdicts:
		t.Errorf("%v was answered before the commit", v.Kind)
	case <-time.After(20 * time.Millisecond):
	}
	release()
	if a, c := (<-verdicts).Kind, (<-verdicts).Kind; a+c != callback.Accepted+callback.Repeated {
		t.Errorf("the two calls are %v and %v", a, c)
	}
}

func TestOfManyCallersOneWins(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	for range 50 {
		cb := b.create(t)
		var won, lost atomic.Int64
		var done sync.WaitGroup
		for i := range 16 {
			done.Go(func() {
				v, err := b.tryCall(context.Background(), cb, string(rune('a'+i)))
				switch {
				case err != nil:
					t.Error(err)
				case v.Kind == callback.Accepted:
					won.Add(1)
				case v.Kind == callback.Conflict:
					lost.Add(1)
				}
			})
		}
		done.Wait()
		if won.Load() != 1 || lost.Load() != 15 {
			t.Fatalf("%d won and %d lost", won.Load(), lost.Load())
		}
	}
}

func TestStateOpensOnlyTheWayItWasGivenOut(t *testing.T) {
	for name, given := range map[string]struct {
		policy callback.Policy
		own    *callback.Own
	}{
		"by its policy": {callback.Policy{StateQuery: "state"}, nil}, "by itself": {callback.Policy{}, &callback.Own{StateQuery: "state"}},
	} {
		b := newBed(t, plenty, given.policy)
		cb, err := b.Create(t.Context(), Spec{Policy: b.policy, Spec: callback.Spec{ExpiresIn: time.Minute, Own: given.own}})
		if err != nil {
			t.Fatal(err)
		}
		in := Incoming{State: b.store.Secret().State(cb.ID), Call: &callback.Call{Method: "POST"}}
		for _, parameter := range []string{"", "other"} {
			in.Parameter = parameter
			_, _, err := b.Receive(t.Context(), in)
			if _, _, admitted := b.Admit(t.Context(), in); !errors.Is(err, store.ErrNotFound) || !errors.Is(admitted, store.ErrNotFound) {
				t.Errorf("%s, called by %q: %v, %v, want ErrNotFound", name, parameter, err, admitted)
			}
		}
		in.Parameter = "state"
		if v, _, err := b.Admit(t.Context(), in); err != nil || v.Kind != callback.Accepted {
			t.Errorf("%s, admitted by state: %v, %v", name, v.Kind, err)
		}
		if v, _, err := b.Receive(t.Context(), in); err != nil || v.Kind != callback.Accepted {
			t.Errorf("%s, called by state: %v, %v", name, v.Kind, err)
		}
	}
}

func TestOwnKeyOpensItsOwnCallbackAlone(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{OwnKey: true})
	cb, other := b.create(t), b.create(t)
	if want := "https://app.example.com/cb/" + b.store.Secret().State(cb.ID).String(); cb.URL() != want+"?api_key="+cb.Key() || cb.FailedURL() != want+"/failed?api_key="+cb.Key() {
		t.Errorf("the URLs are %s and %s", cb.URL(), cb.FailedURL())
	}
	call := func(key string) callback.Kind {
		v, _, err := b.Receive(t.Context(), Incoming{
			State: b.store.Secret().State(cb.ID), Keys: []string{key},
			Call: &callback.Call{Method: "POST", Body: callback.NewBody(make([]byte, inlineBody+1))},
		})
		if err != nil {
			t.Fatal(err)
		}
		return v.Kind
	}
	for name, key := range map[string]string{"none": "", "another callback's": other.Key(), "half": cb.Key()[:20], "state": b.store.Secret().State(cb.ID).String()} {
		if kind := call(key); kind != callback.Unauthorized {
			t.Errorf("with the key %s: %v", name, kind)
		}
	}
	if kind := call(cb.Key()); kind != callback.Accepted {
		t.Errorf("with its own key: %v", kind)
	}
}

func TestCallbackHasNoKeyUnlessItIsAskedFor(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	if cb := b.create(t); cb.Key() != "" || cb.URL() != "https://app.example.com/cb/"+b.store.Secret().State(cb.ID).String() {
		t.Errorf("the key is %q, the URL %s", cb.Key(), cb.URL())
	}
}

func TestLargeBodyIsKeptOutsideTheRecord(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	w := b.await(t, cb, false)
	defer w.Stop()
	large := string(make([]byte, inlineBody+1))
	b.call(t, cb, large)
	if r := told(t, w); len(r.Call.Body.Data) != len(large) {
		t.Errorf("the held client has %d bytes at hand", len(r.Call.Body.Data))
	}
	found, err := b.Find(t.Context(), store.ByID(cb.ID))
	if err != nil || found.Call.Body.File == "" || found.Call.Body.Data != nil {
		t.Fatalf("%v, %v", found, err)
	}
	reader, err := b.Bodies(cb.ID).Open(t.Context(), found.Call.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(reader); err != nil || string(got) != large {
		t.Errorf("%d bytes come back, %v", len(got), err)
	}
	if n := b.memory.Used(); n == 0 || n > 2*store.BodyPiece {
		t.Errorf("for a body that is read from its file, %d bytes are counted", n)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
}

func TestNothingIsStoredForWhoCannotBeHeld(t *testing.T) {
	b := newBed(t, Limits{MaxMemory: 1 << 20, MaxWaiting: 10, MaxHeld: 1}, callback.Policy{})
	w := b.await(t, b.create(t), false)
	defer w.Stop()
	if _, err := b.Create(t.Context(), Spec{Policy: b.policy, Spec: callback.Spec{ExpiresIn: time.Minute}, Held: true}); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want ErrBusy", err)
	}
	if n := b.Waiting(); n != 1 {
		t.Errorf("%d callbacks wait, want 1", n)
	}
}

func TestWhoMayNotCallIsToldBeforeTheBodyIsRead(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{OwnKey: true})
	cb := b.create(t)
	for name, c := range map[string]struct {
		state  callback.UUID
		method string
		keys   []string
		kind   callback.Kind
		err    error
	}{
		"may call":      {b.store.Secret().State(cb.ID), "POST", []string{cb.Key()}, callback.Accepted, nil},
		"no key":        {b.store.Secret().State(cb.ID), "POST", nil, callback.Unauthorized, nil},
		"wrong method":  {b.store.Secret().State(cb.ID), "GET", []string{cb.Key()}, callback.WrongMethod, nil},
		"unknown state": {callback.NewUUID(), "POST", nil, 0, store.ErrNotFound},
	} {
		v, _, err := b.Admit(t.Context(), Incoming{State: c.state, Keys: c.keys, Call: &callback.Call{Method: c.method}})
		if v.Kind != c.kind || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v", name, v.Kind, err)
		}
	}
}

func TestCallThatComesTooLateIsToldBeforeItsBodyIsRead(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	closed, late, called := b.create(t), b.create(t), b.create(t)
	if _, err := b.CloseCallback(t.Context(), store.ByID(closed.ID), "test", ""); err != nil {
		t.Fatal(err)
	}
	b.call(t, called, "paid")
	w := b.await(t, late, true)
	defer w.Stop()
	b.pass(time.Minute)
	for name, c := range map[string]struct {
		id   callback.UUID
		want callback.Verdict
	}{
		"closed":  {closed.ID, callback.Verdict{Kind: callback.Gone, Closed: true}},
		"expired": {late.ID, callback.Verdict{Kind: callback.Gone}},
		"called":  {called.ID, callback.Verdict{Kind: callback.Accepted}},
	} {
		v, _, err := b.Admit(t.Context(), Incoming{State: b.store.Secret().State(c.id), Call: &callback.Call{Method: "POST"}})
		if err != nil || v.Kind != c.want.Kind || v.Closed != c.want.Closed {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	if r := told(t, w); r.Phase != callback.Expired {
		t.Errorf("the callback that was found expired is %s", r.Phase)
	}
}

func TestTimeEndsWhatIsNotCalledAndForgetsWhatIsOld(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	w := b.await(t, cb, true)
	defer w.Stop()
	b.pass(time.Minute)
	if r := told(t, w); r.Phase != callback.Expired {
		t.Fatalf("after its time it is %s", r.Phase)
	}
	if v := b.call(t, cb, "late"); v.Kind != callback.Gone || v.Closed {
		t.Errorf("a late call is %v", v.Kind)
	}
	b.pass(time.Hour)
	eventually(t, "it to be forgotten", func() bool {
		_, err := b.Find(t.Context(), store.ByID(cb.ID))
		return errors.Is(err, store.ErrNotFound)
	})
}

func TestExpiryIsJudgedWhenTheCallArrives(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	b.pass(time.Minute)
	if v := b.call(t, cb, "x"); v.Kind != callback.Gone {
		t.Errorf("the call is %v", v.Kind)
	}
}

func TestClosedCallbackTellsWhy(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	w := b.await(t, cb, false)
	defer w.Stop()
	if _, err := b.CloseCallback(t.Context(), store.ByID(cb.ID), "the upstream answered 500", ""); err != nil {
		t.Fatal(err)
	}
	if r := told(t, w); r.Phase != callback.Closed || r.Reason != "the upstream answered 500" {
		t.Errorf("%s, %q", r.Phase, r.Reason)
	}
	if v := b.call(t, cb, "x"); v.Kind != callback.Gone || !v.Closed {
		t.Errorf("a call after that is %v", v.Kind)
	}
}

func TestEndThatNobodyWasToldOfIsNoticed(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	b.call(t, cb, "x")
	w := b.await(t, cb, true)
	defer w.Stop()
	b.lookAt(t.Context(), cb.ID)
	if r := told(t, w); r.Phase != callback.Resolved {
		t.Error(r.Phase)
	}
}

func TestLimitsOnCounts(t *testing.T) {
	b := newBed(t, Limits{MaxMemory: 1 << 20, MaxWaiting: 2, MaxHeld: 1}, callback.Policy{})
	first := b.create(t)
	b.create(t)
	if _, err := b.Create(t.Context(), Spec{Policy: b.policy, Spec: callback.Spec{ExpiresIn: time.Minute}}); !errors.Is(err, ErrBusy) {
		t.Errorf("a third callback: %v", err)
	}
	w := b.await(t, first, false)
	if _, err := b.Await(first.ID, false); !errors.Is(err, ErrBusy) {
		t.Errorf("a second waiter: %v", err)
	}
	w.Stop()
	if n := b.Held(); n != 0 {
		t.Errorf("%d held", n)
	}
	b.call(t, first, "x")
	b.create(t)
}

func TestWaitersOfOneCallbackAreIndependent(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	cb := b.create(t)
	var ws []*Waiter
	for range 4 {
		ws = append(ws, b.await(t, cb, false))
	}
	ws[1].Stop()
	ws[3].Stop()
	b.call(t, cb, "x")
	told(t, ws[0])
	told(t, ws[2])
	ws[0].Stop()
	ws[2].Stop()
	if ends, changes := b.waiters.ids(); len(ends)+len(changes) != 0 {
		t.Errorf("%v and %v are still waited for", ends, changes)
	}
}

func TestReplyHoldsWhatThePartnerSentAndNothingElse(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{Respond: &callback.Respond{
		Status: 200,
		Body:   `{http.callback.call.body.name} {http.callback.call.header.x-a} {http.callback.call.query.q} {http.callback.call.method} {http.callback.id} {http.callback.nonsense}`,
	}})
	cb := b.create(t)
	v, _, err := b.Receive(t.Context(), Incoming{State: b.store.Secret().State(cb.ID), Call: &callback.Call{
		Method: "POST",
		Query:  "q={env.HOME}",
		Header: callback.Header{{Name: "X-A", Value: "{http.callback.url}"}},
		Body:   callback.NewBody([]byte(`{"name":"{file./etc/passwd}"}`)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := "{file./etc/passwd} {http.callback.url} {env.HOME} POST " + cb.ID.String() + " "
	if v.Reply.Body != want {
		t.Errorf("%q, want %q", v.Reply.Body, want)
	}
}

func TestEngineSaysWhetherItTakesWork(t *testing.T) {
	b := newBed(t, Limits{MaxMemory: 64 << 20, MaxWaiting: 2, MaxHeld: 1}, callback.Policy{})
	want := func(want error) {
		t.Helper()
		if err := b.TakesWork(); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	want(nil)
	cb := b.create(t)
	w := b.await(t, cb, false)
	want(ErrBusy)
	w.Stop()
	want(nil)
	b.store.full.Store(true)
	want(store.ErrFull)
	b.store.full.Store(false)
	b.create(t)
	want(ErrBusy)
	if _, err := b.CloseCallback(t.Context(), store.ByID(cb.ID), "closed", ""); err != nil {
		t.Fatal(err)
	}
	want(nil)
}
