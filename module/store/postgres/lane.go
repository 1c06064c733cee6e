package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// maxBatch is how many writes are committed together at most.
const maxBatch = 256

// maxBatchBytes is how many bytes the writes of a batch have at most, unless one alone has more:
// a batch must be over in the time that it has. A body that is released counts as so many bytes.
const (
	maxBatchBytes = 8 << 20
	releasedBytes = 1 << 20
)

// leap is by how much the number in a lane's row is raised after a connection broke: what may
// still be on its way finds another number than the one it expects, and does nothing.
const leap = 1000

// lane commits writes over one connection, many in one transaction. Its row in the database
// has the number of the last transaction and what of it was refused, so that it is known for
// certain what became of one whose connection broke. A node that was given up has no row, and
// commits nothing.
type lane struct {
	s *Store

	mu      sync.Mutex
	pending []*write
	closed  bool
	// uncertain are the files that the doubtful batch refers to, once its writers were told
	// that its outcome is not known.
	uncertain map[[16]byte]bool
	// wake has room for one.
	wake  chan struct{}
	ended chan struct{}

	// The rest belongs to run.
	conn *pgx.Conn
	node callback.Node
	seq  int64
	// doubtful is the batch of which it is not known whether it was committed.
	doubtful *batch

	// waiting is how many callbacks wait by this lane's count; it may be below zero.
	waiting atomic.Int64
	commits struct {
		count, records atomic.Uint64
		took           atomic.Int64
	}
}

func newLane(s *Store) *lane {
	return &lane{s: s, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// commit hands a write over, and waits for what becomes of it, for as long as it may take.
func (l *lane) commit(w *write) error {
	w.bytes = len(w.released) * releasedBytes
	if w.after != nil {
		w.bytes += w.after.Size()
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return store.ErrClosed
	}
	l.pending = append(l.pending, w)
	l.mu.Unlock()
	l.poke()
	timer := time.NewTimer(w.within())
	defer timer.Stop()
	select {
	case err := <-w.done:
		return err
	case <-timer.C:
		return l.abandon(w)
	}
}

// errLate is why somebody waits no longer.
var errLate = errors.New("it took too long")

// abandon gives up waiting for a write. Unless it is on its way, it is never committed.
func (l *lane) abandon(w *write) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.abandoned = true
	for _, file := range w.taken {
		if w.sent && l.uncertain == nil {
			l.uncertain = make(map[[16]byte]bool)
		}
		if w.sent {
			l.uncertain[file] = true
		}
	}
	return noAnswer(errLate, w.sent)
}

// noAnswer returns the error of a write of which the database has said nothing.
func noAnswer(err error, sent bool) error {
	if sent {
		return fmt.Errorf("%w: the database does not answer, and it is unknown whether the last decisions were stored: %w", store.ErrFailed, err)
	}
	return fmt.Errorf("%w: the database does not answer, and nothing was stored: %w", store.ErrFailed, err)
}

// setOut drops the writes for which nobody waits any more, and notes that the others are on
// their way. It reports whether there are any.
func (l *lane) setOut(b *batch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.writes = slices.DeleteFunc(b.writes, func(w *write) bool { return w.abandoned })
	for _, w := range b.writes {
		w.sent = true
	}
	return len(b.writes) > 0
}

func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// close lets the lane end when it has committed what it has.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.poke()
}

// run commits, until the lane is closed and has nothing left.
func (l *lane) run() {
	defer close(l.ended)
	defer l.disconnect()
	for {
		writes, closed := l.take()
		switch {
		case len(writes) > 0:
			l.commitBatch(newBatch(writes))
		case closed:
			return
		case l.doubtful != nil:
			l.resolve()
		default:
			<-l.wake
		}
	}
}

// resolveEvery is how long it is waited before it is tried again to find out about a batch.
const resolveEvery = 250 * time.Millisecond

