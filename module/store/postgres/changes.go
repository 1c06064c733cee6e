package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

const (
	// maxHints is how many changes by others are kept in mind for who asks late.
	maxHints = 4096
	// maxNotice is how many bytes of hints one notice carries. A payload must be shorter than
	// 8,000 bytes, in base64 and with the number of its node.
	maxNotice = 5700
	// relistenAfter is how long it is waited before a broken connection is replaced.
	relistenAfter = 250 * time.Millisecond
	// deafAfter is how long a node does not hear its own heartbeats before it takes itself for
	// deaf, and pollEvery how often it looks at everything from then on.
	deafAfter = 5 * time.Second
	pollEvery = 250 * time.Millisecond
)

// channel returns the name of the channel for hints.
func (s *Store) channel() string {
	sum := sha256.Sum256([]byte(s.options.Schema))
	return "callback_" + hex.EncodeToString(sum[:8])
}

// farewell stands in a notice in place of hints: its node has left.
const farewell = "left"

// notifier tells the other nodes what was committed.
type notifier struct {
	s       *Store
	mu      sync.Mutex
	pending []byte
	// beats says that this node is to hear from itself.
	beats bool
	wake  chan struct{}
}

func newNotifier(s *Store) *notifier { return &notifier{s: s, wake: make(chan struct{}, 1)} }

// add notes writes that were committed.
func (n *notifier) add(writes []*write) {
	writes = slices.DeleteFunc(writes, (*write).isNewToAll)
	if len(writes) == 0 {
		return
	}
	n.mu.Lock()
	for _, w := range writes {
		n.pending = appendHint(n.pending, w)
	}
	n.mu.Unlock()
	n.poke()
}

// isNewToAll reports whether a write is a creation that nobody can wait for at another node.
func (w *write) isNewToAll() bool { return w.old == 0 && len(w.added) == 0 }

// beat has a notice sent that this node hears, whatever else there is to say.
func (n *notifier) beat() {
	n.mu.Lock()
	n.beats = true
	n.mu.Unlock()
	n.poke()
}

func (n *notifier) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// maxAliases is how many aliases a hint can have.
const maxAliases = 100

// appendHint appends the hint at a write: the id, how many aliases there are, and those.
func appendHint(b []byte, w *write) []byte {
	aliases := w.added[:min(len(w.added), maxAliases)]
	b = append(append(b, w.id[:]...), byte(len(aliases)))
	for _, alias := range aliases {
		b = append(b, alias[:]...)
	}
	return b
}

// cutHint reads what appendHint has appended.
func cutHint(b []byte) (h store.Hint, length int, ok bool) {
	const head = len(h.ID) + 1
	if len(b) < head {
		return h, 0, false
	}
	copy(h.ID[:], b)
	length = head + int(b[head-1])*len(callback.Digest{})
	if len(b) < length {
		return h, 0, false
	}
	for rest := b[head:length]; len(rest) > 0; rest = rest[len(callback.Digest{}):] {
		h.Aliases = append(h.Aliases, callback.Digest(rest[:len(callback.Digest{})]))
	}
	return h, length, true
}

// run sends hints, until the store is closed.
func (n *notifier) run() {
	for {
		select {
		case <-n.wake:
		case <-n.s.stopping.Done():
			return
		}
		ctx, cancel := context.WithTimeout(n.s.stopping, readWithin)
		n.flush(ctx)
		cancel()
	}
}

// flush sends the hints that there are. Those that cannot be sent are lost: the other nodes
// look regularly.
func (n *notifier) flush(ctx context.Context) {
	n.mu.Lock()
	all, beats := n.pending, n.beats
	n.pending, n.beats = nil, false
	n.mu.Unlock()
	if beats && len(all) == 0 {
		_ = n.notify(ctx, "")
	}
	for len(all) > 0 {
		size := 0
		for size < len(all) {
			_, length, ok := cutHint(all[size:])
			if !ok || size+length > maxNotice && size > 0 {
				break
			}
			size += length
		}
		if err := n.notify(ctx, base64.RawStdEncoding.EncodeToString(all[:size])); err != nil {
			n.s.lost.Add(1)
			return
		}
		all = all[size:]
	}
}

