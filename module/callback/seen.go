package callback

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// maxSeen bounds how many calls with a name of their own are remembered.
const maxSeen = 1000

// nameHeaders are the headers in which a call can carry a name of its own, so that a
// repeated call is recognized even if its content differs, as the number of an attempt
// does.
var nameHeaders = []string{webhookID, svixID, IdempotencyKey}

// The headers that name a call in Standard Webhooks, and with those who use Svix.
const (
	webhookID = "Webhook-Id"
	svixID    = "Svix-Id"
)

// knows reports whether a call with the same name was accepted or taken as progress. Names
// of callers with different keys have nothing to do with each other.
func (r *Record) knows(p *Policy, c *Call) bool {
	header, name := c.name()
	if name == "" {
		return false
	}
	// Version 0.1 made no difference between keys.
	return slices.Contains(r.Seen, markOf(r.keyOf(p, c), header, name)) || slices.Contains(r.Seen, shorten(sha256.Sum256([]byte(header+":"+name))))
}

// seenWith returns the marks of the calls that were taken, with that of one more.
func (r *Record) seenWith(p *Policy, c *Call) []uint64 {
	header, name := c.name()
	if name == "" {
		return r.Seen
	}
	seen := r.Seen[max(0, len(r.Seen)-maxSeen+1):]
	return append(slices.Clone(seen), markOf(r.keyOf(p, c), header, name))
}

// name returns the call's own name and the header that has it; "" if it has none. A call that was
// shown to be its sender's by a signature is named by what the signature covers: whoever has seen
// it could send it again with another header.
func (c *Call) name() (header, name string) {
	lines, _ := c.whole()
	switch {
	case c.Caller.Signed && c.Caller.SignsName:
		return webhookID, cmp.Or(lines.Get(webhookID), lines.Get(svixID))
	case c.Caller.Signed:
		sum := sha256.Sum256(c.Body.Data)
		return "Signed", string(sum[:])
	}
	for _, header := range nameHeaders {
		if name := lines.Get(header); name != "" {
			return header, name
		}
	}
	return "", ""
}

// keyOf returns by which key a call was permitted; "" if it needs none.
func (r *Record) keyOf(p *Policy, c *Call) string {
	if c.byHand {
		return "by hand"
	}
	if len(p.Keys) == 0 && !p.OwnKey {
		return ""
	}
	for _, name := range c.Caller.at(r.Name).Names {
		if len(p.Keys) == 0 || slices.Contains(p.Keys, name) {
			return "key " + name
		}
	}
	return "own"
}

// markOf returns a short digest of a call's name.
func markOf(key, header, name string) uint64 {
	return shorten(alias("name of a call", key, header, name))
}

func shorten(d Digest) uint64 { return cmp.Or(binary.BigEndian.Uint64(d[:8]), 1) }

// replyAgain returns the reply to a call that is known, while the callback waits.
func (r *Record) replyAgain(p *Policy, c *Call, look Lookup) *Reply {
	if r.Latest != nil && r.LatestReply != nil {
		header, name := c.name()
		if h, n := r.Latest.name(); h == header && n == name {
			return r.LatestReply
		}
	}
	return r.reply(p, c, look)
}
