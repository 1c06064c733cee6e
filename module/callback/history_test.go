package callback_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// lines returns what has happened to a callback since it was made, each as kind, status, reason
// and who did it.
func lines(r *callback.Record) (all []string) {
	for _, h := range r.Happenings(nil)[1:] {
		line := h.Kind.String()
		if h.Status != 0 {
			line += fmt.Sprintf(" %d", h.Status)
		}
		if h.Reason != "" {
			line += " (" + h.Reason + ")"
		}
		if h.By != "" {
			line += " by " + h.By
		}
		all = append(all, line)
	}
	return all
}

func paid(header ...string) *callback.Call { return newCall("POST", "paid", header...) }

func signed(name string, header ...string) *callback.Call {
	c := paid(header...)
	c.Caller = callback.Caller{Shown: true, Known: true, Names: []string{"another", name}}
	return c
}

func TestHistoryTellsWhatHasBecomeOfACall(t *testing.T) {
	progress := []callback.Match{{Location: at("header", "X-Step"), Values: []string{"1"}}}
	for name, c := range map[string]struct {
		policy callback.Policy
		call   *callback.Call
		want   []string
	}{
		"accepted":           {respondPolicy(), paid(), []string{"called 201", "resolved"}},
		"failed":             {callback.Policy{}, paid(statusHeader, "Failed", "X-Link-Error-Text", "secret"), []string{"called 200", "failed"}},
		"redirected":         {redirectPolicy(), newCall("GET", ""), []string{"called 302", "resolved"}},
		"progress":           {callback.Policy{Progress: progress}, paid("X-Step", "1"), []string{"progressed 200"}},
		"with a key":         {callback.Policy{Keys: []string{"stripe"}}, signed("stripe"), []string{"called 200 by stripe", "resolved"}},
		"with its own key":   {callback.Policy{OwnKey: true}, &callback.Call{Method: "POST", Caller: callback.Caller{Own: true}}, []string{"called 200", "resolved"}},
		"goes on":            {callback.Policy{Then: true}, paid(), []string{"called 200"}},
		"refused":            {callback.Policy{}, paid(statusHeader, "Done"), nil},
		"refused for good":   {callback.Policy{Once: true}, paid(statusHeader, "Done"), []string{"refused 400 (invalid-status)", "failed (invalid-status)"}},
		"decided":            {callback.Policy{}, &callback.Call{Method: "POST", By: "ann", Choice: "approve"}, []string{"called 200 by ann", "decided (approve) by ann", "resolved"}},
		"decided, goes on":   {callback.Policy{Then: true}, &callback.Call{Method: "POST", By: "ann", Choice: "approve"}, []string{"called 200 by ann", "decided (approve) by ann"}},
		"nobody needs a key": {callback.Policy{}, signed("stripe"), []string{"called 200", "resolved"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := compiled(t, c.policy)
			r := waiting(p)
			if v := receive(r, p, c.call, born+9); v.Next != nil {
				r = v.Next
			}
			if got := lines(r); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			for _, h := range r.Happenings(nil)[1:] {
				if h.At != born+9 {
					t.Errorf("%s happened at %d", h.Kind, h.At)
				}
			}
		})
	}
}

func TestHistoryTellsWhoActed(t *testing.T) {
	p := compiled(t, callback.Policy{})
	call := paid()
	call.By = "ops"
	r := waiting(p).Resolve(p, call, lookIn(waiting(p), p, call), born).Next
	if got, want := lines(r), []string{"called (by hand) by ops", "resolved by ops"}; !slices.Equal(got, want) {
		t.Errorf("resolved: %q", got)
	}
	if r, _ = waiting(p).Close(p, "not needed", "ops", born); !slices.Equal(lines(r), []string{"closed (not needed) by ops"}) {
		t.Errorf("closed: %q", lines(r))
	}
	delivering := accept(t, working(p, ""), p, paid())
	if r, _ = delivering.Redeliver("ops", born); lines(r)[2] != "redelivered by ops" {
		t.Errorf("redelivered: %q", lines(r))
	}
	made := callback.New(&secret, p, callback.Spec{By: "shop", ExpiresIn: lifetime}, born)
	if all := made.Happenings(nil); len(all) != 1 || all[0] != (callback.Happening{At: born, Kind: callback.HappenedCreated, By: "shop"}) {
		t.Errorf("made: %+v", all)
	}
}

