package callback_test

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

func at(in inject.Place, name string) inject.Location { return inject.Location{In: in, Name: name} }

func TestRequiredHeadersAreRequired(t *testing.T) {
	p := compiled(t, callback.Policy{RequireCorrelationID: true, RequireStatus: true})
	for name, c := range map[string]struct {
		lines []string
		kind  callback.Kind
		slug  string
	}{
		"both":           {[]string{correlationHeader, correlation, statusHeader, "Ok"}, callback.Accepted, ""},
		"no correlation": {[]string{statusHeader, "Ok"}, callback.Refused, "missing-header"},
		"no status":      {[]string{correlationHeader, correlation}, callback.Refused, "missing-header"},
		"neither":        {nil, callback.Refused, "missing-header"},
		"wrong":          {[]string{correlationHeader, "other", statusHeader, "Ok"}, callback.Refused, "correlation-mismatch"},
	} {
		v := receive(waiting(p), p, newCall("POST", "", c.lines...), born)
		if v.Kind != c.kind || v.Fault.Slug != c.slug {
			t.Errorf("%s: %v, %q", name, v.Kind, v.Fault.Slug)
		}
		if v.Kind == callback.Refused && v.Next != nil {
			t.Errorf("%s: the callback changes", name)
		}
	}
}

func TestKnownDocumentStatusStandsAndAnotherBecomesTechnical(t *testing.T) {
	p := compiled(t, callback.Policy{DocumentStatuses: []string{"Rejected", "On hold"}})
	for given, want := range map[string][2]string{
		"Rejected": {"Rejected", ""},
		"On hold":  {"On hold", ""},
		"rejected": {"Failed", "rejected"},
		"Strange":  {"Failed", "Strange"},
		"":         {"Failed", ""},
	} {
		v := receive(waiting(p), p, newCall("POST", "", statusHeader, "Failed", "X-Link-Document-Status", given), born)
		f := v.Next.Failure
		if v.Next.Phase != callback.Failed || f.DocumentStatus != want[0] || f.TechnicalStatus != want[1] {
			t.Errorf("%q: %s, %+v", given, v.Next.Phase, f)
		}
	}
}

func TestOtherDialectsSayFailedAndProgressInTheirOwnWay(t *testing.T) {
	text, code := at("json", "reason"), at("header", "X-Code")
	p := compiled(t, callback.Policy{
		Failed:    []callback.Match{{Location: at("json", "state"), Values: []string{"error", "rejected"}}},
		Progress:  []callback.Match{{Location: at("json", "state"), Values: []string{"running"}}, {Location: at("header", "X-Step"), Values: []string{"1"}}},
		ErrorCode: &code,
		ErrorText: &text,
	})
	for name, c := range map[string]struct {
		call *callback.Call
		kind callback.Kind
		end  callback.Phase
	}{
		"done":                 {newCall("POST", `{"state":"done"}`), callback.Accepted, callback.Resolved},
		"no body":              {newCall("POST", ""), callback.Accepted, callback.Resolved},
		"error":                {newCall("POST", `{"state":"error"}`), callback.Accepted, callback.Failed},
		"another error":        {newCall("POST", `{"state":"rejected"}`), callback.Accepted, callback.Failed},
		"running":              {newCall("POST", `{"state":"running"}`), callback.Progressed, callback.Waiting},
		"running by header":    {newCall("POST", `{"state":"done"}`, "X-Step", "1"), callback.Progressed, callback.Waiting},
		"failed before all":    {newCall("POST", `{"state":"error"}`, "X-Step", "1"), callback.Accepted, callback.Failed},
		"the wire header, too": {newCall("POST", `{"state":"done"}`, statusHeader, "failed"), callback.Accepted, callback.Failed},
	} {
		v := receive(waiting(p), p, c.call, born)
		if v.Kind != c.kind || v.Next.Phase != c.end {
			t.Errorf("%s: %v, %s", name, v.Kind, v.Next.Phase)
		}
	}
	v := receive(waiting(p), p, newCall("POST", `{"state":"error","reason":"no\u0000stock"}`, "X-Code", "E17"), born)
	if f := v.Next.Failure; f.ErrorCode != "E17" || f.ErrorText != "nostock" {
		t.Errorf("%+v", f)
	}
}

