package callback_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

const (
	correlationHeader = "X-Link-Correlation-Id"
	statusHeader      = "X-Link-Status"
)

func TestAwaitedCallIsAccepted(t *testing.T) {
	for name, c := range map[string]*callback.Call{
		"plain":                    newCall("POST", "paid"),
		"empty":                    newCall("POST", ""),
		"another method":           newCall("DELETE", "paid"),
		"matching correlation id":  newCall("POST", "paid", correlationHeader, correlation),
		"correlation id twice":     newCall("POST", "paid", correlationHeader, correlation, correlationHeader, correlation),
		"status Ok":                newCall("POST", "paid", statusHeader, "Ok"),
		"status ok in lower case":  newCall("POST", "paid", statusHeader, "ok"),
		"status OK in upper case":  newCall("POST", "paid", statusHeader, "OK"),
		"error text without error": newCall("POST", "paid", "X-Link-Error-Text", "never mind"),
	} {
		t.Run(name, func(t *testing.T) {
			p := compiled(t, callback.Policy{})
			r := waiting(p)
			before := contents(t, r)
			next := accept(t, r, p, c)
			if next.Phase != callback.Resolved || next.Call != c || next.Failure != nil || next.Payload.IsZero() {
				t.Errorf("got %s", contents(t, next))
			}
			if next.FinishedAt != c.ReceivedAt || next.KeepUntil != c.ReceivedAt.Add(callback.DefaultRetain) {
				t.Errorf("finished at %d, kept until %d", next.FinishedAt, next.KeepUntil)
			}
			if contents(t, r) != before {
				t.Error("the record handed in was changed")
			}
		})
	}
}

func TestCallWithoutAnAcceptableStatusOrCorrelationIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		call *callback.Call
		slug string
	}{
		"other correlation id":      {newCall("POST", "", correlationHeader, "order-1"), "correlation-mismatch"},
		"empty correlation id":      {newCall("POST", "", correlationHeader, ""), "correlation-mismatch"},
		"correlation id's case":     {newCall("POST", "", correlationHeader, strings.ToUpper(correlation)), "correlation-mismatch"},
		"another UUID in capitals":  {newCall("POST", "", correlationHeader, strings.ToUpper(callback.NewUUID().String())), "correlation-mismatch"},
		"one right, one wrong":      {newCall("POST", "", correlationHeader, correlation, correlationHeader, "order-1"), "correlation-mismatch"},
		"unknown status":            {newCall("POST", "", statusHeader, "Done"), "invalid-status"},
		"empty status":              {newCall("POST", "", statusHeader, ""), "invalid-status"},
		"unknown status twice":      {newCall("POST", "", statusHeader, "Done", statusHeader, "Done"), "invalid-status"},
		"contradicting statuses":    {newCall("POST", "", statusHeader, "Ok", statusHeader, "Failed"), "invalid-status"},
		"status list":               {newCall("POST", "", statusHeader, "Ok, Failed"), "invalid-status"},
		"both are wrong":            {newCall("POST", "", statusHeader, "x", correlationHeader, "y"), "correlation-mismatch"},
		"status with inner spaces":  {newCall("POST", "", statusHeader, "O k"), "invalid-status"},
		"status with a line feed":   {newCall("POST", "", statusHeader, "Ok\n"), "invalid-status"},
		"failed, wrong correlation": {newCall("POST", "", statusHeader, "Failed", correlationHeader, "y"), "correlation-mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			p := compiled(t, callback.Policy{})
			r := waiting(p)
			before := contents(t, r)
			v := receive(r, p, c.call, born)
			if v.Kind != callback.Refused || v.Fault.Slug != c.slug || v.Fault.Detail == "" {
				t.Errorf("got %+v", v)
			}
			if v.Next != nil || v.Reply != nil || contents(t, r) != before {
				t.Error("a refused call changes nothing")
			}
			accept(t, r, p, newCall("POST", "right"))
		})
	}
}

