package callback_test

import (
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// stepping returns a callback that waits for a step, and that step, with the policies of
// both.
func stepping(t testing.TB, policy callback.Policy) (parent, step *callback.Record, p, ps *callback.Policy) {
	t.Helper()
	p, ps = compiled(t, policy), compiled(t, callback.Policy{})
	parent = working(p, callback.ThenBlock)
	if policy.Then {
		parent = called(t, p)
	}
	step = stepOf(ps, parent)
	return attempted(t, parent, p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptContinued, Step: step.ID}), step, p, ps
}

func stepOf(p *callback.Policy, parent *callback.Record) *callback.Record {
	return callback.New(&secret, p, callback.Spec{Name: "pay", CorrelationID: "step-1", ExpiresIn: lifetime, Parent: parent.ID}, born)
}

func follow(t testing.TB, parent, step *callback.Record, p *callback.Policy, result *callback.Response) *callback.Record {
	t.Helper()
	before := contents(t, parent) + contents(t, step)
	next, yes := parent.Follow(p, step, result, born+7)
	if !yes || next == nil {
		t.Fatalf("it does not follow its step in %s", step.Phase)
	}
	if contents(t, parent)+contents(t, step) != before {
		t.Fatal("a record handed in was changed")
	}
	return next
}

func TestCallbackWaitsForItsStep(t *testing.T) {
	parent, step, p, _ := stepping(t, callback.Policy{})
	if parent.Phase != callback.Waiting || parent.Job != nil || parent.Step != step.ID || parent.Request != nil || step.Parent != parent.ID {
		t.Errorf("got %s", contents(t, parent))
	}
	if parent.Due() != parent.ExpiresAt || step.Untold() {
		t.Errorf("due at %d", parent.Due())
	}
	if next, yes := parent.Attempted(p, callback.ThenBlock, anyAttempt[2], born); yes || next != nil {
		t.Error("its job is done a second time")
	}
}

func TestStepThatWasResolvedResolvesItsParent(t *testing.T) {
	parent, step, p, ps := stepping(t, callback.Policy{})
	step = accept(t, step, ps, newCall("POST", "paid"))
	result := step.Result(ps)
	next := follow(t, parent, step, p, &callback.Response{Status: result.Status, Header: result.Header, Body: *result.Body})
	if next.Phase != callback.Resolved || !next.Step.IsZero() || next.FinishedAt != born+7 || next.Delivery.Total != 1 {
		t.Errorf("got %s", contents(t, next))
	}
	if r := next.Result(p); r.Status != 200 || string(r.Body.Data) != "paid" || len(r.Header.Values(correlationHeader)) != 1 || r.Header.Get(correlationHeader) != correlation {
		t.Errorf("the result is %s", contents(t, r))
	}
}

func TestStepThatHasFailedFailsItsParent(t *testing.T) {
	for name, result := range map[string]*callback.Response{"answer": answer(422), "no answer": nil} {
		parent, step, p, ps := stepping(t, callback.Policy{FailedBody: true, Then: true})
		step = accept(t, step, ps, newCall("POST", "no", append([]string{codeHeader, "E42", textHeader, "no stock"}, failing...)...))
		next := follow(t, parent, step, p, result)
		if next.Phase != callback.Failed || next.Failure.ErrorCode != "E42" || next.Failure.ErrorText != "no stock" || !next.Step.IsZero() {
			t.Errorf("%s: got %s", name, contents(t, next))
		}
		r := next.Result(p)
		if result == nil && (r.Failure == nil || r.Body != nil || r.Status != callback.DefaultFailedStatus) || result != nil && (r.Status != 422 || string(r.Body.Data) != "done") {
			t.Errorf("%s: the result is %s", name, contents(t, r))
		}
		if r.Header.Get(statusHeader) != "Failed" || r.Header.Get(codeHeader) != "E42" {
			t.Errorf("%s: the result has %v", name, r.Header)
		}
	}
}

func TestStepThatEndedWithoutACallFailsItsParent(t *testing.T) {
	for _, named := range []bool{true, false} {
		parent, step, p, ps := stepping(t, callback.Policy{})
		if !named {
			step.Name = ""
		}
		expired, _ := step.Expire(ps, born+hour)
		closed, _ := step.Close(ps, "by hand", "", born)
		for code, step := range map[string]*callback.Record{"expired": expired, "closed": closed} {
			next := follow(t, parent, step, p, nil)
			if next.Phase != callback.Failed || next.Failure.ErrorCode != code || strings.Contains(next.Failure.ErrorText, "  ") {
				t.Errorf("%s: got %s", code, contents(t, next))
			}
			if strings.Contains(next.Failure.ErrorText, "pay") != named || strings.Contains(next.Failure.ErrorText, "by hand") != (code == "closed") {
				t.Errorf("%s: it says %q", code, next.Failure.ErrorText)
			}
		}
	}
}

