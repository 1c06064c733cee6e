package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// maxReaders is how many questions for records are on their way at most. What is asked for
// meanwhile goes into the next one, and maxQuestion is how many keys that can have.
const (
	maxReaders  = 2
	maxQuestion = 256
)

// The statements that find records by keys of each kind.
var findRows = [...]string{
	store.KeyID:     `SELECT id AS key, id, rev, record FROM @callbacks WHERE id = ANY($1::uuid[])`,
	store.KeyState:  `SELECT state AS key, id, rev, record FROM @callbacks WHERE state = ANY($1::uuid[])`,
	store.KeyTicket: `SELECT ticket AS key, id, rev, record FROM @callbacks WHERE ticket = ANY($1::uuid[])`,
	store.KeyAlias: `SELECT a.alias AS key, c.id, c.rev, c.record FROM unnest($1::bytea[]) v (alias)
		JOIN @aliases a ON a.alias = v.alias JOIN @callbacks c ON c.id = a.id`,
}

// reader reads records, many with one question.
type reader struct {
	s       *Store
	mu      sync.Mutex
	pending []*lookup
	running int
}

func newReader(s *Store) *reader { return &reader{s: s} }

// lookup is a key that is looked for, and what was found.
type lookup struct {
	key  store.Key
	row  storedRow
	err  error
	done chan struct{}
}

// storedRow is a record as it is stored.
type storedRow struct {
	id     callback.UUID
	rev    int64
	record []byte
}

// find returns the row with a key. It is read after find is called.
func (r *reader) find(ctx context.Context, key store.Key) (storedRow, error) {
	l := &lookup{key: key, err: store.ErrNotFound, done: make(chan struct{})}
	r.mu.Lock()
	r.pending = append(r.pending, l)
	if r.running < maxReaders {
		r.running++
		go r.run() //nolint:gosec // it answers all who ask, and does not end with the one who asked first
	}
	r.mu.Unlock()
	select {
	case <-l.done:
		return l.row, l.err
	case <-ctx.Done():
		return storedRow{}, ctx.Err()
	}
}

// take takes what is asked for, and reports whether there is anything.
func (r *reader) take() []*lookup {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.pending), maxQuestion)
	if n == 0 {
		r.running--
		return nil
	}
	all := r.pending[:n:n]
	r.pending = r.pending[n:]
	return all
}

// run asks, until there is nothing left to ask for.
func (r *reader) run() {
	for all := r.take(); all != nil; all = r.take() {
		ctx, cancel := context.WithTimeout(context.Background(), readWithin)
		if err := r.read(ctx, all); err != nil {
			for _, l := range all {
				l.err = err
			}
		}
		cancel()
		for _, l := range all {
			close(l.done)
		}
	}
}

// read asks once.
func (r *reader) read(ctx context.Context, all []*lookup) error {
	var pipe pgx.Batch
	for kind, statement := range findRows {
		asked := make(map[string][]*lookup)
		var keys [][]byte
		for _, l := range all {
			if l.key.Kind == store.KeyKind(kind) {
				key := l.column()
				keys = append(keys, key)
				asked[string(key)] = append(asked[string(key)], l)
			}
		}
		if len(keys) > 0 {
			pipe.Queue(r.s.sql(statement), keys).Query(func(rows pgx.Rows) error { return answer(rows, asked) })
		}
	}
	return r.s.pool.SendBatch(ctx, &pipe).Close()
}

// column returns what the tables have of a key.
func (l *lookup) column() []byte {
	switch l.key.Kind {
	case store.KeyID:
		return l.key.ID[:]
	case store.KeyAlias:
		return l.key.Digest[:]
	}
	half := half(l.key.Digest)
	return half[:]
}

// answer gives those who asked the rows that they asked for.
func answer(rows pgx.Rows, asked map[string][]*lookup) error {
	defer rows.Close()
	for rows.Next() {
		var key []byte
		var id [16]byte
		var row storedRow
		if err := rows.Scan(&key, &id, &row.rev, &row.record); err != nil {
			return err
		}
		row.id = id
		for _, l := range asked[string(key)] {
			l.row, l.err = row, nil
		}
	}
	return rows.Err()
}