func TestWhatIsSaidTwiceIsSaidOnce(t *testing.T) {
	p := compiled(t, callback.Policy{RequireCorrelationID: true, RequireStatus: true})
	v := receive(waiting(p), p, newCall("POST", "", correlationHeader, correlation, correlationHeader, correlation, statusHeader, "Ok", statusHeader, "ok"), born)
	if v.Kind != callback.Accepted || v.Next.Phase != callback.Resolved {
		t.Errorf("got %+v", v)
	}
	v = receive(waiting(p), p, newCall("POST", "", correlationHeader, correlation, statusHeader, "Failed", statusHeader, "FAILED"), born)
	if v.Kind != callback.Accepted || v.Next.Phase != callback.Failed {
		t.Errorf("got %+v", v)
	}
}

// TestCorrelationIDOfOursIsAUUIDInAnySpelling has the forms in which software writes
// UUIDs. An id that somebody else chose has one spelling.
func TestCorrelationIDOfOursIsAUUIDInAnySpelling(t *testing.T) {
	p := compiled(t, callback.Policy{})
	for name, spell := range map[string]func(string) string{
		"as it is":           func(id string) string { return id },
		"capitals":           strings.ToUpper,
		"one capital":        func(id string) string { return strings.Replace(id, "a", "A", 1) },
		"braces":             func(id string) string { return "{" + id + "}" },
		"capitals in braces": func(id string) string { return "{" + strings.ToUpper(id) + "}" },
		"brackets":           func(id string) string { return "(" + id + ")" },
		"URN":                func(id string) string { return "urn:uuid:" + id },
		"URN in capitals":    func(id string) string { return strings.ToUpper("urn:uuid:" + id) },
		"no hyphens":         func(id string) string { return strings.ReplaceAll(id, "-", "") },
	} {
		ours := callback.New(&secret, p, callback.Spec{ExpiresIn: lifetime}, born)
		if v := receive(ours, p, newCall("POST", "", correlationHeader, spell(ours.CorrelationID)), born); v.Kind != callback.Accepted {
			t.Errorf("%s: got %+v", name, v)
		}
		next := accept(t, ours, p, newCall("POST", "done", correlationHeader, ours.CorrelationID))
		again := newCall("POST", "done", correlationHeader, spell(ours.CorrelationID), correlationHeader, ours.CorrelationID)
		if v := receive(next, p, again, born); v.Kind != callback.Repeated {
			t.Errorf("%s, again: got %+v", name, v)
		}
		for _, chosen := range []string{"Order-A", strings.ToUpper(aUUID), "{" + aUUID + "}", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"} {
			theirs := callback.New(&secret, p, callback.Spec{CorrelationID: chosen, ExpiresIn: lifetime}, born)
			v := receive(theirs, p, newCall("POST", "", correlationHeader, spell(chosen)), born)
			if (v.Kind == callback.Accepted) != (spell(chosen) == chosen) {
				t.Errorf("%s of %s: got %+v", name, chosen, v)
			}
		}
		if _, ok := callback.ParseUUID(spell(ours.ID.String())); ok != (spell(ours.ID.String()) == ours.ID.String()) {
			t.Errorf("%s is taken as a state", name)
		}
	}
}

