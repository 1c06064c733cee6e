package callback_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

const hour = callback.Time(3_600_000)

// request is a client's request as a job gets it.
var request = &callback.Request{Method: "POST", URI: "/orders?a=b", Host: "localhost", Header: line("X-A", "b"), Body: callback.NewBody([]byte("order"))}

// working returns a callback with a job in that block.
func working(p *callback.Policy, block callback.Block) *callback.Record {
	return callback.New(&secret, p, callback.Spec{
		Name: "orders", CorrelationID: correlation, ExpiresIn: lifetime, Request: request, Block: block, DeliverTo: "https://client.example.com/results",
	}, born)
}

// called returns a callback whose call was accepted, so that the block "then" goes on.
func called(t testing.TB, p *callback.Policy) *callback.Record {
	t.Helper()
	return accept(t, attempted(t, working(p, callback.CallBlock), p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptAcked}), p, newCall("POST", "paid"))
}

// attempted returns the record after an attempt, which must count.
func attempted(t testing.TB, r *callback.Record, p *callback.Policy, block callback.Block, a callback.Attempt) *callback.Record {
	t.Helper()
	before := contents(t, r)
	next, yes := r.Attempted(p, block, a, born+5)
	if !yes || next == nil {
		t.Fatalf("the attempt %+v does not count", a)
	}
	if contents(t, r) != before {
		t.Fatal("the record handed in was changed")
	}
	return next
}

func answer(status int) *callback.Response {
	return &callback.Response{Status: status, Header: append(line("Content-Type", "a/b"), line("X-Link-Status", "Failed")...), Body: callback.NewBody([]byte("done"))}
}

var anyAttempt = []callback.Attempt{
	{Kind: callback.AttemptAcked}, {Kind: callback.AttemptAcked, Response: answer(202)}, {Kind: callback.AttemptAnswered, Response: answer(200)},
	{Kind: callback.AttemptAnswered, Response: answer(404)}, {Kind: callback.AttemptContinued, Step: callback.UUID{1}}, {Kind: callback.AttemptUnknown},
	{Kind: callback.AttemptRetry, RetryAt: born + 9, Error: "refused"}, {Kind: callback.AttemptFailed, Code: "c", Error: "e"},
}

func TestJobIsToBeDoneAtOnceOnTheStoredRequest(t *testing.T) {
	p := compiled(t, callback.Policy{})
	r := working(p, callback.CallBlock)
	if r.Phase != callback.Waiting || *r.Job != (callback.Job{Block: callback.CallBlock, NextAt: born}) || r.Request != request || r.Due() != born {
		t.Errorf("got %s", contents(t, r))
	}
	if waiting(p).Job != nil || waiting(p).Request != nil {
		t.Error("a callback has a job that nobody has given it")
	}
}

func TestAttemptThatWasAckedLeavesTheCallbackWaitingForItsCall(t *testing.T) {
	for name, c := range map[string]struct {
		policy        callback.Policy
		keeps, stored bool
	}{
		"plain":         {callback.Policy{}, false, false},
		"ack is result": {callback.Policy{AckIsResult: true}, true, false},
		"then goes on":  {callback.Policy{Then: true}, false, true},
	} {
		p := compiled(t, c.policy)
		next := attempted(t, working(p, callback.CallBlock), p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptAcked, Response: answer(202)})
		if next.Phase != callback.Waiting || next.Job != nil || !next.Acked || (next.Ack != nil) != c.keeps || (next.Request != nil) != c.stored {
			t.Errorf("%s: got %s", name, contents(t, next))
		}
		if next.Due() != next.ExpiresAt {
			t.Errorf("%s: due at %d", name, next.Due())
		}
	}
}

func TestAttemptThatMayHaveArrivedIsNotMadeAgain(t *testing.T) {
	for _, then := range []bool{false, true} {
		p := compiled(t, callback.Policy{Then: then})
		next := attempted(t, working(p, callback.CallBlock), p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptUnknown})
		if next.Phase != callback.Waiting || next.Job != nil || next.Acked || (next.Request != nil) != then {
			t.Errorf("then is %v: got %s", then, contents(t, next))
		}
		accept(t, next, p, newCall("POST", "paid"))
	}
}

