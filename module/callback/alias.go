package callback

import (
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/unpack"
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
// callback by its correlation id, at the fixed URL, if the id was made for it or a
// request gave it.
func CorrelationAlias(key, correlationID string) Digest {
	return alias("correlation", key, correlationID)
}

// AckAlias is CorrelationAlias for a correlation id that an upstream gave in its ack. It
// is another alias, so that nobody who chooses the id of a request can keep it from the
// callback that the upstream means.
func AckAlias(key, correlationID string) Digest {
	return alias("correlation from an ack", key, correlationID)
}

// AwaitedOf returns the digests by which callbacks are found that await an ack and that the
// holders of these named keys can call.
func AwaitedOf(keys []string) (all []Digest) {
	for _, key := range keys {
		all = append(all, alias("awaited ack", key))
	}
	return all
}

// Correlation has the aliases by which the holder of one named key can mean a callback at
// the fixed URL. ByAck wins: only if no callback has it, ByRequest leads to the callback.
type Correlation struct{ ByAck, ByRequest Digest }

// Correlations returns what the holder of these named keys can mean by a correlation id.
func Correlations(keys []string, text string) (all []Correlation) {
	for _, id := range CorrelationSpellings(text) {
		for _, key := range keys {
			all = append(all, Correlation{AckAlias(key, id), CorrelationAlias(key, id)})
		}
	}
	return all
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
// gives none, or several that differ. The error says that it is in a packed body, and why it
// cannot be read there.
func (c *Call) CorrelationID(at inject.Location) (string, error) {
	m := c.message()
	ids, err := m.Values(at)
	coding := m.Coding()
	switch {
	case errors.Is(err, unpack.ErrUnreadable), errors.Is(err, memory.ErrBusy):
		return "", err
	case err != nil && coding != "" && !unpack.Knows(coding):
		return "", inject.Packed(coding)
	case err != nil || len(ids) == 0 || len(slices.Compact(meantIDs(ids))) > 1:
		return "", nil
	}
	return ids[0], nil
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

// aliases returns the aliases by which a call to the fixed URL finds a callback with a
// correlation id that was made for it, or that a request gave: one for each named key.
func (p *Policy) aliases(correlationID string) []Digest {
	return aliasesOf(p.Keys, correlationID, CorrelationAlias)
}

// AckAliases is aliases for a correlation id that an upstream gave in its ack.
func (p *Policy) AckAliases(correlationID string) []Digest {
	return aliasesOf(p.Keys, correlationID, AckAlias)
}

func aliasesOf(keys []string, correlationID string, of func(key, correlationID string) Digest) []Digest {
	if len(keys) == 0 {
		return nil
	}
	all := make([]Digest, 0, len(keys)+1)
	for _, key := range keys {
		all = append(all, of(key, correlationID))
	}
	return all
}

// Correlate returns the record with the correlation id that the upstream gave in its
// ack. A callback that has ended keeps the id that it has.
func (r *Record) Correlate(p *Policy, correlationID string, now Time) (*Record, bool) {
	given := p.AckAliases(correlationID)
	led := !slices.ContainsFunc(given, func(alias Digest) bool { return !slices.Contains(r.Aliases, alias) })
	if r.Phase != Waiting || correlationID == r.CorrelationID && led && len(r.Awaited) == 0 {
		return nil, false
	}
	next := *r
	next.CorrelationID = correlationID
	next.Aliases, next.Awaited = given, nil
	before := slices.Concat(p.aliases(r.CorrelationID), p.AckAliases(r.CorrelationID), given)
	for _, alias := range r.Aliases {
		if !slices.Contains(before, alias) {
			// This alias belongs to an Idempotency-Key: it stays.
			next.Aliases = append(next.Aliases, alias)
		}
	}
	next.happened(Happening{At: now, Kind: HappenedCorrelated})
	return &next, true
}

// Fingerprint returns the digest of a client's request. It shows whether a later
// request with the same Idempotency-Key is the same request.
func Fingerprint(method, uri, contentType string, body []byte) Digest {
	return alias("request", method, uri, contentType, string(body))
}