// resolve finds out what became of the doubtful batch while there is nothing to commit: it is not
// to be committed when nobody thinks of it any more.
func (l *lane) resolve() {
	ctx, cancel := context.WithTimeout(context.Background(), writeWithin)
	defer cancel()
	err := errFenced
	if l.node == l.s.Node() {
		if err = l.ready(ctx); err == nil {
			_, err = l.settle(ctx, nil)
		}
	}
	if errors.Is(err, errFenced) {
		l.doubtful = nil
	}
	l.noteUncertain()
	if l.doubtful == nil {
		return
	}
	timer := time.NewTimer(resolveEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.wake:
	}
}

// take takes writes that can be committed together. One about the same callback, or about the
// same alias, as another waits for the next turn.
func (l *lane) take() (writes []*write, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rest []*write
	size := 0
	ids, aliases := make(map[callback.UUID]bool), make(map[callback.Digest]bool)
	for _, w := range l.pending {
		if w.abandoned {
			continue
		}
		full := len(writes) == maxBatch || len(writes) > 0 && size+w.bytes > maxBatchBytes
		if full || ids[w.id] || w.touches(aliases) {
			rest = append(rest, w)
		} else {
			writes = append(writes, w)
			size += w.bytes
		}
		// What waits keeps its turn, too.
		ids[w.id] = true
		for _, all := range [][]callback.Digest{w.added, w.removed} {
			for _, alias := range all {
				aliases[alias] = true
			}
		}
	}
	l.pending = rest
	return writes, l.closed
}

// touches reports whether a write adds or removes one of the aliases.
func (w *write) touches(aliases map[callback.Digest]bool) bool {
	for _, all := range [][]callback.Digest{w.added, w.removed} {
		for _, alias := range all {
			if aliases[alias] {
				return true
			}
		}
	}
	return false
}

// commitBatch commits a batch, and tells all that wait what became of their writes.
func (l *lane) commitBatch(b *batch) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), writeWithin)
	defer cancel()
	err := l.try(ctx, b)
	if err != nil && len(b.writes) > 1 && refused(err) != nil {
		// Those that can be committed are not to fail with the one that cannot.
		for _, w := range b.writes {
			l.commitBatch(newBatch([]*write{w}))
		}
		return
	}
	l.commits.count.Add(1)
	l.commits.records.Add(uint64(len(b.writes)))
	l.commits.took.Add(int64(time.Since(began)))
	if err == nil && len(b.writes) > 0 {
		l.waiting.Store(b.waiting)
	}
	l.noteUncertain()
	var done []*write
	for n, w := range b.writes {
		outcome := err
		if err == nil {
			outcome = b.outcome(n)
		}
		if outcome == nil {
			done = append(done, w)
		}
		w.done <- outcome
	}
	l.s.notifier.add(done)
}

// noteUncertain notes the files that a batch refers to of which it is not known whether it was
// committed.
func (l *lane) noteUncertain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uncertain = nil
	if l.doubtful == nil {
		return
	}
	l.uncertain = make(map[[16]byte]bool)
	for _, w := range l.doubtful.writes {
		for _, file := range w.taken {
			l.uncertain[file] = true
		}
	}
}

// doubts reports whether a record may come to refer to a file although its writer was told that
// its decision has failed.
func (l *lane) doubts(file [16]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.uncertain[file]
}

// try commits a batch, and tries again where that can help.
func (l *lane) try(ctx context.Context, b *batch) error {
	for n := 0; ; n++ {
		err := l.attempt(ctx, b)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errFenced):
			return l.rejoin(ctx, b)
		case isCode(err, codeSerialization, codeDeadlock) && n < tries:
		case isCode(err, codeLockTimeout) && len(b.writes) == 1:
		case refused(err) != nil && len(b.writes) > 1:
			return err
		case refused(err) != nil:
			return l.s.wrapWrite(err)
		}
		if pause(ctx, n+1) != nil {
			return noAnswer(err, l.doubtful == b)
		}
	}
}

// wrapWrite is wrap for what a lane does, which goes on when the store is being closed.
func (s *Store) wrapWrite(err error) error {
	if e := refused(err); e != nil && e.Code == codeDiskFull {
		return store.ErrFull
	} else if e != nil {
		return fmt.Errorf("%w: PostgreSQL refuses: %s (SQLSTATE %s)", store.ErrFailed, e.Message, e.Code)
	}
	return fmt.Errorf("%w: %w", store.ErrFailed, err)
}