func TestAttemptIsMadeAgainAtItsTime(t *testing.T) {
	p := compiled(t, callback.Policy{})
	r := working(p, callback.CallBlock)
	for n := 1; n <= 3; n++ {
		at := born + callback.Time(n)*hour/2
		r = attempted(t, r, p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptRetry, RetryAt: at, Error: "no\x00 route" + strings.Repeat("x", 2000)})
		if r.Phase != callback.Waiting || r.Job.Block != callback.CallBlock || r.Job.Attempts != n || r.Job.NextAt != at || r.Request != request {
			t.Errorf("got %s", contents(t, r))
		}
		if !strings.HasPrefix(r.Job.Error, "no route") || len(r.Job.Error) != 1024 {
			t.Errorf("its error is %q", r.Job.Error)
		}
		if due := min(at, r.ExpiresAt); r.Due() != due {
			t.Errorf("due at %d, want %d", r.Due(), due)
		}
	}
}

func TestAnswerIsTheResult(t *testing.T) {
	for status, want := range map[int]callback.Phase{
		200: callback.Resolved, 204: callback.Resolved, 302: callback.Resolved, 399: callback.Resolved,
		400: callback.Failed, 404: callback.Failed, 500: callback.Failed, 599: callback.Failed,
	} {
		for _, block := range []callback.Block{callback.CallBlock, callback.ThenBlock} {
			p := compiled(t, callback.Policy{FailedBody: status%2 == 0})
			next := attempted(t, working(p, block), p, block, callback.Attempt{Kind: callback.AttemptAnswered, Response: answer(status)})
			if next.Phase != want || next.Job != nil || next.Request != nil || next.FinishedAt != born+5 || next.KeepUntil != (born+5).Add(p.Retain) {
				t.Errorf("%d: got %s", status, contents(t, next))
			}
			r := next.Result(p)
			header := append(line("Content-Type", "a/b"), line(correlationHeader, correlation)...)
			if want == callback.Resolved {
				header = append(header, line(statusHeader, "Ok")...)
			} else {
				header = append(header, callback.Field{Name: statusHeader, Value: "Failed"}, callback.Field{Name: documentHeader, Value: "Failed"},
					callback.Field{Name: codeHeader, Value: r.Header.Get(codeHeader)}, callback.Field{Name: textHeader, Value: r.Header.Get(textHeader)})
				if next.Failure.ErrorCode != r.Header.Get(codeHeader) || !strings.Contains(next.Failure.ErrorText, next.Failure.ErrorCode) {
					t.Errorf("%d: failed as %+v", status, next.Failure)
				}
			}
			if r.Status != status || string(r.Body.Data) != "done" || r.Failure != nil || contents(t, r.Header) != contents(t, header) {
				t.Errorf("%d: the result is %s", status, contents(t, r))
			}
		}
	}
}

func TestStatusOfAFailedAnswerIsTheErrorCode(t *testing.T) {
	p := compiled(t, callback.Policy{})
	next := attempted(t, working(p, callback.ThenBlock), p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptAnswered, Response: answer(404)})
	if next.Failure.ErrorCode != "404" || next.Failure.DocumentStatus != "Failed" {
		t.Errorf("got %+v", next.Failure)
	}
}

func TestJobThatHasFailedForGoodFailsTheCallback(t *testing.T) {
	p := compiled(t, callback.Policy{})
	next := attempted(t, working(p, callback.ThenBlock), p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptFailed, Code: "route-gone", Error: "No\x00 route."})
	if next.Phase != callback.Failed || next.Job != nil || next.Request != nil || next.Failure.ErrorCode != "route-gone" || next.Failure.ErrorText != "No route." {
		t.Errorf("got %s", contents(t, next))
	}
	if r := next.Result(p); r.Status != callback.DefaultFailedStatus || r.Failure == nil || r.Body != nil {
		t.Errorf("the result is %s", contents(t, r))
	}
}

func TestAttemptAtAJobThatIsOverChangesNothing(t *testing.T) {
	p := compiled(t, callback.Policy{Then: true})
	plain := compiled(t, callback.Policy{})
	acked := attempted(t, working(p, callback.CallBlock), p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptAcked})
	ended, _ := working(p, callback.CallBlock).Expire(p, born+hour)
	closed, _ := working(p, callback.CallBlock).Close(p, "test", "", born)
	overtaken := accept(t, working(plain, callback.CallBlock), plain, newCall("POST", "paid"))
	for name, c := range map[string]struct {
		record *callback.Record
		block  callback.Block
	}{
		"there was none":                      {waiting(p), callback.CallBlock},
		"acked already":                       {acked, callback.CallBlock},
		"another block":                       {working(p, callback.CallBlock), callback.ThenBlock},
		"a call has overtaken the ack":        {accept(t, working(p, callback.CallBlock), p, newCall("POST", "paid")), callback.CallBlock},
		"a call has resolved it before":       {overtaken, callback.CallBlock},
		"no block":                            {working(p, callback.CallBlock), ""},
		"expired":                             {ended, callback.CallBlock},
		"closed":                              {closed, callback.CallBlock},
		"call after it went on with \"then\"": {called(t, p), callback.CallBlock},
	} {
		before := contents(t, c.record)
		for _, a := range anyAttempt {
			if next, yes := c.record.Attempted(p, c.block, a, born+5); yes || next != nil {
				t.Errorf("%s: attempt %d made it %s", name, a.Kind, contents(t, next))
			}
		}
		if contents(t, c.record) != before {
			t.Errorf("%s: the record was changed", name)
		}
	}
}

