package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

const (
	// heartbeatEvery is how often a node says that it lives.
	heartbeatEvery = 2 * time.Second
	// heartbeatWithin is how long that may take before the database is taken for away.
	heartbeatWithin = 3 * time.Second
	// tryEvery is how often it is tried while the database does not answer.
	tryEvery = 250 * time.Millisecond
	// giveUpAfter is how long nothing must have been heard of a node before it is given up. A
	// node that has not heard of the database for as long gives nobody up.
	giveUpAfter = 10 * time.Second
)

// members is what is known of the nodes.
type members struct {
	// joining is held while this process becomes a node.
	joining sync.Mutex

	mu   sync.RWMutex
	self callback.Node
	// newest is the highest number that a node has, and living has those that are not given up.
	newest callback.Node
	living map[callback.Node]bool
	// clock is what the database's clock showed when it was looked at, and at when that was. What
	// has passed since then does not depend on this machine's clock, which can be set.
	clock, at time.Time
	// others is how many callbacks wait by the other nodes' count.
	others int
	// heard is what was heard of the other nodes last.
	heard map[int64]heard
	// quiet is when the node of which nothing was heard for the longest time is to be given up,
	// by this process's clock.
	quiet time.Time
	// failure is why the last heartbeat failed; nil if it did not. beat is when the last one
	// was heard, and steady since when none has failed or was late.
	failure      error
	beat, steady time.Time
}

// heard is what a node said last, by the database's clock, and since when it has said nothing else,
// by this process's: the database's clock may be set.
type heard struct{ seen, since time.Time }

// ready returns why the database does not answer, nil if it does.
func (m *members) ready() error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.failure
}

// Node implements store.Shared.
func (s *Store) Node() callback.Node {
	s.members.mu.RLock()
	defer s.members.mu.RUnlock()
	return s.members.self
}

// maxJoining is how many nodes can have joined since it was looked who they are. A number that
// is higher by more is that of no node.
const maxJoining = 1 << 20

// Lives implements store.Shared. A number that is higher than all that are known is that of a
// node that has joined a moment ago.
func (s *Store) Lives(n callback.Node) bool {
	m := &s.members
	m.mu.RLock()
	defer m.mu.RUnlock()
	return n != 0 && (m.living[n] || n > m.newest && n-m.newest < maxJoining)
}

// Now implements store.Shared.
func (s *Store) Now() time.Time {
	s.members.mu.RLock()
	defer s.members.mu.RUnlock()
	return s.members.clock.Add(time.Since(s.members.at))
}

// Waiting implements store.Store. What other nodes have changed since the last heartbeat is not
// in it.
func (s *Store) Waiting() int {
	s.members.mu.RLock()
	defer s.members.mu.RUnlock()
	return max(0, s.members.others+int(s.lane.waiting.Load()))
}

// join makes this process a node with the next number, in place of the one that it was, if it
// is still that one. Numbers are given out under the lock of a row: whoever sees one sees all
// before it.
func (s *Store) join(ctx context.Context, was callback.Node) error {
	s.members.joining.Lock()
	defer s.members.joining.Unlock()
	if s.Node() != was {
		return nil
	}
	var node int64
	err := pgx.BeginFunc(ctx, s.control, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, s.sql(`UPDATE @meta SET nodes = nodes + 1 RETURNING nodes`)).Scan(&node); err != nil {
			return err
		}
		here := store.ThisNode()
		if _, err := tx.Exec(ctx, s.sql(`INSERT INTO @nodes (node, seen, release, host) VALUES ($1, clock_timestamp(), $2, $3)`), node, here.Release, here.Host); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.sql(`INSERT INTO @lanes (node, lane) VALUES ($1, 0)`), node); err != nil {
			return err
		}
		return s.useAll(ctx, tx, node)
	})
	if err != nil {
		return fmt.Errorf("joining the nodes: %w", err)
	}
	if was != 0 {
		s.log.Warn("the other nodes had not heard of this one and gave it up; it has joined them again", zap.Uint64("was", uint64(was)), zap.Int64("node", node))
	}
	s.members.mu.Lock()
	s.members.self = callback.Node(node)
	s.members.mu.Unlock()
	s.lane.waiting.Store(0)
	return s.look(ctx)
}