func TestCallToTheFailedURLMeansFailedWhateverItHolds(t *testing.T) {
	p := compiled(t, callback.Policy{Progress: []callback.Match{{Location: at("header", "X-Step"), Values: []string{"1"}}}})
	c := newCall("POST", "", statusHeader, "Ok", "X-Step", "1")
	c.Suffix = callback.SuffixFailed
	if v := receive(waiting(p), p, c, born); v.Kind != callback.Accepted || v.Next.Phase != callback.Failed {
		t.Errorf("%v, %v", v.Kind, v.Next)
	}
}

func TestProgressIsKeptAndConsumesNothing(t *testing.T) {
	p := compiled(t, callback.Policy{
		Respond:  &callback.Respond{Status: 202, Body: "noted"},
		Progress: []callback.Match{{Location: at("header", "X-Step"), Values: []string{"1", "2"}}},
	})
	r := waiting(p)
	for _, step := range []string{"1", "2", "2"} {
		v := receive(r, p, newCall("POST", step, "X-Step", step), born)
		if v.Kind != callback.Progressed || v.Reply.Status != 202 || v.Reply.Body != "noted" {
			t.Fatalf("%v, %+v", v.Kind, v.Reply)
		}
		r = v.Next
	}
	if r.Phase != callback.Waiting || string(r.Latest.Body.Data) != "2" || r.Calls != 3 || len(r.Bodies()) != 1 {
		t.Errorf("%+v", r)
	}
	v := receive(r, p, newCall("POST", "done"), born)
	if v.Kind != callback.Accepted || v.Next.Latest != nil || v.Next.Calls != 4 {
		t.Errorf("%v, %+v", v.Kind, v.Next)
	}
	if v := receive(v.Next, p, newCall("POST", "2", "X-Step", "2"), born); v.Kind != callback.Conflict {
		t.Errorf("progress after the end is %v", v.Kind)
	}
}

func TestFailureAnsweredWithTheCallsOwnBody(t *testing.T) {
	p := compiled(t, callback.Policy{FailedBody: true, FailedStatus: 502})
	v := receive(waiting(p), p, newCall("POST", `{"why":"x"}`, statusHeader, "Failed", "Content-Type", "application/json"), born)
	result := v.Next.Result(p)
	if result.Status != 502 || result.Failure != nil || string(result.Body.Data) != `{"why":"x"}` {
		t.Errorf("%+v", result)
	}
	if result.Header.Get("Content-Type") != "application/json" || result.Header.Get(statusHeader) != "Failed" {
		t.Errorf("%v", result.Header)
	}
}

func TestWithoutRetryARefusedCallEndsTheCallbackAsFailed(t *testing.T) {
	p := compiled(t, callback.Policy{Once: true, RequireStatus: true})
	v := receive(waiting(p), p, newCall("POST", ""), born)
	if v.Kind != callback.Refused || v.Next == nil || v.Next.Phase != callback.Failed || v.Next.Failure.ErrorCode != "missing-header" {
		t.Fatalf("%v, %+v", v.Kind, v.Next)
	}
	if again := receive(v.Next, p, newCall("POST", "", statusHeader, "Ok"), born); again.Kind != callback.Gone || again.Next != nil {
		t.Errorf("a call after that is %v", again.Kind)
	}
	if result := v.Next.Result(p); result.Status != callback.DefaultFailedStatus || result.Failure.ErrorText == "" {
		t.Errorf("%+v", result)
	}
	if v := receive(waiting(p), p, newCall("PUT", "", statusHeader, "Ok"), born); v.Kind != callback.Accepted {
		t.Errorf("a good call is %v", v.Kind)
	}
}

func TestWithoutRetryARefusedCallEndsWhatTakesManyCallsUnlessOneWasAccepted(t *testing.T) {
	p := compiled(t, callback.Policy{Once: true, Multiple: true, RequireStatus: true})
	good, bad := newCall("POST", "x", statusHeader, "Ok"), newCall("POST", "x")
	ended := receive(waiting(p), p, bad, born).Next
	if v := receive(ended, p, good, born); ended.Phase != callback.Failed || v.Kind != callback.Gone || !v.Closed {
		t.Errorf("after a refused call, in %v, a good one is %v", ended.Phase, v.Kind)
	}
	accepted := accept(t, waiting(p), p, good)
	if v := receive(accepted, p, bad, born); v.Kind != callback.Refused || v.Next != nil {
		t.Errorf("a bad call after a good one is %v, %v", v.Kind, v.Next)
	}
}

