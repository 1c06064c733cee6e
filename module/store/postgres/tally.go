package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// tally is what was counted by name last. It is counted anew only when somebody asks, and never
// so often that it takes more than a hundredth of the time.
type tally struct {
	// asked has room for one.
	asked chan struct{}

	mu  sync.Mutex
	all []store.Tally
	// next is when it may be counted again. running is closed when what was begun at began has
	// ended; nil if nobody counts.
	next, began time.Time
	running     chan struct{}
	// failed says that the log has a line about it.
	failed bool
}

const (
	// tallyEvery is how old counts are at least before they are counted again, and tallyShare
	// by how much longer it is waited than counting took.
	tallyEvery = 2 * time.Second
	tallyShare = 100
	// tallyPatience is how long it is waited for new counts. After that the old ones must do.
	tallyPatience = time.Second
	// tallyWithin is how long counting may take.
	tallyWithin = time.Minute
)

// Tally implements store.Tallied. Without the indexes all that waits is under OtherNames.
func (s *Store) Tally() []store.Tally {
	t := &s.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); t.running == nil && !now.Before(t.next) && s.stopping.Err() == nil {
		t.running, t.began = make(chan struct{}), now
		t.asked <- struct{}{}
	}
	if t.running != nil {
		t.wait()
	}
	if t.all == nil {
		return []store.Tally{{Name: store.OtherNames, Waiting: s.Waiting()}}
	}
	return t.all
}

// wait waits for new counts, but not for long. The lock must be held.
func (t *tally) wait() {
	running, patience := t.running, time.NewTimer(time.Until(t.began.Add(tallyPatience)))
	defer patience.Stop()
	t.mu.Unlock()
	defer t.mu.Lock()
	select {
	case <-running:
	case <-patience.C:
	}
}

// keepTally counts when it is asked to.
func (s *Store) keepTally() {
	for {
		select {
		case <-s.stopping.Done():
			return
		case <-s.tally.asked:
			s.count()
		}
	}
}

// count counts what there is.
func (s *Store) count() {
	ctx, cancel := context.WithTimeout(s.stopping, tallyWithin)
	defer cancel()
	all, err := s.countNames(ctx)
	t := &s.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.running)
	now := time.Now()
	t.running, t.next = nil, now.Add(max(s.options.tallyEvery, s.options.tallyShare*now.Sub(t.began)))
	switch {
	case err == nil:
		t.all, t.failed = all, false
	case !t.failed && s.stopping.Err() == nil:
		t.failed = true
		s.log.Warn("what waits under which name could not be counted", zap.Error(err))
	}
}

// selectTally counts what waits, and what is dead, from two indexes alone. Their conditions
// must be in it word for word.
var (
	isWaiting   = fmt.Sprintf("phase = %d", callback.Waiting)
	selectTally = `SELECT name, false, count(*), min(created) FROM @callbacks WHERE ` + isWaiting + ` GROUP BY name
		UNION ALL SELECT name, true, count(*), 0 FROM @callbacks WHERE dead GROUP BY name ORDER BY 1, 2`
)

// prepareTally lets a transaction take its time, and read no table. A connection to a pooler has
// no settings of its own.
const prepareTally = `SELECT set_config('statement_timeout', $1, true), set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('max_parallel_workers_per_gather', '0', true)`

// countNames asks for the counts.
func (s *Store) countNames(ctx context.Context) (all []store.Tally, err error) {
	if there, err := s.hasIndexes(ctx, s.pool); err != nil || !there {
		return nil, err
	}
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, prepareTally, fmt.Sprint(tallyWithin.Milliseconds())); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, s.sql(selectTally))
		if err != nil {
			return err
		}
		all, err = collectTally(rows)
		return err
	})
	return all, s.wrap(ctx, err)
}

// collectTally reads the rows of selectTally. Names beyond the first ones are counted together.
func collectTally(rows pgx.Rows) (all []store.Tally, err error) {
	defer rows.Close()
	all = []store.Tally{}
	others := store.Tally{Name: store.OtherNames}
	var name []byte
	for rows.Next() {
		var dead bool
		var n, oldest int64
		if err := rows.Scan(&name, &dead, &n, &oldest); err != nil {
			return nil, err
		}
		last := len(all) - 1
		var t *store.Tally
		switch {
		case last >= 0 && all[last].Name == string(name):
			t = &all[last]
		case len(all) == store.MaxTallied:
			t = &others
		default:
			all = append(all, store.Tally{Name: string(name)})
			t = &all[last+1]
		}
		if dead {
			t.Dead += int(n)
			continue
		}
		t.Waiting += int(n)
		if at := callback.Time(oldest); t.Oldest == 0 || at < t.Oldest {
			t.Oldest = at
		}
	}
	if others.Waiting > 0 || others.Dead > 0 {
		all = append(all, others)
	}
	return all, rows.Err()
}