// leave takes a node, and what it has counted, out of the nodes.
func (s *Store) leave(ctx context.Context, n callback.Node) error {
	return pgx.BeginFunc(ctx, s.control, func(tx pgx.Tx) error { return s.remove(ctx, tx, []int64{int64(n)}) })
}

// remove removes nodes. Their lanes' rows go first: what those still have on its way is in them
// by then, or is never committed.
func (s *Store) remove(ctx context.Context, tx pgx.Tx, nodes []int64) error {
	if _, err := tx.Exec(ctx, s.sql(`SELECT 1 FROM @meta FOR UPDATE`)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, s.sql(`WITH gone AS (DELETE FROM @lanes WHERE node = ANY($1) RETURNING waiting)
		UPDATE @meta SET waiting = waiting + (SELECT coalesce(sum(waiting), 0) FROM gone)`), nodes); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, s.sql(`DELETE FROM @nodes WHERE node = ANY($1)`), nodes)
	return err
}

// look reads who the nodes are.
func (s *Store) look(ctx context.Context) error {
	batch := new(pgx.Batch)
	s.queueLook(batch)
	return s.control.SendBatch(ctx, batch).Close()
}

// queueLook queues the question who the nodes are.
func (s *Store) queueLook(batch *pgx.Batch) {
	from := time.Now()
	batch.Queue(s.sql(`SELECT clock_timestamp(), m.nodes, m.waiting + (SELECT coalesce(sum(waiting), 0) FROM @lanes WHERE node <> $1),
		ARRAY(SELECT node FROM @nodes ORDER BY node), ARRAY(SELECT seen FROM @nodes ORDER BY node) FROM @meta m`), int64(s.Node())).
		QueryRow(func(row pgx.Row) error {
			var clock time.Time
			var newest, others int64
			var living []int64
			var seen []time.Time
			if err := row.Scan(&clock, &newest, &others, &living, &seen); err != nil {
				return err
			}
			m := &s.members
			m.mu.Lock()
			defer m.mu.Unlock()
			m.clock, m.at = clock, from.Add(time.Since(from)/2)
			m.newest, m.others = callback.Node(newest), int(others)
			m.hear(&s.options, clock, living, seen)
			return nil
		})
}

// hear notes which nodes there are, and what each said last. clock is the database's.
func (m *members) hear(o *Options, clock time.Time, nodes []int64, seen []time.Time) {
	known := m.heard
	m.living, m.heard, m.quiet = make(map[callback.Node]bool, len(nodes)), make(map[int64]heard, len(nodes)), time.Time{}
	for i, n := range nodes {
		m.living[callback.Node(n)] = true
		if callback.Node(n) == m.self {
			continue
		}
		h, again := known[n]
		if !again || !h.seen.Equal(seen[i]) {
			// It said so since this node looked last.
			ago := min(max(clock.Sub(seen[i]), 0), o.heartbeat)
			h = heard{seen: seen[i], since: time.Now().Add(-ago)}
		}
		m.heard[n] = h
		if at := h.since.Add(o.giveUp); m.quiet.IsZero() || at.Before(m.quiet) {
			m.quiet = at
		}
	}
}

// heartbeats says that this node lives, until the store is closed.
func (s *Store) heartbeats() {
	s.noteHeartbeat(nil)
	timer := time.NewTimer(s.options.heartbeat)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.left:
		case <-s.stopping.Done():
			return
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(s.stopping, heartbeatWithin)
		s.noteHeartbeat(s.heartbeat(ctx))
		cancel()
		if s.members.ready() != nil {
			// What is connected may be so to nobody.
			s.pool.Reset()
			s.control.Reset()
		}
		timer.Reset(time.Until(s.nextHeartbeat(began)))
	}
}

// nextHeartbeat returns when it is to be said that this node lives, after it was said at a time:
// earlier than usual if it could not be said, or if another node is to be given up.
func (s *Store) nextHeartbeat(last time.Time) time.Time {
	m := &s.members
	m.mu.RLock()
	defer m.mu.RUnlock()
	next, soonest := last.Add(s.options.heartbeat), last.Add(min(tryEvery, s.options.heartbeat))
	switch {
	case m.failure != nil || !m.quiet.IsZero() && m.quiet.Before(soonest):
		return soonest
	case !m.quiet.IsZero() && m.quiet.Before(next):
		return m.quiet
	}
	return next
}