// rejoin makes this process another node. Decisions are made again, because they may depend on
// which node this is, and creations fail, because their records may name it.
func (l *lane) rejoin(ctx context.Context, b *batch) error {
	uncertain := l.doubtful == b
	l.doubtful = nil
	if err := l.s.join(ctx, l.node); err != nil {
		return l.s.wrapWrite(err)
	}
	if uncertain {
		return fmt.Errorf("%w: %w, and it is unknown whether its last decisions were stored", store.ErrFailed, errFenced)
	}
	b.fenced = true
	b.waiting = 0
	return nil
}

// attempt tries once to commit a batch.
func (l *lane) attempt(ctx context.Context, b *batch) error {
	if node := l.s.Node(); l.node != node {
		if l.doubtful != nil && l.doubtful == b {
			return errFenced
		}
		l.node, l.seq, l.doubtful = node, 0, nil
	}
	if err := l.ready(ctx); err != nil {
		return err
	}
	if l.doubtful != nil {
		if settled, err := l.settle(ctx, b); settled || err != nil {
			return err
		}
	}
	if !l.setOut(b) {
		return nil
	}
	l.doubtful = b
	held, err := b.send(ctx, l)
	switch {
	case err == nil && held:
		l.seq++
		l.doubtful = nil
		return nil
	case err == nil:
		l.doubtful = nil
		return l.find(ctx)
	case refused(err) != nil:
		l.doubtful = nil
		return err
	}
	l.disconnect()
	return err
}

// ready makes sure that there is a connection.
func (l *lane) ready(ctx context.Context) (err error) {
	if l.conn != nil && !l.conn.IsClosed() {
		return nil
	}
	l.conn, err = l.s.connectLane(ctx)
	return err
}

func (l *lane) disconnect() {
	if l.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx)
	l.conn = nil
}

// settle finds out whether the doubtful batch was committed, and makes sure that it is not
// from here on. settled says that it was, and that it is this one.
func (l *lane) settle(ctx context.Context, b *batch) (settled bool, err error) {
	var seq, waiting int64
	var stale, clashing []int32
	committed := false
	err = pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		// This waits for a transaction that is still under way.
		if err := tx.QueryRow(ctx, l.s.sql(`SELECT seq, waiting, stale, clashing FROM @lanes WHERE node = $1 AND lane = 0 FOR UPDATE`), int64(l.node)).
			Scan(&seq, &waiting, &stale, &clashing); err != nil {
			return err
		}
		if committed = seq == l.seq+1; committed {
			return nil
		}
		_, err := tx.Exec(ctx, l.s.sql(`UPDATE @lanes SET seq = $2 WHERE node = $1 AND lane = 0`), int64(l.node), seq+leap)
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, errFenced
	case err != nil && refused(err) == nil:
		// The number may have been raised or not.
		l.disconnect()
		return false, err
	case err != nil:
		return false, err
	case committed:
		l.seq = seq
		settled = l.doubtful == b
		l.waiting.Store(waiting)
		l.doubtful.waiting, l.doubtful.stale, l.doubtful.clashing = waiting, stale, clashing
	default:
		l.noticeLoss(seq)
		l.seq = seq + leap
	}
	l.doubtful = nil
	return settled, nil
}

// find reads the number in the lane's row after it was not the one that was expected.
func (l *lane) find(ctx context.Context) error {
	var seq int64
	err := l.conn.QueryRow(ctx, l.s.sql(`SELECT seq FROM @lanes WHERE node = $1 AND lane = 0`), int64(l.node)).Scan(&seq)
	if errors.Is(err, pgx.ErrNoRows) {
		return errFenced
	}
	if err != nil {
		return err
	}
	l.noticeLoss(seq)
	l.seq = seq
	return errors.New("the lane had another number")
}

// noticeLoss tells of a number in the lane's row that has gone back.
func (l *lane) noticeLoss(seq int64) {
	if seq < l.seq {
		l.s.log.Error("the database has lost what it had committed: was it restored, or has it failed over to a replica that was behind?", zap.Int64("had", l.seq), zap.Int64("has", seq))
	}
}