func TestStepWhoseResultIsLostFailsItsParent(t *testing.T) {
	parent, step, p, ps := stepping(t, callback.Policy{})
	next := follow(t, parent, accept(t, step, ps, newCall("POST", "paid")), p, nil)
	if next.Phase != callback.Failed || next.Failure.ErrorCode == "" || next.Failure.ErrorText == "" {
		t.Errorf("got %s", contents(t, next))
	}
	if r := next.Result(p); r.Failure == nil || r.Body != nil {
		t.Errorf("the result is %s", contents(t, r))
	}
}

func TestStepThatIsNotItsOwnChangesNothing(t *testing.T) {
	parent, step, p, ps := stepping(t, callback.Policy{})
	ended := accept(t, step, ps, newCall("POST", "paid"))
	other := accept(t, stepOf(ps, parent), ps, newCall("POST", "paid"))
	followed := follow(t, parent, ended, p, answer(200))
	closed, _ := parent.Close(p, "test", "", born)
	stranger := accept(t, stepOf(ps, waiting(p)), ps, newCall("POST", "paid"))
	for name, c := range map[string]struct{ parent, step *callback.Record }{
		"another step":                  {parent, other},
		"its step still waits":          {parent, step},
		"it has ended by it already":    {followed, ended},
		"it was closed":                 {closed, ended},
		"it waits for none":             {waiting(p), ended},
		"another one's, while it works": {working(p, callback.ThenBlock), stranger},
	} {
		before := contents(t, c.parent)
		if next, yes := c.parent.Follow(p, c.step, answer(200), born); yes || next != nil || contents(t, c.parent) != before {
			t.Errorf("%s: it became %s", name, contents(t, next))
		}
	}
}

// A step can end before the record of its parent names it.
func TestStepThatEndsEarlyEndsItsParent(t *testing.T) {
	p, ps := compiled(t, callback.Policy{}), compiled(t, callback.Policy{})
	parent := working(p, callback.ThenBlock)
	step := accept(t, stepOf(ps, parent), ps, newCall("POST", "paid"))
	next := follow(t, parent, step, p, answer(200))
	if next.Phase != callback.Resolved || next.Job != nil || next.Request != nil {
		t.Errorf("got %s", contents(t, next))
	}
	if again, yes := next.Attempted(p, callback.ThenBlock, callback.Attempt{Kind: callback.AttemptContinued, Step: step.ID}, born+8); yes {
		t.Errorf("it became %s", contents(t, again))
	}
}

func TestCallThatComesWhileAStepIsWaitedForDecides(t *testing.T) {
	p, ps := compiled(t, callback.Policy{Then: true}), compiled(t, callback.Policy{})
	parent := working(p, callback.CallBlock)
	step := stepOf(ps, parent)
	parent = attempted(t, parent, p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptContinued, Step: step.ID})
	next := accept(t, parent, p, newCall("POST", "paid"))
	if next.Job == nil || next.Request == nil || !next.Step.IsZero() {
		t.Errorf("got %s", contents(t, next))
	}
}

func TestStepIsKeptAndDueUntilItsParentIsTold(t *testing.T) {
	_, step, _, ps := stepping(t, callback.Policy{})
	if next, yes := step.Tell(); yes || next != nil {
		t.Error("there is something to tell before the end")
	}
	ended := accept(t, step, ps, newCall("POST", "paid"))
	expired, _ := step.Expire(ps, born+hour)
	closed, _ := step.Close(ps, "test", "", born)
	for _, r := range []*callback.Record{ended, expired, closed} {
		before := contents(t, r)
		if !r.Untold() || r.Due() != r.FinishedAt || r.Forgettable(r.KeepUntil+hour) {
			t.Errorf("%s: due at %d", r.Phase, r.Due())
		}
		told, yes := r.Tell()
		if !yes || !told.Told || told.Untold() || told.Due() != r.KeepUntil || !told.Forgettable(r.KeepUntil) || contents(t, r) != before {
			t.Errorf("%s: got %s", r.Phase, contents(t, told))
		}
		if again, yes := told.Tell(); yes || again != nil {
			t.Errorf("%s: told twice", r.Phase)
		}
		told.Told = false
		if contents(t, told) != before {
			t.Errorf("%s: got %s", r.Phase, contents(t, told))
		}
	}
	if r := accept(t, waiting(ps), ps, newCall("POST", "paid")); r.Untold() {
		t.Error("there is nobody to tell")
	}
}