func TestManyCallsEachReplaceTheResult(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true})
	r := waiting(p)
	for _, c := range []struct {
		body, status string
		phase        callback.Phase
	}{{"one", "Ok", callback.Resolved}, {"two", "Failed", callback.Failed}, {"three", "Ok", callback.Resolved}, {"three", "Ok", callback.Resolved}} {
		v := receive(r, p, newCall("POST", c.body, statusHeader, c.status), born)
		if v.Kind != callback.Accepted || v.Next.Phase != c.phase || string(v.Next.Call.Body.Data) != c.body {
			t.Fatalf("%s: %v, %+v", c.body, v.Kind, v.Next)
		}
		r = v.Next
	}
	if r.Calls != 4 {
		t.Errorf("%d calls", r.Calls)
	}
	if keep := born.Add(lifetime).Add(p.Retain); r.KeepUntil != keep {
		t.Errorf("it is kept until %v, want %v", r.KeepUntil, keep)
	}
	if v := receive(r, p, newCall("POST", "late"), born.Add(lifetime)); v.Kind != callback.Gone || v.Closed || v.Next != nil {
		t.Errorf("after its time a call is %v", v.Kind)
	}
}

func TestCallThatNamesItselfCountsOnce(t *testing.T) {
	for _, header := range []string{"Webhook-Id", "Idempotency-Key"} {
		p := compiled(t, callback.Policy{Multiple: true})
		first := receive(waiting(p), p, newCall("POST", "a", header, "m1"), born).Next
		if v := receive(first, p, newCall("POST", "other", header, "m1"), born); v.Kind != callback.Repeated || v.Next != nil {
			t.Errorf("%s again: %v", header, v.Kind)
		}
		if v := receive(first, p, newCall("POST", "a", header, "m2"), born); v.Kind != callback.Accepted || v.Next.Calls != 2 {
			t.Errorf("another %s: %v", header, v.Kind)
		}
	}
}

func TestCallWithAKnownNameIsARepetitionInEveryMode(t *testing.T) {
	p := compiled(t, callback.Policy{
		Respond:  &callback.Respond{Status: 202, Body: "{http.callback.call.body}"},
		Progress: []callback.Match{{Location: at("header", "X-Step")}},
	})
	progress := newCall("POST", "step", "Webhook-Id", "m1", "X-Step", "1")
	noted := receive(waiting(p), p, progress, born).Next
	if v := receive(noted, p, newCall("POST", "attempt 2", "Webhook-Id", "m1"), born); v.Kind != callback.Repeated || v.Next != nil || v.Reply.Body != "step" {
		t.Errorf("progress again, with other bytes: %v, %+v", v.Kind, v.Reply)
	}
	ended := accept(t, noted, p, newCall("POST", "done", "Webhook-Id", "m2"))
	for _, name := range []string{"m1", "m2"} {
		if v := receive(ended, p, newCall("POST", "attempt 2", "Webhook-Id", name), born); v.Kind != callback.Repeated || v.Reply.Body != "done" {
			t.Errorf("%s again: %v, %+v", name, v.Kind, v.Reply)
		}
	}
	if v := receive(ended, p, newCall("POST", "attempt 2", "Webhook-Id", "m3"), born); v.Kind != callback.Conflict {
		t.Errorf("another name: %v", v.Kind)
	}
	if v := receive(ended, p, newCall("POST", "attempt 2", "Idempotency-Key", "m2"), born); v.Kind != callback.Conflict {
		t.Errorf("the name in another header: %v", v.Kind)
	}
}

func TestRefusedCallLeavesItsNameFree(t *testing.T) {
	p := compiled(t, callback.Policy{RequireStatus: true})
	r := waiting(p)
	if v := receive(r, p, newCall("POST", "x", "Webhook-Id", "m1"), born); v.Kind != callback.Refused {
		t.Fatalf("it is %v", v.Kind)
	}
	if v := receive(r, p, newCall("POST", "x", "Webhook-Id", "m1", statusHeader, "Ok"), born); v.Kind != callback.Accepted {
		t.Errorf("made again it is %v", v.Kind)
	}
}

