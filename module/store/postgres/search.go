package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// The column correlation has the hash of a correlation id that was given, ownCorrelation for one
// that leads back to its callback, and nothing where a node of an earlier release has made the
// callback, and no later one has written it since.
const ownCorrelation = 0

// What the indexes of correlation ids are for. A question must have it word for word.
var (
	isGiven     = fmt.Sprintf("correlation <> %d", ownCorrelation)
	isUnindexed = "correlation IS NULL"
)

// hashOf returns what is in the column of a correlation id that was given. Others may have the
// same.
func hashOf(correlationID string) int64 {
	sum := sha256.Sum256([]byte(correlationID))
	if hash := int64(binary.BigEndian.Uint64(sum[:])); hash != ownCorrelation {
		return hash
	}
	return ownCorrelation + 1
}

// correlationOf returns what is in the column of a record.
func (s *Store) correlationOf(r *callback.Record) int64 {
	if s.SecretOf(r).OwnCorrelationID(r) {
		return ownCorrelation
	}
	return hashOf(r.CorrelationID)
}

// correlatedIDs returns the callbacks that can have a correlation id as their own.
func (s *Store) correlatedIDs(correlationID string) []callback.UUID {
	u, ok := callback.ParseUUID(correlationID)
	if !ok {
		return nil
	}
	return s.secrets.Load().CorrelatedIDs(u)
}

// mayHave reports whether a callback may have the correlation id that is asked for, by what is in
// the column.
func (l *lister) mayHave(id callback.UUID, correlation *int64) bool {
	switch {
	case correlation == nil:
		return true
	case *correlation == ownCorrelation:
		return slices.Contains(l.own, id)
	}
	return *correlation == hashOf(l.query.CorrelationID)
}

// search returns the places of callbacks that may have the correlation id that is asked for.
func (l *lister) search(ctx context.Context) (places []place, until *store.Cursor, err error) {
	places, until, err = l.between(ctx, "correlation = $6 AND "+isGiven, hashOf(l.query.CorrelationID))
	if err != nil {
		return nil, nil, err
	}
	own, err := l.these(ctx, l.own...)
	if err != nil {
		return nil, nil, err
	}
	old, oldUntil, err := l.lookInto(ctx, isUnindexed)
	if err != nil {
		return nil, nil, err
	}
	places = append(append(places, own...), old...)
	if until == nil || oldUntil != nil && l.order(*oldUntil, *until) < 0 {
		until = oldUntil
	}
	slices.SortFunc(places, func(a, b place) int { return l.order(a.at, b.at) })
	return slices.CompactFunc(places, func(a, b place) bool { return a.at == b.at }), until, nil
}

// maxLooked is how many bytes of records are looked into for one page, if nothing else tells their
// correlation ids.
const maxLooked = 4 << 20

// lookInto is between for places of which only the records may tell the correlation id. Those do not
// match that have another one.
func (l *lister) lookInto(ctx context.Context, condition string) (places []place, until *store.Cursor, err error) {
	places, until, err = l.between(ctx, condition)
	if err != nil {
		return nil, nil, err
	}
	size, ids := int64(0), make([][16]byte, 0, len(places))
	for i, p := range places {
		if size >= maxLooked {
			places, until = places[:i], &places[i-1].at
			break
		}
		if p.matches && p.unknown {
			ids, size = append(ids, p.at.ID), size+p.size
		}
	}
	has := make(map[callback.UUID]bool)
	err = l.records(ctx, ids, func(id callback.UUID, b []byte) {
		// A record that cannot be read is told of where it is taken.
		correlationID, err := l.s.correlationIDOf(id, b)
		has[id] = correlationID == l.query.CorrelationID || err != nil
	})
	for i, p := range places {
		places[i].matches = p.matches && (!p.unknown || has[p.at.ID])
	}
	return places, until, err
}

// correlationIDOf reads the correlation id from a record as it is stored.
func (s *Store) correlationIDOf(id callback.UUID, b []byte) (string, error) {
	b, err := s.keys.open(nil, "record", id[:], b)
	if err != nil {
		return "", err
	}
	return store.CorrelationIDOf(b)
}