func TestHistoryTellsHowACallbackEnds(t *testing.T) {
	p := compiled(t, callback.Policy{})
	late := born.Add(lifetime)
	r, _ := waiting(p).Expire(p, late)
	if got := lines(r); !slices.Equal(got, []string{"expired"}) {
		t.Errorf("expired: %q", got)
	}
	if r, _ = working(p, callback.ThenBlock).Expire(p, late); !slices.Equal(lines(r), []string{"failed (expired)"}) {
		t.Errorf("with a job: %q", lines(r))
	}
	if r, _ = waiting(p).Withdraw(p, "the upstream answered 404", false, born); !slices.Equal(lines(r), []string{"closed (the upstream answered 404)"}) {
		t.Errorf("withdrawn: %q", lines(r))
	}
	many := compiled(t, callback.Policy{Multiple: true})
	r = accept(t, accept(t, waiting(many), many, paid()), many, newCall("POST", "again"))
	if r, _ = r.Close(many, "enough", "", born.Add(time.Minute)); !slices.Equal(lines(r), []string{"called 200", "resolved", "called 200", "resolved", "closed (enough)"}) {
		t.Errorf("many calls: %q", lines(r))
	}
	brief := compiled(t, callback.Policy{Retain: time.Hour, RetainBodies: time.Minute})
	r = accept(t, waiting(brief), brief, paid())
	if r, _ = r.StripBodies(r.KeepUntil); lines(r)[2] != "stripped" {
		t.Errorf("without its bodies: %q", lines(r))
	}
	keyed := compiled(t, callback.Policy{Keys: []string{"a"}})
	if r, _ = waiting(keyed).Correlate(keyed, "job-7", born); !slices.Equal(lines(r), []string{"correlated"}) {
		t.Errorf("correlated: %q", lines(r))
	}
}

func TestHistoryTellsOfJobsAndSteps(t *testing.T) {
	p := compiled(t, callback.Policy{})
	long := strings.Repeat("x", 1000)
	for name, c := range map[string]struct {
		block   callback.Block
		attempt callback.Attempt
		want    []string
	}{
		"acked":          {callback.CallBlock, callback.Attempt{Kind: callback.AttemptAcked, Status: 202}, []string{"acked 202"}},
		"perhaps":        {callback.CallBlock, callback.Attempt{Kind: callback.AttemptUnknown}, []string{"attempted (perhaps accepted)"}},
		"continued":      {callback.CallBlock, callback.Attempt{Kind: callback.AttemptContinued}, []string{"attempted (continued by a step)"}},
		"again":          {callback.ThenBlock, callback.Attempt{Kind: callback.AttemptRetry, Status: 503, Error: "the upstream answered 503"}, []string{"attempted 503 (the upstream answered 503)"}},
		"answered":       {callback.ThenBlock, callback.Attempt{Kind: callback.AttemptAnswered, Response: answer(201)}, []string{"attempted 201", "resolved"}},
		"refused":        {callback.ThenBlock, callback.Attempt{Kind: callback.AttemptAnswered, Response: answer(404)}, []string{"attempted 404", "failed (404)"}},
		"failed":         {callback.ThenBlock, callback.Attempt{Kind: callback.AttemptFailed, Code: "upstream", Error: long}, []string{"attempted (upstream)", "failed (upstream)"}},
		"not there":      {callback.PollBlock, callback.Attempt{Kind: callback.AttemptPolled, Status: 202}, []string{"polled 202"}},
		"unreadable":     {callback.PollBlock, callback.Attempt{Kind: callback.AttemptPolled, Status: 200, Call: paid(statusHeader, "Done")}, []string{"polled 200 (invalid-status)"}},
		"there":          {callback.PollBlock, callback.Attempt{Kind: callback.AttemptPolled, Status: 200, Call: paid()}, []string{"polled 200", "resolved"}},
		"there, failed":  {callback.PollBlock, callback.Attempt{Kind: callback.AttemptPolled, Status: 200, Call: paid(statusHeader, "Failed")}, []string{"polled 200", "failed"}},
		"an endless one": {callback.ThenBlock, callback.Attempt{Kind: callback.AttemptRetry, Error: long}, []string{"attempted (" + long[:128] + ")"}},
	} {
		r, yes := working(p, c.block).Attempted(p, c.block, c.attempt, born)
		if !yes || !slices.Equal(lines(r), c.want) {
			t.Errorf("%s: got %q, want %q", name, lines(r), c.want)
		}
	}
	step := waiting(p)
	step.Phase, step.Failure = callback.Failed, &callback.Failure{ErrorCode: "content"}
	parent := waiting(p)
	parent.Step = step.ID
	if r, _ := parent.Follow(p, step, nil, born); !slices.Equal(lines(r), []string{"failed (step)"}) {
		t.Errorf("a step that has failed: %q", lines(r))
	}
	step.Phase = callback.Resolved
	if r, _ := parent.Follow(p, step, answer(200), born); !slices.Equal(lines(r), []string{"resolved (step)"}) {
		t.Errorf("a step that is resolved: %q", lines(r))
	}
}

