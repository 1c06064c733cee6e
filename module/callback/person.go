package callback

import "net/http"

// sendOn decides on a person who comes to the URL of a callback whose reply redirects, where
// that is no call: a return after the end, or with both replies any GET. ok is false for
// everything else. It changes nothing, and people have no keys.
//
//	the callback            is redirected to
//	waits, GET of a return  Redirect
//	accepted                Redirect
//	failed                  RedirectFailed, else Redirect
//	expired, closed         RedirectLate, else nowhere: Gone
func (r *Record) sendOn(p *Policy, c *Call, look Lookup, now Time) (v Verdict, ok bool) {
	isReturn := p.redirectsPeople() && r.ownReply() == nil && c.Method == http.MethodGet
	isPerson := c.Person && r.redirects(p)
	if c.byHand || p.Confirm != nil || c.Caller.at(r.Name).shut || !isReturn && !isPerson {
		return Verdict{}, false
	}
	var next *Record
	if r.Call == nil {
		next, _ = r.Expire(p, now)
	}
	switch {
	case next != nil || r.Phase == Expired || r.Phase == Closed:
		if reply := p.redirectTo(p.RedirectLate, &p.late, c.Method, look); reply != nil {
			return Verdict{Kind: Returned, Reply: reply}, true
		}
		return Verdict{Kind: Gone, Closed: r.Phase == Closed, Next: next}, true
	case r.takesMore(p, now) && !isReturn, !r.Phase.Final() && r.Call == nil && !isReturn:
		return Verdict{}, false
	}
	return Verdict{Kind: Returned, Reply: r.sends(p, c, r.Phase == Failed, look)}, true
}

// redirects reports whether people are redirected.
func (r *Record) redirects(p *Policy) bool {
	if own := r.ownReply(); own != nil {
		return own.Type == TypeRedirect
	}
	return p.Redirect != nil
}

// sends returns the redirect for a person.
func (r *Record) sends(p *Policy, c *Call, failed bool, look Lookup) *Reply {
	if failed || c.Suffix == SuffixFailed {
		if reply := p.redirectTo(p.RedirectFailed, &p.failedTarget, c.Method, look); reply != nil {
			return reply
		}
	}
	if own := r.ownReply(); own != nil {
		return own.reply(p, r.baseURL(p), c)
	}
	return p.redirectTo(p.Redirect, &p.target, c.Method, look)
}

// redirectTo returns a redirect, nil for none.
func (p *Policy) redirectTo(to *Redirect, target *Target, method string, look Lookup) *Reply {
	if to == nil {
		return nil
	}
	header := append(p.replyHeader(look), Field{Name: "Location", Value: target.URL(p.BaseURL, look)})
	return &Reply{Status: to.statusFor(method), Header: header}
}

// statusFor returns the status for redirecting a request with that method.
func (to *Redirect) statusFor(method string) int {
	switch {
	case to != nil && to.Status != 0:
		return to.Status
	case method == http.MethodGet:
		return http.StatusFound
	}
	return http.StatusSeeOther
}
