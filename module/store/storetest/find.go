package storetest

import (
	"errors"
	"reflect"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var finding = []test{
	{"a created callback is found by id, state and ticket", createdIsFound},
	{"a key of another kind finds nothing", otherKindsFindNothing},
	{"what is not there is not found", absentIsNotFound},
	{"a record comes back as it was handed in", recordsComeBackWhole},
	{"a record that was handed in is never changed", recordsAreNotChanged},
	{"the commit of a record that was found is the record's", foundCommitIsTheRecords},
}

func createdIsFound(h *house) {
	r, other := h.newRecord(), h.newRecord()
	h.wait(h.create(other))
	h.beforeAndAfter(h.create(r), func(when string) {
		for _, key := range h.keysOf(r.ID) {
			h.wantRecord(when, key, r)
		}
		for _, key := range h.keysOf(other.ID) {
			h.wantRecord(when, key, other)
		}
	})
}

// A partner has the state, the client has the ticket, and anyone may have the id:
// none may ever pass for another.
func otherKindsFindNothing(h *house) {
	r := h.newRecord()
	state, ticket := h.store.Secret().State(r.ID), h.store.Secret().Ticket(r.ID)
	h.beforeAndAfter(h.create(r), func(when string) {
		h.wantNotFound(when,
			store.ByState(ticket), store.ByTicket(state), store.ByState(r.ID), store.ByTicket(r.ID), store.ByID(state), store.ByID(ticket))
	})
}

func absentIsNotFound(h *house) {
	h.created()
	keys := []store.Key{
		{}, store.ByID(callback.NewUUID()), store.ByState(callback.NewUUID()), store.ByTicket(callback.NewUUID()),
		{Kind: store.KeyState}, {Kind: store.KeyTicket},
	}
	h.wantNotFound("in a store with another callback", keys...)
	for _, key := range keys {
		decide := func(*callback.Record) (store.Change, error) {
			h.Errorf("decide was called for %+v", key)
			return store.Change{}, nil
		}
		if r, c, err := h.store.Update(h.Context(), key, decide); !errors.Is(err, store.ErrNotFound) || r != nil || c != nil {
			h.Errorf("updating %+v: %+v, %v, %v", key, r, c, err)
		}
	}
}

// fullRecord has every field set, and text that is not UTF-8.
func (h *house) fullRecord() *callback.Record {
	r := h.newRecord()
	r.Name, r.CorrelationID = "n\xe4me", "\x00\xff"
	r.Phase, r.FinishedAt, r.KeepUntil = callback.Failed, now+1, now+2
	r.Ack = &callback.Response{Status: 202, Header: callback.Header{{Name: "X-A", Value: "\xfe"}}, Body: callback.NewBody([]byte{0, 255})}
	r.Call = &callback.Call{
		Method: "PUT", Suffix: "/failed", Query: "a=%zz&b=\xff", Header: callback.Header{{Name: "B", Value: "1"}, {Name: "B", Value: "2"}},
		Body: callback.NewBody(make([]byte, 64<<10)), ReceivedAt: now,
	}
	r.Payload = callback.Digest{1}
	r.Reply = &callback.Reply{Status: 303, Header: callback.Header{{Name: "Location", Value: "/x"}}, Body: "\xc3"}
	r.Failure = &callback.Failure{DocumentStatus: "a", TechnicalStatus: "b", ErrorCode: "c", ErrorText: "d"}
	r.Reason = "e"
	r.Latest, r.Calls, r.Seen, r.ShutAt = &callback.Call{Method: "POST", ReceivedAt: now + 3}, 2, []uint64{1, 1<<64 - 1}, now+4
	r.Aliases, r.Fingerprint = []callback.Digest{alias(1), alias(2)}, callback.Digest{2}
	h.addWork(r)
	return r
}

// addWork sets what belongs to background work, deliveries and steps.
func (h *house) addWork(r *callback.Record) {
	r.Own = &callback.Own{
		Reply: &callback.Fields{Type: "redirect", Body: "\xff", Code: 201, Header: callback.Header{{Name: "C", Value: "3"}}, RedirectURL: "/y"},
		Ask:   "/ask", Case: "f", Data: []byte("{}"), StateQuery: "state", BaseURL: "https://other.example.com",
	}
	r.Acked = true
	r.Request = &callback.Request{
		Method: "POST", URI: "/a%2Fb?c", Host: "example.com", Header: callback.Header{{Name: "Authorization", Value: "\xe4"}},
		Body: callback.NewBody([]byte{1, 0}), RemoteAddr: "192.0.2.1:1", TLS: true,
	}
	r.Job = &callback.Job{Block: callback.ThenBlock, Attempts: 1, NextAt: now + 5, Error: "g", Target: "/jobs/7"}
	r.Answer = &callback.Response{Status: 404, Header: callback.Header{{Name: "D", Value: "4"}}, Body: callback.NewBody([]byte{2})}
	r.Delivery = &callback.Delivery{
		URL: "https://client.example.com", FailedURL: "https://other.example.com", CorrelationID: "j", Round: 2, Newest: 2, Total: 3, Done: 1, Attempts: 1, NextAt: now + 6, DeliveredAt: now, Dead: true, Status: 500, Error: "h",
	}
	r.Outbox = []callback.Parcel{
		{Phase: callback.Resolved, Call: &callback.Call{Method: "PATCH", Body: callback.NewBody([]byte{3})}},
		{Phase: callback.Failed, Call: &callback.Call{Method: "PUT"}, Failure: &callback.Failure{ErrorCode: "i"}, Number: 2},
	}
	r.Parent, r.Told, r.Step = callback.NewUUID(), true, callback.NewUUID()
	r.Trace = callback.Header{{Name: "Traceparent", Value: "00-1-2-01"}}
	r.Attended = true
	r.Sender = callback.OnlySigned
	r.Flight, r.Owner, r.Asking = 7, 1<<63, 9
	r.Awaited = []callback.Digest{{1}, {2}}
	r.History = r.History.Add(callback.MaxHistory, callback.Happening{At: now, Kind: callback.HappenedClosed, Status: 410, Reason: "k", By: "l"})
	r.Confirm = true
	r.Call.By, r.Call.Choice = "m", "n"
	r.Question = &callback.Question{Title: callback.Text{"o"}, Text: callback.Text{"p", "\xff"}}
	r.Strip = &callback.Strip{At: now + 7, Done: true}
	r.LatestReply = &callback.Reply{Status: 203, Header: callback.Header{{Name: "E", Value: "5"}}, Body: "\xff"}
	// What a later release has written comes back, too, in any structure.
	r.Unknown = "\x18\xc8\x63new\x19\x03\xe8\x81\xf6"
	for _, unknown := range []*callback.Unknown{&r.Own.Unknown, &r.Own.Reply.Unknown, &r.Answer.Body.Unknown, &r.Delivery.Unknown, &r.Strip.Unknown, &r.Question.Unknown, &r.Outbox[1].Unknown} {
		*unknown = "\x18\xc9\x01"
	}
}

func recordsComeBackWhole(h *house) {
	r := h.fullRecord()
	for field, value := range reflect.ValueOf(*r).Fields() {
		if value.IsZero() {
			h.Fatalf("this test leaves %s out", field.Name)
		}
	}
	h.beforeAndAfter(h.create(r), func(when string) {
		got, _, err := h.store.Find(h.Context(), store.ByID(r.ID))
		if err != nil || !reflect.DeepEqual(got, r) {
			h.Fatalf("%s: got %+v, %v\n\twant %+v", when, got, err, r)
		}
	})
}

func recordsAreNotChanged(h *house) {
	parent, step := callback.NewUUID(), callback.NewUUID()
	build := func(id callback.UUID, body callback.Body) *callback.Record {
		r := h.fullRecord()
		r.ID, r.State, r.Ticket = id, h.store.Secret().State(id).Digest(), h.store.Secret().Ticket(id).Digest()
		r.Parent, r.Step = parent, step
		for _, b := range r.Bodies() {
			*b = body
		}
		return r
	}
	body := h.putBody([]byte("in a file"))
	body.Data = []byte("in a file")
	id := callback.NewUUID()
	first, changed := build(id, body), build(id, body)
	changed.Reason = "changed"
	c := h.create(first)
	_, again := h.update(store.ByID(id), func(*callback.Record) (store.Change, error) { return store.Change{Next: changed}, nil })
	h.wait(c)
	h.wait(again)
	h.reopen()
	want := build(id, body)
	if !reflect.DeepEqual(first, want) {
		h.Errorf("the record that was created is now %+v", first)
	}
	want.Reason = "changed"
	if !reflect.DeepEqual(changed, want) {
		h.Errorf("the record that was decided on is now %+v", changed)
	}
}

// A store may have committed the write by then. In most rounds it has not, so a store
// whose Commit is always done fails the test.
func foundCommitIsTheRecords(h *house) {
	h.wantEarlierCommit(func(r *callback.Record) store.Commit {
		_, c, err := h.store.Find(h.Context(), store.ByID(r.ID))
		if err != nil {
			h.Fatal(err)
		}
		return c
	})
}

// wantEarlierCommit checks that the commit given for a record is not done before
// the record's own is.
func (h *house) wantEarlierCommit(commitOf func(r *callback.Record) store.Commit) {
	h.Helper()
	const rounds = 40
	early := 0
	for range rounds {
		r := h.newRecord()
		own := h.create(r)
		given := commitOf(r)
		h.wait(given)
		if !isDone(own) {
			early++
		}
		h.wait(own)
	}
	// Between a write and the end of its commit there is a moment in which the
	// record counts as stored.
	if early > rounds/2 {
		h.Errorf("in %d of %d rounds the commit was done before the record was stored", early, rounds)
	}
	r := h.created()
	h.wait(commitOf(r))
}
