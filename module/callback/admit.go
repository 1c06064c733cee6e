package callback

// Admit decides on a call before its body is read: Accepted if that depends on the body,
// or else the verdict that the call gets with any. Nothing changes.
func (r *Record) Admit(p *Policy, c *Call, now Time) Verdict {
	if _, ok := r.sendOn(p, c, func(string) string { return "" }, now); ok {
		return Verdict{Kind: Accepted}
	}
	if kind := p.Admit(c.Method, c.Caller.at(r.Name)); kind != Accepted {
		return Verdict{Kind: kind}
	}
	if gone, yes := r.Gone(p, now); yes {
		return gone
	}
	return Verdict{Kind: Accepted}
}

// Gone returns the verdict on every further call, and true, if the callback has ended
// without one or takes no more.
func (r *Record) Gone(p *Policy, now Time) (Verdict, bool) {
	switch {
	case r.Phase == Closed || r.Phase.Final() && r.Call == nil:
		return Verdict{Kind: Gone, Closed: !r.expired()}, true
	case r.Phase.Final() && p.Multiple && !r.takesMore(p, now):
		return Verdict{Kind: Gone, Closed: r.ShutAt != 0}, true
	case r.Phase == Waiting && r.Call == nil && now >= r.ExpiresAt:
		return Verdict{Kind: Gone}, true
	}
	return Verdict{}, false
}
