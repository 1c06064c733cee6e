package callback_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// asked returns a callback whose upstream is asked for the result.
func asked(t testing.TB, p *callback.Policy) *callback.Record {
	t.Helper()
	r, ok := waiting(p).Poll(callback.Job{Block: callback.PollBlock, NextAt: born + 5, Target: "/jobs/7"})
	if !ok || r.Due() != born+5 || !r.Acked {
		t.Fatalf("got %s", contents(t, r))
	}
	return r
}

// polledWith returns the attempt that has got this answer.
func polledWith(body string, lines ...string) callback.Attempt {
	return callback.Attempt{Kind: callback.AttemptPolled, Call: newCall("GET", body, lines...), RetryAt: born + 50}
}

// statusPolicy judges by a status, as most providers do.
func statusPolicy() callback.Policy {
	at := inject.Location{In: inject.JSON, Name: "status"}
	return callback.Policy{
		Failed: []callback.Match{{Location: at, Values: []string{"failed"}}}, Progress: []callback.Match{{Location: at, Values: []string{"running"}}},
		RequireCorrelationID: true, RequireStatus: true,
	}
}

func TestAnswerWhenTheUpstreamIsAsked(t *testing.T) {
	p := compiled(t, statusPolicy())
	const media, js = "Content-Type", "application/json"
	for body, want := range map[string]callback.Phase{
		`{"status":"done"}`: callback.Resolved, `{"status":"failed"}`: callback.Failed, `{"status":"running"}`: callback.Waiting,
		`{"status":`: callback.Waiting, `text`: callback.Waiting, `{"status":"running"}{}`: callback.Waiting,
	} {
		r := attempted(t, asked(t, p), p, callback.PollBlock, polledWith(body, media, js))
		if r.Phase != want {
			t.Errorf("%s: the callback is %s, want %s", body, r.Phase, want)
		}
		if waits := r.Phase == callback.Waiting; waits != (r.Job != nil) || waits && (r.Job.NextAt != born+50 || r.Job.Attempts != 1 || r.Job.Target != "/jobs/7") {
			t.Errorf("%s: the job is %+v", body, r.Job)
		}
	}
	r := attempted(t, asked(t, p), p, callback.PollBlock, callback.Attempt{Kind: callback.AttemptPolled, RetryAt: born + 50})
	if r.Phase != callback.Waiting || r.Job == nil {
		t.Errorf("202: got %s", contents(t, r))
	}
}

func TestCallAfterThePollGetsTheReply(t *testing.T) {
	p := compiled(t, respondPolicy())
	r := attempted(t, asked(t, p), p, callback.PollBlock, polledWith("the result"))
	for _, body := range []string{"late", "later"} {
		v := receive(r, p, newCall("POST", body), born+60)
		if v.Kind != callback.Repeated || v.Next != nil || v.Reply.Status != 201 || v.Reply.Body != "thanks for "+body {
			t.Errorf("%s: got %+v", body, v)
		}
	}
}

func TestPollAfterTheCallChangesNothing(t *testing.T) {
	p := compiled(t, callback.Policy{})
	called := accept(t, asked(t, p), p, newCall("POST", "by call"))
	if next, yes := called.Attempted(p, callback.PollBlock, polledWith("by poll"), born+60); yes || next != nil || called.Job != nil {
		t.Errorf("got %s", contents(t, next))
	}
	if next, yes := called.Poll(callback.Job{Block: callback.PollBlock}); yes || next != nil {
		t.Error("the upstream is asked for a result that is there")
	}
}

func TestCallbackThatIsOnlyAskedForExpires(t *testing.T) {
	p := compiled(t, callback.Policy{})
	r, ended := asked(t, p).Expire(p, born+hour)
	if !ended || r.Phase != callback.Expired || r.Job != nil {
		t.Errorf("got %s", contents(t, r))
	}
}

func TestResultIsFetchedAfterASuccessOnly(t *testing.T) {
	policy := statusPolicy()
	policy.Fetch, policy.RequireCorrelationID, policy.RequireStatus = true, false, false
	p := compiled(t, policy)
	const media, js = "Content-Type", "application/json"
	for _, begun := range []*callback.Record{
		accept(t, waiting(p), p, newCall("POST", `{"status":"done"}`, media, js)),
		attempted(t, asked(t, p), p, callback.PollBlock, polledWith(`{"status":"done"}`, media, js)),
	} {
		if begun.Phase != callback.Waiting || begun.Job == nil || begun.Job.Block != callback.FetchBlock {
			t.Fatalf("got %s", contents(t, begun))
		}
		r := attempted(t, begun, p, callback.FetchBlock, callback.Attempt{Kind: callback.AttemptAnswered, Response: answer(200)})
		if got := r.Result(p); r.Phase != callback.Resolved || string(got.Body.Data) != "done" {
			t.Errorf("got %s", contents(t, r))
		}
		r = attempted(t, begun, p, callback.FetchBlock, callback.Attempt{Kind: callback.AttemptAnswered, Response: answer(404)})
		if r.Phase != callback.Failed {
			t.Errorf("got %s", contents(t, r))
		}
	}
	if r := accept(t, waiting(p), p, newCall("POST", `{"status":"failed"}`, media, js)); r.Phase != callback.Failed || r.Job != nil {
		t.Errorf("got %s", contents(t, r))
	}
}

// What the upstream answers is a success only if it is JSON that does not say otherwise, or, as in
// a call, if there is no body at all.
func FuzzPolled(f *testing.F) {
	for _, body := range []string{`{"status":"done"}`, `{"status":"running"}`, `{"status":"failed","status":"done"}`, `[]`, `{"status":`, "\xff", `{"status":"done"}garbage`} {
		f.Add(body)
	}
	p := compiled(f, statusPolicy())
	f.Fuzz(func(t *testing.T, body string) {
		next, yes := asked(t, p).Attempted(p, callback.PollBlock, polledWith(body, "Content-Type", "application/json"), born+60)
		if !yes {
			t.Fatal("the attempt does not count")
		}
		if next.Phase == callback.Resolved && body != "" && !json.Valid([]byte(body)) && utf8.ValidString(body) {
			t.Errorf("%q is a success", body)
		}
	})
}
