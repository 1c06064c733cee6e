package callback

import (
	"crypto/sha256"
	"slices"
)

// IdempotencyAlias returns the alias of a callback that was made under an
// Idempotency-Key, in the scope of one client.
func IdempotencyAlias(scope, key string) Digest { return alias("idempotency", scope, key) }

// Retry is what a request is known by when it is made again under its Idempotency-Key.
type Retry struct {
	// Alias leads to the callback that the first request has made.
	Alias Digest
	// Fingerprint is the digest of the request.
	Fingerprint Digest
}

// CorrelationAlias returns the alias under which the holder of a named key finds a
// callback by its correlation id, at the fixed URL.
func CorrelationAlias(key, correlationID string) Digest {
	return alias("correlation", key, correlationID)
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

// aliases returns what leads to a callback with that correlation id at the fixed
// URL: one alias for each named key.
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

// Correlate returns the record with another correlation id, which the upstream has
// named in its ack. A callback that has ended keeps its own.
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
			// It is that of an Idempotency-Key, and stays.
			next.Aliases = append(next.Aliases, alias)
		}
	}
	return &next, true
}

// Fingerprint returns the digest by which a client's request is known when it comes
// again under the same Idempotency-Key.
func Fingerprint(method, uri, contentType string, body []byte) Digest {
	return alias("request", method, uri, contentType, string(body))
}
