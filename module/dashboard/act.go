package dashboard

import (
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/desk"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// act does something to one callback, and sends the browser back to it.
func (v *visit) act() (err error) {
	f, err := v.readForm()
	if err != nil {
		return err
	}
	defer f.Release()
	switch desk.Act(v.at.part) {
	case acting:
		err = v.decide(f)
	case desk.Close:
		err = v.desk().Close(v.r.Context(), v.at.id)
	case desk.Redeliver:
		err = v.desk().Redeliver(v.r.Context(), v.at.id)
	case desk.Resolve:
		err = v.resolve(f)
	default:
		return errNoPage
	}
	if err != nil {
		return err
	}
	if f.Get(fieldBack) == "approvals" {
		v.goTo("approvals")
		return nil
	}
	return v.backToOne()
}

// backToOne sends the browser to the callback, once what was done is committed.
func (v *visit) backToOne() error {
	if _, err := v.desk().Find(v.r.Context(), v.at.id); err != nil {
		return err
	}
	v.goTo("callback/" + v.at.id.String())
	return nil
}

// resolve lets the call that the form describes be the answer.
func (v *visit) resolve(f form) error {
	call, lease, err := v.call(f, memory.OwnerOf(v.at.id))
	if err != nil {
		return err
	}
	defer lease.Release()
	return v.take(v.at.id, call, lease)
}

// take lets a call be the answer to a callback. The error says why it is not.
func (v *visit) take(id callback.UUID, call *callback.Call, lease *memory.Lease) error {
	verdict, err := v.desk().Resolve(v.r.Context(), id, call, lease)
	if err != nil {
		return err
	}
	return refusal(verdict)
}

// refusal returns the problem of a call that was not taken; nil if it was, or had been before.
func refusal(v callback.Verdict) error {
	switch v.Kind {
	case callback.Accepted, callback.Repeated, callback.Returned, callback.Progressed:
		return nil
	case callback.Conflict:
		return problem.AlreadyResolved
	case callback.Gone:
		if v.Closed {
			return problem.Closed
		}
		return problem.Expired
	case callback.Unattended:
		return problem.NobodyWaits
	case callback.Backlogged:
		return problem.ResultsWaiting(v.RetryAfter)
	case callback.Refused:
		return problem.Refused(v.Fault.Slug, v.Fault.Detail, v.Fault.Status)
	}
	return problem.InvalidRequest
}
