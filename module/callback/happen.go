package callback

import "slices"

// endings are the kinds of the ends of a callback.
var endings = [...]HappeningKind{Resolved: HappenedResolved, Failed: HappenedFailed, Expired: HappenedExpired, Closed: HappenedClosed}

// byHand is the reason of what an operator did in place of a partner.
const byHand = "by hand"

// taking says that the record takes a call, which gets a reply.
func (r *Record) taking(kind HappeningKind, p *Policy, c *Call, reply *Reply, now Time) Happening {
	h := Happening{At: now, Kind: kind, By: c.By}
	if c.byHand {
		h.Reason = byHand
		return h
	}
	h.Status = reply.Status
	if h.By == "" {
		h.By = r.keyName(p, c)
	}
	return h
}

// keyName returns the name of the key by which a call was permitted; "" if it has none.
func (r *Record) keyName(p *Policy, c *Call) string {
	if len(p.Keys) == 0 && !p.OwnKey || len(c.Caller.Names) == 0 {
		return ""
	}
	names := c.Caller.at(r.Name).Names
	if at := slices.IndexFunc(names, func(name string) bool { return len(p.Keys) == 0 || slices.Contains(p.Keys, name) }); at >= 0 {
		return names[at]
	}
	return ""
}

// decision says what a person has chosen who made the call: nothing, if none has.
func (c *Call) decision(now Time) Happening {
	if c.Choice == "" {
		return Happening{}
	}
	return Happening{At: now, Kind: HappenedDecided, Reason: c.Choice, By: c.By}
}

// ending says that the call has ended the callback.
func (c *Call) ending(phase Phase, now Time) Happening {
	h := Happening{At: now, Kind: endings[phase]}
	if c.byHand {
		h.By = c.By
	}
	return h
}

// noting returns the record with what an attempt has come to, for what becomes of it then.
func (r *Record) noting(kind HappeningKind, a Attempt, reason string, now Time) *Record {
	next := *r
	next.happened(Happening{At: now, Kind: kind, Status: a.Status, Reason: reason})
	return &next
}

// delivering says what an attempt to deliver has come to, after which nothing more is tried if
// it is dead.
func delivering(sent Sent, dead bool, now Time) Happening {
	h := Happening{At: now, Kind: HappenedDeliveryFailed, Status: sent.Status, Reason: sent.Error}
	switch {
	case sent.OK:
		h.Kind, h.Reason = HappenedDelivered, ""
	case dead:
		h.Kind = HappenedDeliveryDead
	}
	return h
}