func TestHistoryTellsOfDeliveries(t *testing.T) {
	p := compiled(t, callback.Policy{})
	r := accept(t, working(p, ""), p, paid())
	for _, c := range []struct {
		sent callback.Sent
		want string
	}{
		{callback.Sent{Status: 500, Error: "answered 500", RetryAt: born}, "deliveryFailed 500 (answered 500)"},
		{callback.Sent{Dead: true, Error: "timed out"}, "deliveryDead (timed out)"},
		{callback.Sent{OK: true, Status: 204}, "delivered 204"},
	} {
		if next := deliver(t, r, p, 1, c.sent, born); lines(next)[2] != c.want {
			t.Errorf("got %q, want %q", lines(next), c.want)
		}
	}
	if next := deliver(t, r, p, 1, callback.Sent{Waits: true, RetryAt: born}, born); len(lines(next)) != 2 {
		t.Errorf("nothing was attempted: %q", lines(next))
	}
}

// What others can cause in any number neither fills the history nor drives out the rest.
func TestHistoryKeepsWhatMattersMost(t *testing.T) {
	h := callback.History(nil).Add(callback.MaxHistory, callback.Happening{At: born, Kind: callback.HappenedCreated, By: "shop"},
		callback.Happening{At: born, Kind: callback.HappenedSent}, callback.Happening{At: born, Kind: callback.HappenedAcked, Status: 202})
	for i := range 100 {
		status := 401 + i%2
		h = h.Add(callback.MaxHistory, callback.Happening{At: born + callback.Time(i), Kind: callback.HappenedRefused, Status: status})
		h = h.Add(callback.MaxHistory, callback.Happening{At: born + callback.Time(i) + 1, Kind: callback.HappenedRefused, Status: status})
	}
	all := (&callback.Record{History: h}).Happenings(nil)
	if len(all) != callback.MaxHistory || all[0].By != "shop" || all[1].Kind != callback.HappenedSent || all[2].Status != 202 || all[31].At != born+100 {
		t.Errorf("got %+v", all)
	}
	for i := range 100 {
		h = h.Add(callback.MaxHistory, callback.Happening{At: born.Add(time.Hour) + callback.Time(i), Kind: callback.HappenedDeliveryFailed})
	}
	all = (&callback.Record{History: h}).Happenings(nil)
	if len(all) != callback.MaxHistory || all[0].By != "shop" || all[1].Kind != callback.HappenedDeliveryFailed || all[31].At != born.Add(time.Hour)+99 {
		t.Errorf("after many deliveries: %+v", all)
	}
}

func drawHappening(t *rapid.T) callback.Happening {
	return callback.Happening{
		At:     born + callback.Time(rapid.IntRange(0, 5).Draw(t, "at")),
		Kind:   rapid.SampledFrom([]callback.HappeningKind{callback.HappenedSent, callback.HappenedAcked, callback.HappenedRefused, callback.HappenedCalled, callback.HappenedClosed}).Draw(t, "kind"),
		Status: rapid.SampledFrom([]int{0, 0, 200, 404}).Draw(t, "status"),
		Reason: rapid.SampledFrom([]string{"", "", "why", "\x00a\u202eb", strings.Repeat("é", 100)}).Draw(t, "reason"),
		By:     rapid.SampledFrom([]string{"", "", "ops", "a\nb"}).Draw(t, "by"),
	}
}

// seenOf returns what was seen in a history that was seen by and by.
func seenOf(t *rapid.T, label string) callback.History {
	var h callback.History
	for _, e := range rapid.SliceOfN(rapid.Custom(drawHappening), 0, 40).Draw(t, label) {
		h = h.Merge(callback.MaxHistory, callback.History(nil).Add(1, e))
	}
	return h
}

func TestHistoriesAreMergedByTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		there, seen := seenOf(t, "there"), seenOf(t, "seen")
		before := slices.Clone(there)
		merged := there.Merge(callback.MaxHistory, seen)
		if !slices.Equal(there, before) {
			t.Fatal("the history has changed itself")
		}
		all := (&callback.Record{History: merged, CreatedAt: born}).Happenings(nil)[1:]
		if len(all) > callback.MaxHistory || merged.Len() != len(all) {
			t.Fatalf("%d entries, %d happenings", merged.Len(), len(all))
		}
		if !slices.IsSortedFunc(all, func(a, b callback.Happening) int { return int(a.At - b.At) }) {
			t.Fatalf("not in order: %+v", all)
		}
		if again := merged.Merge(callback.MaxHistory, seen); there.Len()+seen.Len() < callback.MaxHistory && again.Len() != merged.Len() {
			t.Fatalf("what was seen is there twice:\n%x\n%x", merged, again)
		}
		for _, h := range all {
			if strings.ContainsAny(h.Reason+h.By, "\x00\n\u202e") || len(h.Reason) > 128 {
				t.Fatalf("a text is %q by %q", h.Reason, h.By)
			}
		}
	})
}

// entry returns what a later release may store.
func entry(kind byte, rest ...byte) callback.History {
	b := binary.BigEndian.AppendUint64([]byte{kind}, uint64(born+1))
	b = append(b, rest...)
	return append([]byte{byte(len(b))}, b...)
}

func TestHistoryOfALaterReleaseIsKept(t *testing.T) {
	later := slices.Concat(entry(251, 1, 2, 3), entry(byte(callback.HappenedClosed), 0, 3, 'w', 'h', 'y', 3, 'o', 'p', 's', 9, 9))
	r := &callback.Record{History: later.Add(callback.MaxHistory, callback.Happening{At: born + 2, Kind: callback.HappenedStripped})}
	if !slices.Equal(r.History[:len(later)], later) {
		t.Errorf("%x became %x", later, r.History)
	}
	if got, want := lines(r), []string{"closed (why) by ops", "stripped"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzHistory(f *testing.F) {
	f.Add([]byte(entry(byte(callback.HappenedClosed), 0, 3, 'w', 'h', 'y')), []byte(nil))
	f.Add([]byte(entry(20)[:5]), []byte(entry(30, 0xff, 0xff, 0xff)))
	f.Add(append([]byte{0}, entry(20)...), []byte(slices.Concat(entry(50, 1), entry(50, 1), entry(50, 1))))
	f.Fuzz(func(t *testing.T, stored, seen []byte) {
		r := &callback.Record{History: stored, CreatedAt: born}
		r.Join(seen, &callback.Record{History: stored})
		if r.History.Len() > callback.MaxHistory && len(seen) > 0 {
			t.Errorf("%d entries", r.History.Len())
		}
		for _, h := range r.Happenings(seen) {
			if h.Status > 999 || len(h.Reason) > 128 || len(h.By) > 128 {
				t.Errorf("got %+v", h)
			}
		}
		r.History.Add(callback.MaxHistory, callback.Happening{Kind: callback.HappenedClosed, At: 1})
	})
}

// What was seen before a call stands before it, also if both happened at the same moment.
func TestWhatWasSeenStandsBeforeWhatCameOfIt(t *testing.T) {
	p := compiled(t, callback.Policy{Multiple: true})
	before := accept(t, waiting(p), p, paid())
	call := newCall("POST", "again")
	call.ReceivedAt++
	after := receive(before, p, call, call.ReceivedAt).Next
	after.Join(callback.History(nil).Add(8, callback.Happening{At: born, Kind: callback.HappenedSent}, callback.Happening{At: call.ReceivedAt, Kind: callback.HappenedRefused, Status: 400}), before)
	if got, want := lines(after), []string{"sent", "called 200", "resolved", "refused 400", "called 200", "resolved"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	first := accept(t, waiting(p), p, paid())
	first.Join(callback.History(nil).Add(8, callback.Happening{At: call.ReceivedAt - 1, Kind: callback.HappenedAcked}), waiting(p))
	if got, want := lines(first), []string{"acked", "called 200", "resolved"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
