package callback_test

import (
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func ack(status int) *callback.Response {
	return &callback.Response{
		Status: status,
		Header: callback.Header{
			{Name: "Content-Type", Value: "text/plain"},
			{Name: "Set-Cookie", Value: "a=1"},
			{Name: "Set-Cookie", Value: "b=2"},
			{Name: "X-Link-Status", Value: "Failed"},
			{Name: "X_link_correlation_id", Value: "spoofed"},
		},
		Body: callback.NewBody([]byte("accepted")),
	}
}

func acknowledged(t testing.TB, r *callback.Record, a *callback.Response) *callback.Record {
	t.Helper()
	next, yes := r.Acknowledge(a)
	if !yes {
		t.Fatal("not acknowledged")
	}
	return next
}

func TestResultIsTheCall(t *testing.T) {
	p := compiled(t, callback.Policy{})
	c := newCall("POST", "the body", "Content-Type", "text/html", "Etag", `"1"`, "Link", "<a>", "Link", "<b>", "X-Trace", "1", "Set-Cookie", "a")
	r := accept(t, waiting(p), p, c).Result(p)
	want := callback.Header{
		{Name: "Content-Type", Value: "text/html"}, {Name: "Etag", Value: `"1"`}, {Name: "Link", Value: "<a>"}, {Name: "Link", Value: "<b>"},
		{Name: correlationHeader, Value: correlation}, {Name: statusHeader, Value: "Ok"},
	}
	if r.Status != 200 || r.Failure != nil || string(r.Body.Data) != "the body" || contents(t, r.Header) != contents(t, want) {
		t.Errorf("got %s", contents(t, r))
	}
}

func TestResultHasTheHeadersThatWereConfigured(t *testing.T) {
	for name, c := range map[string]struct {
		names []string
		want  []string
	}{
		"own":          {[]string{"x-trace"}, []string{"X-Trace"}},
		"none":         {[]string{}, nil},
		"default":      {nil, []string{"Content-Type", "Etag"}},
		"wire headers": {[]string{correlationHeader, statusHeader}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := compiled(t, callback.Policy{CopyHeaders: c.names})
			call := newCall("POST", "", "Content-Type", "a/b", "Etag", "1", "X-Trace", "1", correlationHeader, correlation, statusHeader, "ok")
			r := accept(t, waiting(p), p, call).Result(p)
			var got []string
			for _, f := range r.Header {
				got = append(got, f.Name)
			}
			if want := append(c.want, correlationHeader, statusHeader); contents(t, got) != contents(t, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestAckIsTheResultWhereThePolicySaysSo(t *testing.T) {
	p := compiled(t, callback.Policy{AckIsResult: true})
	before := ack(202)
	r := accept(t, acknowledged(t, waiting(p), before), p, newCall("POST", "yes")).Result(p)
	want := callback.Header{
		{Name: "Content-Type", Value: "text/plain"}, {Name: "Set-Cookie", Value: "a=1"}, {Name: "Set-Cookie", Value: "b=2"},
		{Name: correlationHeader, Value: correlation}, {Name: statusHeader, Value: "Ok"},
	}
	if r.Status != 202 || string(r.Body.Data) != "accepted" || contents(t, r.Header) != contents(t, want) {
		t.Errorf("got %s", contents(t, r))
	}
	if contents(t, before) != contents(t, ack(202)) {
		t.Error("building the result changed the ack")
	}
}

func TestAckThatNeverCameLeavesAnEmptyResult(t *testing.T) {
	p := compiled(t, callback.Policy{AckIsResult: true})
	r := accept(t, waiting(p), p, newCall("POST", "yes")).Result(p)
	if r.Status != 200 || r.Body == nil || r.Body.Size != 0 || r.Header.Get(correlationHeader) != correlation {
		t.Errorf("got %s", contents(t, r))
	}
}

func TestResultOfAFailedCallbackTellsOfTheFailure(t *testing.T) {
	c := newCall("POST", "why", "Content-Type", "text/plain", statusHeader, "failed", documentHeader, "Rejected", codeHeader, "E42", textHeader, "no\x07 stock")
	for name, policy := range map[string]callback.Policy{"default": {}, "own status": {FailedStatus: 502}, "ack is result": {AckIsResult: true}} {
		t.Run(name, func(t *testing.T) {
			p := compiled(t, policy)
			r := accept(t, acknowledged(t, waiting(p), ack(202)), p, c).Result(p)
			want := callback.Header{
				{Name: correlationHeader, Value: correlation}, {Name: statusHeader, Value: "Failed"},
				{Name: documentHeader, Value: "Failed"}, {Name: technicalHeader, Value: "Rejected"},
				{Name: codeHeader, Value: "E42"}, {Name: textHeader, Value: "no stock"},
			}
			if r.Status != p.FailedStatus || r.Body != nil || r.Failure == nil || contents(t, r.Header) != contents(t, want) {
				t.Errorf("got %s", contents(t, r))
			}
		})
	}
}

func TestResultOfAFailureWithoutDetailsHasNoEmptyHeaders(t *testing.T) {
	p := compiled(t, callback.Policy{})
	r := accept(t, waiting(p), p, newCall("POST", "", statusHeader, "Failed")).Result(p)
	if len(r.Header) != 3 || r.Header.Get(documentHeader) != "Failed" {
		t.Errorf("got %s", contents(t, r.Header))
	}
}

func TestResultIsTheSameEveryTime(t *testing.T) {
	for _, policy := range []callback.Policy{{}, {AckIsResult: true}} {
		p := compiled(t, policy)
		r := accept(t, acknowledged(t, waiting(p), ack(202)), p, newCall("POST", "x", "Content-Type", "a/b"))
		before := contents(t, r)
		first, second := contents(t, r.Result(p)), contents(t, r.Result(p))
		if first != second || contents(t, r) != before {
			t.Errorf("%s, then %s", first, second)
		}
	}
}

func TestAckAfterTheEndChangesNothingElse(t *testing.T) {
	p := compiled(t, callback.Policy{})
	for _, r := range []*callback.Record{waiting(p), accept(t, waiting(p), p, newCall("POST", "")), expired(t, p), closed(t, p)} {
		before := contents(t, r)
		next := acknowledged(t, r, ack(202))
		if next.Phase != r.Phase || next.Ack.Status != 202 || contents(t, r) != before {
			t.Errorf("%s became %s", before, contents(t, next))
		}
		next.Ack, next.Acked = nil, false
		if contents(t, next) != before {
			t.Errorf("%s became %s", before, contents(t, next))
		}
	}
}

func TestOnlyTheFirstAckCounts(t *testing.T) {
	p := compiled(t, callback.Policy{})
	if next, yes := acknowledged(t, waiting(p), ack(202)).Acknowledge(ack(200)); yes || next != nil {
		t.Errorf("got %+v", next)
	}
}

func TestOnlyACallbackThatWaitsCanExpireOrBeClosed(t *testing.T) {
	p := compiled(t, callback.Policy{})
	late := born.Add(time.Hour * 24 * 365)
	for _, r := range []*callback.Record{accept(t, waiting(p), p, newCall("POST", "")), expired(t, p), closed(t, p)} {
		if next, yes := r.Expire(p, late); yes || next != nil {
			t.Errorf("%s expired", r.Phase)
		}
		if next, yes := r.Close(p, "again", "", late); yes || next != nil {
			t.Errorf("%s was closed", r.Phase)
		}
	}
	if next, yes := waiting(p).Expire(p, born.Add(lifetime)-1); yes || next != nil {
		t.Error("expired before its time")
	}
}

func TestCloseKeepsItsReason(t *testing.T) {
	p := compiled(t, callback.Policy{Retain: time.Minute})
	r := waiting(p)
	before := contents(t, r)
	next, _ := r.Close(p, "refused by the upstream", "", born+5)
	if next.Phase != callback.Closed || next.Reason != "refused by the upstream" || next.FinishedAt != born+5 || next.KeepUntil != born.Add(time.Minute)+5 {
		t.Errorf("got %s", contents(t, next))
	}
	if contents(t, r) != before {
		t.Error("the record handed in was changed")
	}
}
