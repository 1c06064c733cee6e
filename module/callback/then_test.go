package callback_test

import (
	"slices"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestCallThatMeansOkGoesOnWithThen(t *testing.T) {
	p := compiled(t, respond(callback.Policy{Then: true}))
	r := attempted(t, working(p, callback.CallBlock), p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptAcked})
	before := contents(t, r)
	c := newCall("POST", "paid")
	v := receive(r, p, c, born+9)
	if v.Kind != callback.Accepted || v.Reply.Body != "thanks for paid" || v.Reply != v.Next.Reply || contents(t, r) != before {
		t.Fatalf("got %+v", v)
	}
	n := v.Next
	if n.Phase != callback.Waiting || n.FinishedAt != 0 || n.Call != c || n.Calls != 1 || n.Payload.IsZero() || n.Request != request {
		t.Errorf("got %s", contents(t, n))
	}
	if *n.Job != (callback.Job{Block: callback.ThenBlock, NextAt: born + 9}) || n.Due() != born+9 || n.Delivery.Total != 0 {
		t.Errorf("got %s", contents(t, n))
	}
}

func respond(p callback.Policy) callback.Policy {
	p.Respond = respondPolicy().Respond
	return p
}

func TestCallThatOvertakesTheAckGoesOnWithThen(t *testing.T) {
	p := compiled(t, callback.Policy{Then: true})
	retried := attempted(t, working(p, callback.CallBlock), p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptRetry, RetryAt: born + hour/2, Error: "x"})
	n := accept(t, retried, p, newCall("POST", "paid"))
	if *n.Job != (callback.Job{Block: callback.ThenBlock, NextAt: born + 60_000}) || n.Request != request {
		t.Errorf("got %s", contents(t, n))
	}
}

func TestCallsWhileThenIsUnderWay(t *testing.T) {
	p := compiled(t, respond(callback.Policy{Then: true, Progress: []callback.Match{{Location: at("header", "X-Step"), Values: []string{"1"}}}}))
	r := called(t, p)
	before := contents(t, r)
	for name, c := range map[string]struct {
		call *callback.Call
		kind callback.Kind
	}{
		"the same":       {newCall("POST", "paid"), callback.Repeated},
		"another":        {newCall("POST", "other"), callback.Conflict},
		"failed":         {newCall("POST", "paid", failing...), callback.Conflict},
		"progress":       {newCall("POST", "half", "X-Step", "1"), callback.Conflict},
		"nonsense":       {newCall("POST", "", statusHeader, "Done"), callback.Conflict},
		"another method": {newCall("GET", ""), callback.WrongMethod},
	} {
		for _, now := range []callback.Time{born, r.ExpiresAt + hour} {
			v := receive(r, p, c.call, now)
			if v.Kind != c.kind || v.Next != nil || (v.Kind == callback.Repeated) != (v.Reply == r.Reply) {
				t.Errorf("%s at %d: got %+v", name, now, v)
			}
		}
	}
	if contents(t, r) != before {
		t.Error("the record was changed")
	}
}

func TestRepeatGetsTheSameReplyAfterThenToo(t *testing.T) {
	p := compiled(t, respond(callback.Policy{Then: true}))
	r := called(t, p)
	closed, _ := r.Close(p, "test", "", born)
	for name, c := range map[string]struct {
		record      *callback.Record
		same, other callback.Kind
	}{
		"answered": {attempted(t, r, p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptAnswered, Response: answer(200)}), callback.Repeated, callback.Conflict},
		"refused":  {attempted(t, r, p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptAnswered, Response: answer(404)}), callback.Repeated, callback.Conflict},
		"failed":   {attempted(t, r, p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptFailed, Code: "x"}), callback.Repeated, callback.Conflict},
		"expired":  {expire(t, r, p), callback.Repeated, callback.Conflict},
		"closed":   {closed, callback.Gone, callback.Gone},
	} {
		same, other := receive(c.record, p, newCall("POST", "paid"), born), receive(c.record, p, newCall("POST", "other"), born)
		if same.Kind != c.same || other.Kind != c.other || same.Next != nil || other.Next != nil {
			t.Errorf("%s: got %+v and %+v", name, same, other)
		}
		if same.Kind == callback.Repeated && same.Reply != r.Reply {
			t.Errorf("%s: got %+v", name, same.Reply)
		}
	}
}

func expire(t testing.TB, r *callback.Record, p *callback.Policy) *callback.Record {
	t.Helper()
	next, yes := r.Expire(p, r.ExpiresAt)
	if !yes {
		t.Fatal("not expired")
	}
	return next
}

