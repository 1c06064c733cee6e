package api

import (
	"net/http"
	"net/url"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// resolve takes the request as a call to the callback. The callback's rules for keys and
// methods do not apply to it.
func (a *request) resolve() error {
	call, err := callback.NewCall(a.r.Method, "", a.r.URL.RawQuery, a.r.Header, callback.At(a.engine().Now()))
	if err != nil {
		return err
	}
	cb, err := a.desk.Find(a.r.Context(), a.at.id)
	if err != nil {
		// There is no such callback: leave the body unread.
		answer.LeaveUnread(a.w, a.r)
		return err
	}
	if gone, yes := a.desk.Gone(cb); yes {
		answer.LeaveUnread(a.w, a.r)
		answer.WriteVerdict(a.w, gone, nil, callback.Caller{})
		return nil
	}
	var body *memory.Buffer
	if answer.HasBody(a.r) {
		if body, err = a.readBody(memory.OwnerOf(a.at.id), a.app.MaxBodySize); err != nil {
			return err
		}
		defer body.Release()
		call.Body = callback.NewBody(body.Bytes())
	}
	verdict, err := a.desk.Resolve(a.r.Context(), a.at.id, call, body.Lease())
	if err != nil {
		return err
	}
	switch verdict.Kind {
	case callback.Accepted, callback.Repeated, callback.Returned, callback.Progressed:
		return a.showNow(http.StatusOK)
	}
	answer.WriteVerdict(a.w, verdict, nil, callback.Caller{})
	return nil
}

// showNow answers with the callback as it is after a change.
func (a *request) showNow(code int) error {
	return answer.Newest(func() error {
		cb, err := a.desk.Find(a.r.Context(), a.at.id)
		if err != nil {
			return err
		}
		return a.writeStatus(code, cb)
	})
}

// redeliver starts the delivery of the result again.
func (a *request) redeliver() error {
	if err := a.desk.Redeliver(a.r.Context(), a.at.id); err != nil {
		return err
	}
	return a.showNow(http.StatusAccepted)
}

// close closes the callback. One that has ended stays as it is, unless it is to be removed.
func (a *request) close() error {
	purges, err := readPurge(a.r.URL.RawQuery)
	if err != nil {
		return err
	}
	end := a.desk.Close
	if purges {
		end = a.desk.Purge
	}
	if err := end(a.r.Context(), a.at.id); err != nil {
		return err
	}
	a.w.WriteHeader(http.StatusNoContent)
	return nil
}

// readPurge reads whether a callback is not only to be closed, but removed. An unknown
// parameter is refused: it may be a misspelt purge.
func readPurge(raw string) (purges bool, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return false, problem.InvalidRequest.With("The query cannot be read.")
	}
	for name, all := range values {
		switch {
		case name != "purge":
			return false, problem.InvalidField(name, "There is no such parameter; there is purge.")
		case len(all) > 1:
			return false, problem.InvalidField(name, "It is given twice; give it once.")
		case all[0] != "true" && all[0] != "false":
			return false, problem.InvalidField(name, problem.Sentence(mustBe("true or false")))
		}
		purges = all[0] == "true"
	}
	return purges, nil
}