// noteHeartbeat notes what became of a heartbeat.
func (s *Store) noteHeartbeat(err error) {
	if s.stopping.Err() != nil {
		return
	}
	m := &s.members
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err != nil && m.failure == nil:
		s.log.Error("the database does not answer", zap.Error(err))
	case err == nil && m.failure != nil:
		s.log.Info("the database answers again")
	}
	if err != nil {
		m.failure, m.steady = fmt.Errorf("%w: the database does not answer", store.ErrFailed), time.Time{}
		return
	}
	m.failure = nil
	if now := time.Now(); m.steady.IsZero() || now.Sub(m.beat) > 2*s.options.heartbeat {
		m.steady = now
	}
	m.beat = time.Now()
}

// heartbeat says that this node lives, looks who else does, and gives up those of whom nothing
// is heard.
func (s *Store) heartbeat(ctx context.Context) error {
	node, living := s.Node(), false
	batch := new(pgx.Batch)
	// All of it is asked at once, because the network may be slow.
	batch.Queue(s.sql(`UPDATE @nodes SET seen = clock_timestamp() WHERE node = $1`), int64(node)).Exec(func(tag pgconn.CommandTag) error {
		living = tag.RowsAffected() > 0
		return nil
	})
	s.queueLook(batch)
	if err := s.control.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	if !living {
		return s.join(ctx, node)
	}
	// Without notices, which others can hold up, the node is deaf, and looks.
	s.notifier.beat()
	if err := s.giveUp(ctx); err != nil && s.stopping.Err() == nil {
		// That is no reason to serve nobody.
		s.log.Warn("nothing was heard of other nodes, and they cannot be given up", zap.Error(err))
	}
	return nil
}

// isSteady reports whether this node has heard of the database for so long that it would have
// heard of others.
func (m *members) isSteady(heartbeat, giveUp time.Duration) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return !m.steady.IsZero() && time.Since(m.steady) > giveUp && time.Since(m.beat) <= 2*heartbeat
}

// silent returns the nodes of which nothing was heard for too long, and what they said last.
func (m *members) silent(giveUp time.Duration) (nodes []int64, seen []time.Time) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for n, h := range m.heard {
		if time.Since(h.since) > giveUp {
			nodes, seen = append(nodes, n), append(seen, h.seen)
		}
	}
	return nodes, seen
}

// giveUp removes the nodes of which nothing was heard for too long.
func (s *Store) giveUp(ctx context.Context) error {
	nodes, seen := s.members.silent(s.options.giveUp)
	if len(nodes) == 0 || !s.members.isSteady(s.options.heartbeat, s.options.giveUp) {
		return nil
	}
	// What a node has begun and cannot end would be in the way until its connection ends.
	const hanging = `SELECT pg_terminate_backend(k.pid) FROM @lanes l JOIN pg_catalog.pg_locks k
		ON k.locktype = 'transactionid' AND k.transactionid = l.xmax AND k.granted WHERE l.node = ANY($1)`
	if _, err := s.control.Exec(ctx, s.sql(hanging), nodes); err != nil && refused(err) == nil {
		return err
	}
	err := pgx.BeginFunc(ctx, s.control, func(tx pgx.Tx) error {
		// Whoever changes who the nodes are locks this first.
		if _, err := tx.Exec(ctx, s.sql(`SELECT 1 FROM @meta FOR UPDATE`)); err != nil {
			return err
		}
		// Under the lock they are looked at again.
		if err := tx.QueryRow(ctx, s.sql(`SELECT ARRAY(SELECT n.node FROM @nodes n JOIN unnest($1::bigint[], $2::timestamptz[]) v (node, seen)
			ON n.node = v.node AND n.seen = v.seen FOR UPDATE OF n)`), nodes, seen).Scan(&nodes); err != nil {
			return err
		}
		return s.remove(ctx, tx, nodes)
	})
	if err != nil {
		return err
	}
	if len(nodes) > 0 {
		s.log.Warn("nothing was heard of other nodes, and they are given up", zap.Int64s("nodes", nodes))
	}
	return s.look(ctx)
}