func TestCallThatMeansFailedEndsTheChain(t *testing.T) {
	p := compiled(t, callback.Policy{Then: true, FailedBody: true})
	n := accept(t, attempted(t, working(p, callback.CallBlock), p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptAcked}), p, newCall("POST", "no stock", failing...))
	if n.Phase != callback.Failed || n.Job != nil || n.Request != nil || n.Delivery.Total != 1 {
		t.Errorf("got %s", contents(t, n))
	}
	if r := n.Result(p); r.Status != callback.DefaultFailedStatus || r.Failure != nil || string(r.Body.Data) != "no stock" {
		t.Errorf("the result is %s", contents(t, r))
	}
}

// The call said Ok: its body cannot say why the block after it failed.
func TestFailureOfThenIsNotAnsweredWithTheCallsBody(t *testing.T) {
	p := compiled(t, callback.Policy{Then: true, FailedBody: true})
	for name, r := range map[string]*callback.Record{
		"failed":  attempted(t, called(t, p), p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptFailed, Code: "x"}),
		"expired": expire(t, called(t, p), p),
	} {
		if got := r.Result(p); got.Failure == nil || got.Body != nil || got.Status != callback.DefaultFailedStatus {
			t.Errorf("%s: got %s", name, contents(t, got))
		}
	}
}

func TestAnswerOfThenIsTheResultInPlaceOfTheCall(t *testing.T) {
	for status, phase := range map[int]callback.Phase{201: callback.Resolved, 404: callback.Failed} {
		p := compiled(t, callback.Policy{Then: true, FailedBody: true})
		n := attempted(t, called(t, p), p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptAnswered, Response: answer(status)})
		if r := n.Result(p); n.Phase != phase || r.Status != status || string(r.Body.Data) != "done" || r.Failure != nil {
			t.Errorf("%s with %s", n.Phase, contents(t, r))
		}
	}
}

// The headers of a delivery are those of a request: what an app says of itself and to its
// client has no place there.
func TestDeliveryHasOfEveryResultOnlyTheHeadersThatAreCopied(t *testing.T) {
	of := callback.Header{
		{Name: "Content-Type", Value: "text/plain"}, {Name: "Date", Value: "today"}, {Name: "Etag", Value: `"1"`}, {Name: "Server", Value: "app"},
		{Name: "Set-Cookie", Value: "a=b"}, {Name: "Via", Value: "1.1 Caddy"}, {Name: "X-Link-Status", Value: "spoofed"}, {Name: "X-Own", Value: "1"},
	}
	response := &callback.Response{Status: 200, Header: of, Body: callback.NewBody([]byte("done"))}
	for name, c := range map[string]struct {
		policy callback.Policy
		record callback.Record
		copied []string
	}{
		"call":        {callback.Policy{}, callback.Record{Phase: callback.Resolved, Call: &callback.Call{Header: of}}, []string{"Content-Type", "Etag"}},
		"failed call": {callback.Policy{FailedBody: true}, callback.Record{Phase: callback.Failed, Failure: &callback.Failure{}, Call: &callback.Call{Header: of}}, []string{"Content-Type", "Etag"}},
		"then":        {callback.Policy{}, callback.Record{Phase: callback.Resolved, Answer: response}, []string{"Content-Type", "Etag"}},
		"failed then": {callback.Policy{}, callback.Record{Phase: callback.Failed, Failure: &callback.Failure{}, Answer: response}, []string{"Content-Type", "Etag"}},
		"ack":         {callback.Policy{AckIsResult: true}, callback.Record{Phase: callback.Resolved, Ack: response}, []string{"Content-Type", "Etag"}},
		"own list":    {callback.Policy{CopyHeaders: []string{"x-own", "via"}}, callback.Record{Phase: callback.Resolved, Answer: response}, []string{"Via", "X-Own"}},
	} {
		p := compiled(t, c.policy)
		var names []string
		for _, f := range c.record.DeliveredResult(p).Header {
			if !p.Wire().Speaks(f.Name) {
				names = append(names, f.Name)
			} else if f.Value == "spoofed" {
				t.Errorf("%s: the app has set %s", name, f.Name)
			}
		}
		if !slices.Equal(names, c.copied) {
			t.Errorf("%s: delivered with %v", name, names)
		}
	}
	if len(response.Header) != len(of) || response.Header[1].Name != "Date" {
		t.Errorf("the response has become %v", response.Header)
	}
}

func TestProgressBeforeTheCallDoesNotGoOn(t *testing.T) {
	p := compiled(t, callback.Policy{Then: true, Progress: []callback.Match{{Location: at("header", "X-Step"), Values: []string{"1"}}}})
	r := working(p, callback.CallBlock)
	v := receive(r, p, newCall("POST", "half", "X-Step", "1"), born)
	if v.Kind != callback.Progressed || *v.Next.Job != *r.Job || v.Next.Call != nil {
		t.Errorf("got %+v", v)
	}
	if n := accept(t, v.Next, p, newCall("POST", "paid")); n.Calls != 2 || n.Latest != nil || n.Job.Block != callback.ThenBlock {
		t.Errorf("got %s", contents(t, n))
	}
}
