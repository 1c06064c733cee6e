package callback

import (
	"crypto/sha256"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// IdempotencyAlias returns the alias of a callback that was made under an
// Idempotency-Key, in the scope of one client.
func IdempotencyAlias(scope, key string) Digest { return alias("idempotency", scope, key) }

// DirectiveAlias is IdempotencyAlias for the callbacks of one directive: a request can
// pass several, and each makes a callback of its own.
func DirectiveAlias(directive, scope, key string) Digest {
	return alias("idempotency", directive, scope, key)
}

// Retry identifies a request that a client repeats under the same Idempotency-Key.
type Retry struct {
	// Alias leads to the callback that the first request created.
	Alias Digest
	// Old leads to the callback if version 0.1 created it; zero for none. It does not say
	// which directive did.
	Old Digest
	// Fingerprint is the digest of the request.
	Fingerprint Digest
}

// CorrelationAlias returns the alias under which the holder of a named key finds a
// callback by its correlation id, at the fixed URL.
func CorrelationAlias(key, correlationID string) Digest {
	return alias("correlation", key, correlationID)
}

// CorrelationSpellings returns the correlation ids that a caller can mean by a text: the
// text itself, and, if it is a UUID in another spelling, that UUID as we write it.
func CorrelationSpellings(text string) []string {
	if u, ok := readUUID(text); ok && u.String() != text {
		return []string{text, u.String()}
	}
	return []string{text}
}

// meantIDs returns correlation ids with all UUIDs as we write them.
func meantIDs(texts []string) []string {
	ids := make([]string, len(texts))
	for i, text := range texts {
		meant := CorrelationSpellings(text)
		ids[i] = meant[len(meant)-1]
	}
	return ids
}

// sameCorrelation reports whether a caller means a correlation id by a text.
func sameCorrelation(id, text string) bool { return slices.Contains(CorrelationSpellings(text), id) }

// CorrelationID returns the correlation id that the call gives at a location, "" if it
// gives none, or several that differ.
func (c *Call) CorrelationID(at inject.Location) string {
	m := c.message()
	ids, err := m.Values(at)
	if err != nil || len(ids) == 0 || len(slices.Compact(meantIDs(ids))) > 1 {
		return ""
	}
	return ids[0]
}

// alias digests parts so that no two lists of parts have the same digest.
func alias(parts ...string) Digest {
	h := sha256.New()
	for _, part := range parts {
		writePart(h, part)
	}
	var d Digest
	h.Sum(d[:0])
	return d
}

// aliases returns the aliases by which a call to the fixed URL finds a callback with
// that correlation id: one for each named key.
func (p *Policy) aliases(correlationID string) []Digest {
	if len(p.Keys) == 0 {
		return nil
	}
	all := make([]Digest, 0, len(p.Keys)+1)
	for _, key := range p.Keys {
		all = append(all, CorrelationAlias(key, correlationID))
	}
	return all
}

// Correlate returns the record with the correlation id that the upstream gave in its
// ack. A callback that has ended keeps the id that it has.
func (r *Record) Correlate(p *Policy, correlationID string) (*Record, bool) {
	if r.Phase != Waiting || correlationID == r.CorrelationID {
		return nil, false
	}
	next := *r
	next.CorrelationID = correlationID
	next.Aliases = p.aliases(correlationID)
	before := p.aliases(r.CorrelationID)
	for _, alias := range r.Aliases {
		if !slices.Contains(before, alias) {
			// This alias belongs to an Idempotency-Key: it stays.
			next.Aliases = append(next.Aliases, alias)
		}
	}
	return &next, true
}

// Fingerprint returns the digest of a client's request. It shows whether a later
// request with the same Idempotency-Key is the same request.
func Fingerprint(method, uri, contentType string, body []byte) Digest {
	return alias("request", method, uri, contentType, string(body))
}
