package callback_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestCallbackIsDueAndForgottenAtItsTime(t *testing.T) {
	p, then := compiled(t, callback.Policy{}), compiled(t, callback.Policy{Then: true})
	retried := func(at callback.Time) *callback.Record {
		return attempted(t, working(p, callback.CallBlock), p, callback.CallBlock, callback.Attempt{Kind: callback.AttemptRetry, RetryAt: at})
	}
	resolved := accept(t, working(p, ""), p, newCall("POST", "paid"))
	delivered := deliver(t, resolved, p, 1, callback.Sent{OK: true}, resolved.FinishedAt+3)
	late := deliver(t, resolved, p, 1, callback.Sent{OK: true}, resolved.KeepUntil+3)
	again := deliver(t, resolved, p, 1, callback.Sent{RetryAt: resolved.KeepUntil + hour}, resolved.FinishedAt+3)
	dead := deliver(t, resolved, p, 1, callback.Sent{Dead: true}, resolved.FinishedAt+3)
	anew, _ := delivered.Redeliver("", delivered.KeepUntil+hour)
	parent := waiting(p)
	untold := accept(t, stepOf(p, parent), p, newCall("POST", "paid"))
	told, _ := untold.Tell()
	delivering := accept(t, callback.New(&secret, p, callback.Spec{CorrelationID: correlation, ExpiresIn: lifetime, Parent: parent.ID, DeliverTo: "https://h/"}, born), p, newCall("POST", "paid"))
	toldDelivering, _ := delivering.Tell()
	withdrawn, _ := working(p, "").Withdraw(p, "test", false, born)
	const never = callback.Time(0)
	for name, c := range map[string]struct {
		record      *callback.Record
		due, forget callback.Time
	}{
		"waiting":                          {waiting(p), born + hour, never},
		"job":                              {working(p, callback.CallBlock), born, never},
		"job that is retried":              {retried(born + 9), born + 9, never},
		"job that is retried after expiry": {retried(born + hour + 9), born + hour, never},
		"then":                             {called(t, then), born + 60_000, never},
		"resolved, to be delivered":        {resolved, resolved.FinishedAt, never},
		"delivered":                        {delivered, resolved.FinishedAt + 3 + 24*hour, resolved.FinishedAt + 3 + 24*hour},
		"delivered late":                   {late, resolved.KeepUntil + 3 + 24*hour, resolved.KeepUntil + 3 + 24*hour},
		"delivery that is retried late":    {again, resolved.KeepUntil + hour, never},
		"dead letter":                      {dead, resolved.FinishedAt + 3 + 24*hour, resolved.FinishedAt + 3 + 24*hour},
		"delivered anew":                   {anew, delivered.KeepUntil + hour, never},
		"untold step":                      {untold, untold.FinishedAt, never},
		"told step":                        {told, untold.KeepUntil, untold.KeepUntil},
		"untold step with a delivery":      {delivering, delivering.FinishedAt, never},
		"told step with a delivery":        {toldDelivering, delivering.FinishedAt, never},
		"withdrawn":                        {withdrawn, born + 24*hour, born + 24*hour},
		"without a delivery":               {expired(t, p), born + 25*hour, born + 25*hour},
	} {
		if c.record.Due() != c.due {
			t.Errorf("%s: due at %d, want %d", name, c.record.Due()-born, c.due-born)
		}
		if c.forget == never {
			if c.record.Forgettable(born + 1000*hour) {
				t.Errorf("%s: it is forgotten", name)
			}
		} else if c.record.Forgettable(c.forget-1) || !c.record.Forgettable(c.forget) {
			t.Errorf("%s: it is not forgotten at its time", name)
		}
	}
}