func TestCallNamesOneCorrelationID(t *testing.T) {
	for name, c := range map[string]struct {
		ids  []string
		want string
	}{
		"none": {nil, ""}, "one": {[]string{"a"}, "a"}, "twice the same": {[]string{"a", "a"}, "a"}, "two": {[]string{"a", "b"}, ""}, "two cases": {[]string{"a", "A"}, ""},
		"two spellings": {[]string{strings.ToUpper(aUUID), aUUID}, strings.ToUpper(aUUID)}, "two UUIDs": {[]string{aUUID, secretText}, ""},
		"three spellings": {[]string{aUUID, "{" + aUUID + "}", "urn:uuid:" + aUUID}, aUUID},
	} {
		var lines []string
		for _, id := range c.ids {
			lines = append(lines, correlationHeader, id)
		}
		if got, err := newCall("POST", "", lines...).CorrelationID(at("header", correlationHeader)); got != c.want || err != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestFaultsDoNotRepeatWhatTheCallSaid(t *testing.T) {
	p := compiled(t, callback.Policy{})
	for _, name := range []string{correlationHeader, statusHeader} {
		if v := receive(waiting(p), p, newCall("POST", "", name, "<script>"), born); strings.Contains(v.Fault.Detail, "script") {
			t.Errorf("%s: %s", name, v.Fault.Detail)
		}
	}
}

func TestHeaderPrefixNamesTheHeadersThatCount(t *testing.T) {
	p := compiled(t, callback.Policy{HeaderPrefix: "X-Acme-"})
	accept(t, waiting(p), p, newCall("POST", "", statusHeader, "nonsense", correlationHeader, "wrong"))
	if v := receive(waiting(p), p, newCall("POST", "", "X-Acme-Status", "nonsense"), born); v.Kind != callback.Refused {
		t.Errorf("got %+v", v)
	}
}

func TestMethodThatIsNoneOfThePolicysIsWrongAtAnyTime(t *testing.T) {
	p := compiled(t, callback.Policy{Methods: []string{"PUT"}})
	resolved := accept(t, waiting(p), p, newCall("PUT", "a"))
	for _, r := range []*callback.Record{waiting(p), resolved, expired(t, p), closed(t, p)} {
		for _, method := range []string{"GET", "POST", "HEAD", "OPTIONS", "put", "", "BREW"} {
			v := receive(r, p, newCall(method, "a"), born.Add(2*lifetime))
			if v.Kind != callback.WrongMethod || v.Next != nil || v.Reply != nil {
				t.Errorf("%s while %s: %+v", method, r.Phase, v)
			}
		}
	}
}

func TestExpiryIsJudgedOnArrivalToTheMillisecond(t *testing.T) {
	p := compiled(t, callback.Policy{})
	end := born.Add(lifetime)
	if v := receive(waiting(p), p, newCall("POST", ""), end-1); v.Kind != callback.Accepted {
		t.Errorf("a millisecond before the end: %+v", v)
	}
	for _, now := range []callback.Time{end, end + 1, end.Add(24 * time.Hour)} {
		v := receive(waiting(p), p, newCall("POST", ""), now)
		if v.Kind != callback.Gone || v.Next == nil || v.Next.Phase != callback.Expired || v.Reply != nil {
			t.Fatalf("at the end: %+v", v)
		}
		if v.Next.FinishedAt != now || v.Next.KeepUntil != now.Add(callback.DefaultRetain) || v.Next.Call != nil {
			t.Errorf("got %s", contents(t, v.Next))
		}
	}
}

func TestLateCallThatWouldBeRefusedFindsTheCallbackGone(t *testing.T) {
	p := compiled(t, callback.Policy{})
	v := receive(waiting(p), p, newCall("POST", "", statusHeader, "nonsense"), born.Add(lifetime))
	if v.Kind != callback.Gone || v.Next == nil {
		t.Errorf("got %+v", v)
	}
}

func TestCallbackThatExpiredOrWasClosedStaysGone(t *testing.T) {
	p := compiled(t, callback.Policy{})
	for _, r := range []*callback.Record{expired(t, p), closed(t, p)} {
		for _, now := range []callback.Time{0, born, born.Add(3 * lifetime)} {
			if v := receive(r, p, newCall("POST", ""), now); v.Kind != callback.Gone || v.Next != nil || v.Reply != nil {
				t.Errorf("%s at %d: %+v", r.Phase, now, v)
			}
		}
	}
}

func TestSamePayloadGetsTheFirstReplyAgain(t *testing.T) {
	p := compiled(t, respondPolicy())
	first := newCall("POST", "paid", statusHeader, "Ok", "X-Trace", "1")
	next := accept(t, waiting(p), p, first)
	for name, again := range map[string]*callback.Call{
		"the very same":       first,
		"other plain headers": newCall("POST", "paid", statusHeader, "Ok", "X-Trace", "2", "User-Agent", "retry/1"),
		"another method":      newCall("PUT", "paid", statusHeader, "Ok"),
	} {
		v := receive(next, p, again, born.Add(5*lifetime))
		if v.Kind != callback.Repeated || v.Next != nil || v.Reply != next.Reply {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestAnotherPayloadConflicts(t *testing.T) {
	p := compiled(t, respondPolicy())
	next := accept(t, waiting(p), p, newCall("POST", "paid"))
	suffix, query := newCall("POST", "paid"), newCall("POST", "paid")
	suffix.Suffix, query.Query = "/failed", "a=b"
	for name, other := range map[string]*callback.Call{
		"body": newCall("POST", "not paid"), "empty body": newCall("POST", ""), "suffix": suffix, "query": query,
		"a status more":           newCall("POST", "paid", statusHeader, "Ok"),
		"reported as failed":      newCall("POST", "paid", statusHeader, "Failed"),
		"that would be refused":   newCall("POST", "paid", statusHeader, "nonsense"),
		"wrong correlation id":    newCall("POST", "paid", correlationHeader, "order-1"),
		"its correlation id, too": newCall("POST", "paid", correlationHeader, correlation),
	} {
		if v := receive(next, p, other, born); v.Kind != callback.Conflict || v.Next != nil || v.Reply != nil {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestRepeatsAndConflictsComeAfterAFailedCallToo(t *testing.T) {
	p := compiled(t, callback.Policy{})
	first := newCall("POST", "", statusHeader, "Failed")
	next := accept(t, waiting(p), p, first)
	if v := receive(next, p, first, born); v.Kind != callback.Repeated || v.Reply != next.Reply {
		t.Errorf("got %+v", v)
	}
	if v := receive(next, p, newCall("POST", ""), born); v.Kind != callback.Conflict {
		t.Errorf("got %+v", v)
	}
}

func TestLaterGetAfterARedirectedGetGetsTheSameRedirect(t *testing.T) {
	p := compiled(t, redirectPolicy())
	first := newCall("GET", "")
	first.Query = "code=1"
	next := accept(t, waiting(p), p, first)
	reload := newCall("GET", "", statusHeader, "nonsense")
	reload.Query = "code=2"
	if v := receive(next, p, reload, born.Add(5*lifetime)); v.Kind != callback.Repeated || v.Reply != next.Reply || v.Next != nil {
		t.Errorf("got %+v", v)
	}
	if v := receive(next, p, newCall("POST", "other"), born); v.Kind != callback.Conflict {
		t.Errorf("a POST after it: %+v", v)
	}
}

func TestGetAfterARedirectedPostIsJudgedByItsPayload(t *testing.T) {
	p := compiled(t, redirectPolicy())
	next := accept(t, waiting(p), p, newCall("POST", "paid"))
	if v := receive(next, p, newCall("GET", ""), born); v.Kind != callback.Conflict {
		t.Errorf("got %+v", v)
	}
}

func TestLaterGetConflictsWhereGetIsNotRedirected(t *testing.T) {
	p := compiled(t, callback.Policy{Methods: []string{"GET"}})
	first, second := newCall("GET", ""), newCall("GET", "")
	second.Query = "code=2"
	next := accept(t, waiting(p), p, first)
	if v := receive(next, p, second, born); v.Kind != callback.Conflict {
		t.Errorf("got %+v", v)
	}
}

func TestPersonReturnsAtAnyTimeWithoutChangingAnything(t *testing.T) {
	p := compiled(t, bothPolicy())
	resolved := accept(t, waiting(p), p, newCall("POST", "paid"))
	for _, r := range []*callback.Record{waiting(p), resolved} {
		before := contents(t, r)
		v := receive(r, p, newCall("GET", "", statusHeader, "nonsense", correlationHeader, "wrong"), born)
		if v.Kind != callback.Returned || v.Next != nil || contents(t, r) != before {
			t.Fatalf("%s: %+v", r.Phase, v)
		}
		if v.Reply.Status != 302 || v.Reply.Header.Get("Location") != base+"/done?order="+correlation {
			t.Errorf("%s: %+v", r.Phase, v.Reply)
		}
	}
}

func expired(t testing.TB, p *callback.Policy) *callback.Record {
	t.Helper()
	r, yes := waiting(p).Expire(p, born.Add(lifetime))
	if !yes {
		t.Fatal("not expired")
	}
	return r
}

func closed(t testing.TB, p *callback.Policy) *callback.Record {
	t.Helper()
	r, yes := waiting(p).Close(p, "test", "", born)
	if !yes {
		t.Fatal("not closed")
	}
	return r
}