// notify sends a notice, which has no hints if it only is to be heard by this node. Nothing of it must last, so that nothing waits for the disk.
func (n *notifier) notify(ctx context.Context, hints string) error {
	_, err := n.s.control.Exec(ctx, `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`,
		n.s.channel(), strconv.FormatUint(uint64(n.s.Node()), 10)+" "+hints)
	return err
}

// listen yields the hints of the other nodes, until the store is closed.
func (s *Store) listen() {
	for s.stopping.Err() == nil {
		err := s.listenOnce(s.stopping)
		if s.stopping.Err() != nil {
			return
		}
		cause := errDeaf
		if errors.Is(err, errSilence) {
			cause = errSilence
		}
		s.hearing.Failed(cause, 1, zap.Error(err))
		select {
		case <-time.After(relistenAfter):
		case <-s.stopping.Done():
		}
	}
}

// Causes of which the log tells.
var (
	errDeaf    = errors.New("there is no connection to listen on")
	errSilence = errors.New("nothing comes on the connection to listen on, not even what this node says itself: if it leads to a pooler, direct must name the database itself")
)

// poll has everything looked at while this node is deaf: it may have no connection to listen
// on, or one through a pooler on which no notice comes.
func (s *Store) poll() {
	s.heardAt.Store(time.Now().UnixNano())
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.stopping.Done():
			s.hearing.Over()
			return
		}
		if s.Ready() != nil {
			continue
		}
		s.hearing.Works()
		if time.Since(time.Unix(0, s.heardAt.Load())) > deafAfter {
			s.lost.Add(1)
			s.hint(store.Hint{})
		}
	}
}

// listenOnce listens over one connection, until that breaks.
func (s *Store) listenOnce(ctx context.Context) error {
	c, err := s.connectListener(ctx)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx)
	}()
	if err := s.subscribe(ctx, c); err != nil {
		return err
	}
	if s.listened {
		s.lost.Add(1)
	}
	s.listened = true
	// Whatever came before was not heard.
	lost, told := !s.hint(store.Hint{}), time.Now()
	for {
		quiet, cancel := context.WithTimeout(ctx, max(deafAfter, 2*s.options.heartbeat))
		notice, err := c.WaitForNotification(quiet)
		cancel()
		if err != nil && errors.Is(quiet.Err(), context.DeadlineExceeded) && s.Ready() == nil {
			return errSilence
		}
		if err != nil {
			return err
		}
		// Whoever may connect can send notices that nobody understands.
		if lost && time.Since(told) > pollEvery {
			lost, told = !s.hint(store.Hint{}), time.Now()
		}
		if !s.heard(notice.Payload) {
			s.lost.Add(1)
			lost = true
		}
	}
}

// subscribe has a connection hear the notices of this store's nodes.
func (s *Store) subscribe(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	_, err := c.Exec(ctx, "LISTEN "+pgx.Identifier{s.channel()}.Sanitize())
	return err
}

// heard yields the hints in a notice, and reports whether there was room for them.
func (s *Store) heard(payload string) (all bool) {
	from, text, _ := strings.Cut(payload, " ")
	if from == strconv.FormatUint(uint64(s.Node()), 10) {
		s.heardAt.Store(time.Now().UnixNano())
		return true
	}
	if text == farewell {
		select {
		case s.left <- struct{}{}:
		default:
		}
		return true
	}
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return false
	}
	for b = bytes.Clone(b); len(b) > 0; {
		h, length, ok := cutHint(b)
		if !ok || !s.hint(h) {
			return false
		}
		b = b[length:]
	}
	return true
}

// hint yields a hint, unless there are too many.
func (s *Store) hint(h store.Hint) bool {
	select {
	case s.changes <- h:
		return true
	default:
		return false
	}
}