func TestCallThatOvertakesTheAckEndsTheJob(t *testing.T) {
	p := compiled(t, callback.Policy{})
	next := accept(t, working(p, callback.CallBlock), p, newCall("POST", "paid"))
	if next.Phase != callback.Resolved || next.Job != nil || next.Request != nil {
		t.Errorf("got %s", contents(t, next))
	}
	failed := accept(t, working(p, callback.CallBlock), p, newCall("POST", "no", failing...))
	if failed.Phase != callback.Failed || failed.Job != nil || failed.Request != nil {
		t.Errorf("got %s", contents(t, failed))
	}
}

func TestAckThatItsCallHasOvertakenIsTheResultAllTheSame(t *testing.T) {
	p := compiled(t, callback.Policy{AckIsResult: true})
	overtaken := accept(t, working(p, callback.CallBlock), p, newCall("POST", "yes"))
	next := attempted(t, overtaken, p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptAcked, Response: answer(202)})
	if next.Phase != callback.Resolved || next.Ack == nil || next.Result(p).Status != 202 {
		t.Errorf("got %s", contents(t, next))
	}
	if again, changed := next.Attempted(p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptAcked, Response: answer(201)}, born+9); changed {
		t.Errorf("a second ack makes of it %s", contents(t, again))
	}
}

func TestExpiryOfACallbackWithWorkToDoIsAFailure(t *testing.T) {
	p := compiled(t, callback.Policy{Then: true})
	retried := attempted(t, working(p, callback.CallBlock), p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptRetry, RetryAt: born + 9, Error: "it was not reached"})
	stepping := attempted(t, called(t, p), p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptContinued, Step: callback.UUID{1}})
	unknown := attempted(t, called(t, p), p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptUnknown})
	for name, r := range map[string]*callback.Record{"never tried": working(p, callback.CallBlock), "retried": retried, "then": called(t, p), "step": stepping, "then, unknown": unknown} {
		before := contents(t, r)
		if next, yes := r.Expire(p, r.ExpiresAt-1); yes || next != nil {
			t.Errorf("%s: it expired before its time", name)
		}
		next, yes := r.Expire(p, r.ExpiresAt)
		if !yes || next.Phase != callback.Failed || next.Failure.ErrorCode != "expired" || next.Failure.ErrorText == "" {
			t.Fatalf("%s: got %s", name, contents(t, next))
		}
		if next.Job != nil || next.Request != nil || !next.Step.IsZero() || contents(t, r) != before {
			t.Errorf("%s: got %s", name, contents(t, next))
		}
		if said := strings.Contains(next.Failure.ErrorText, "it was not reached"); said != (name == "retried") {
			t.Errorf("%s: it says %q", name, next.Failure.ErrorText)
		}
		if r := next.Result(p); r.Status != callback.DefaultFailedStatus || r.Failure == nil {
			t.Errorf("%s: the result is %s", name, contents(t, r))
		}
	}
	acked := attempted(t, working(p, callback.CallBlock), p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptAcked})
	if next, yes := acked.Expire(p, born+hour); !yes || next.Phase != callback.Expired || next.Failure != nil {
		t.Errorf("without a call it became %s", contents(t, next))
	}
}

func TestCallToWhatHasFailedByItsExpiryIsToldThatItHasExpired(t *testing.T) {
	for _, many := range []bool{false, true} {
		p := compiled(t, callback.Policy{Multiple: many})
		r := working(p, callback.CallBlock)
		first := receive(r, p, newCall("POST", "late"), r.ExpiresAt.Add(time.Second))
		if first.Kind != callback.Gone || first.Closed || first.Next == nil || first.Next.Phase != callback.Failed {
			t.Fatalf("many is %v: got %+v", many, first)
		}
		if again := receive(first.Next, p, newCall("POST", "late"), r.ExpiresAt.Add(time.Minute)); again.Kind != callback.Gone || again.Closed || again.Next != nil {
			t.Errorf("many is %v: got %+v", many, again)
		}
	}
}