func TestNamesOfCallersWithDifferentKeysAreDifferent(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true, Keys: []string{"a", "b"}})
	by := func(key, body string) *callback.Call {
		c := newCall("POST", body, "Webhook-Id", "m1")
		c.Caller = callback.Caller{Shown: true, Known: true, Names: []string{key}}
		return c
	}
	r := receive(waiting(p), p, by("a", "noise"), born).Next
	v := receive(r, p, by("b", "the event"), born)
	if v.Kind != callback.Accepted {
		t.Fatalf("the call of another key is %v", v.Kind)
	}
	if again := receive(v.Next, p, by("b", "the event, attempt 2"), born); again.Kind != callback.Repeated {
		t.Errorf("again it is %v", again.Kind)
	}
}

// TestNamesThatVersion01RememberedAreKnown has a mark as version 0.1 made it.
func TestNamesThatVersion01RememberedAreKnown(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true, Keys: []string{"a"}})
	c := newCall("POST", "x", "Webhook-Id", "m1")
	c.Caller = callback.Caller{Shown: true, Known: true, Names: []string{"a"}}
	r := *receive(waiting(p), p, c, born).Next
	sum := sha256.Sum256([]byte("Webhook-Id:m1"))
	r.Seen = []uint64{binary.BigEndian.Uint64(sum[:8])}
	if v := receive(&r, p, c, born); v.Kind != callback.Repeated {
		t.Errorf("it is %v", v.Kind)
	}
}

func TestOnConflictIgnoreAnswersLaterCallsWithTheFirstReply(t *testing.T) {
	p := compiled(t, callback.Policy{IgnoreConflicts: true, Respond: &callback.Respond{Body: "{http.callback.call.body}"}})
	r := accept(t, waiting(p), p, newCall("POST", "one"))
	c := newCall("POST", "two")
	if v := receive(r, p, c, born); v.Kind != callback.Repeated || v.Reply.Body != "one" || v.Next != nil {
		t.Errorf("%v, %+v", v.Kind, v.Reply)
	}
	if v := r.Resolve(p, c, lookIn(r, p, c), born); v.Kind != callback.Conflict {
		t.Errorf("an operator's is %v", v.Kind)
	}
}

func TestRememberedCallsAreBounded(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true})
	r := waiting(p)
	for i := range 1100 {
		r = receive(r, p, newCall("POST", "", "Webhook-Id", strings.Repeat("x", i+1)), born).Next
	}
	if len(r.Seen) != 1000 || r.Calls != 1100 {
		t.Errorf("%d are remembered of %d", len(r.Seen), r.Calls)
	}
}

func TestClosingWhatTakesManyCallsKeepsItsResult(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true})
	r := receive(waiting(p), p, newCall("POST", "one"), born).Next
	later := born.Add(time.Minute)
	shut, yes := r.Close(p, "by hand", "", later)
	if !yes || shut.Phase != callback.Resolved || shut.KeepUntil != later.Add(p.Retain) {
		t.Fatalf("%v, %+v", yes, shut)
	}
	if v := receive(shut, p, newCall("POST", "two"), later); v.Kind != callback.Gone || !v.Closed {
		t.Errorf("a call after that is %v", v.Kind)
	}
	if _, again := shut.Close(p, "by hand", "", later); again {
		t.Error("it can be closed twice")
	}
	if string(shut.Result(p).Body.Data) != "one" {
		t.Error("the result is gone")
	}
}

func TestRepliesAndRecordsAreBounded(t *testing.T) {
	p := compiled(t, callback.Policy{Respond: &callback.Respond{Body: "got {http.callback.call.body} and {http.callback.id}"}})
	huge := strings.Repeat("x", 10<<20)
	c := newCall("POST", huge)
	v := waiting(p).Receive(p, c, func(name string) string {
		if name == "id" {
			return "42"
		}
		return huge
	}, born)
	if v.Reply.Body != "got  and 42" {
		t.Errorf("the reply has %d bytes", len(v.Reply.Body))
	}
	if v.Next.Size() < 10<<20 {
		t.Errorf("the record says that it takes %d bytes", v.Next.Size())
	}
	v.Next.Call.Body.File = "f"
	if v.Next.Size() > 64<<10 {
		t.Errorf("with its body in a file it says %d bytes", v.Next.Size())
	}
}

func TestReplyCannotRedirectByAHeader(t *testing.T) {
	for _, name := range []string{"Location", "Refresh"} {
		p := callback.Policy{BaseURL: base, ReplyHeader: callback.Header{{Name: name, Value: "{http.callback.call.body}"}}}
		if err := p.Compile(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
