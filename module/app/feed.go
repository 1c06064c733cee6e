package app

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

const (
	// maxListeners is how many can listen at once, and mostChanges how many changes are kept
	// for those who are slow or come back.
	maxListeners = 64
	mostChanges  = 4096
	// lingers is for how long changes are kept when nobody listens any more.
	lingers = time.Minute
)

// Change is something that has happened to a callback.
type Change struct {
	At callback.Time `json:"at"`
	// What has happened, in a word: one of those of a callback's history, or followed (its
	// step has begun), told (its parent knows how it has ended) or removed. Of what another
	// node has done it is the last in the history.
	What          string         `json:"what"`
	ID            callback.UUID  `json:"id"`
	Phase         callback.Phase `json:"phase"`
	Name          string         `json:"name,omitempty"`
	CorrelationID string         `json:"correlationId"`
}

// Feed tells those who listen what happens to the callbacks of a runtime. It costs nothing
// while nobody listens. A change may be told some moments before it is committed.
type Feed struct {
	// active says that changes are kept.
	active atomic.Bool

	mu sync.Mutex
	// ring has the newest changes: the one with the number n at n modulo its length, those
	// from first to next, which is not there yet.
	ring        []Change
	first, next uint64
	// era makes ids of the numbers.
	era       cipher.Block
	listeners map[*Listener]bool
	// idle has the changes forgotten, once nobody has listened for a while.
	idle *time.Timer
}

// NewFeed returns a feed that nobody listens to.
func NewFeed() *Feed { return &Feed{listeners: make(map[*Listener]bool)} }

// Listener hears of changes. It must be stopped.
type Listener struct {
	// C yields when there are changes to take.
	C    <-chan struct{}
	c    chan struct{}
	feed *Feed
	at   uint64
	// gap says that it is not known how many changes were lost.
	gap bool
}

// Listen begins to listen: at the change after the one with that id, or else at the next.
// engine.ErrBusy: too many listen.
func (f *Feed) Listen(after string) (*Listener, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.listeners) >= maxListeners {
		return nil, engine.ErrBusy
	}
	f.begin()
	c := make(chan struct{}, 1)
	l := &Listener{C: c, c: c, feed: f, at: f.next}
	if after != "" {
		at, known := f.position(after)
		if l.gap = !known; known {
			l.at = at + 1
		}
		c <- struct{}{}
	}
	f.listeners[l] = true
	return l, nil
}

// begin makes sure that changes are kept.
func (f *Feed) begin() {
	if f.idle != nil {
		f.idle.Stop()
		f.idle = nil
	}
	if f.ring != nil {
		return
	}
	f.ring = make([]Change, mostChanges)
	f.era, f.first, f.next = newEra(), 1, 1
	f.active.Store(true)
}

// newEra returns what makes ids of numbers. They do not tell how much happens, nor are they
// taken for those of another time at which somebody listened.
func newEra() cipher.Block {
	var key [16]byte
	_, _ = rand.Read(key[:])
	era, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	return era
}

// idOf returns the id of the change with that number.
func idOf(era cipher.Block, number uint64) string {
	var block [aes.BlockSize]byte
	binary.BigEndian.PutUint64(block[8:], number)
	era.Encrypt(block[:], block[:])
	return base64.RawURLEncoding.EncodeToString(block[:])
}

// position returns the number of the change with that id, and whether it is one of this
// era.
func (f *Feed) position(id string) (uint64, bool) {
	block, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(block) != aes.BlockSize {
		return 0, false
	}
	f.era.Decrypt(block, block)
	number := binary.BigEndian.Uint64(block[8:])
	return number, binary.BigEndian.Uint64(block) == 0 && number < f.next
}

// Stop ends listening.
func (l *Listener) Stop() {
	f := l.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.listeners, l)
	if len(f.listeners) == 0 {
		f.idle = time.AfterFunc(lingers, f.rest)
	}
}

// rest keeps no changes any more, if nobody listens.
func (f *Feed) rest() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.listeners) == 0 {
		f.active.Store(false)
		f.ring = nil
	}
}

// close forgets all. Nobody listens any more: who listens uses the runtime.
func (f *Feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.idle != nil {
		f.idle.Stop()
	}
	f.active.Store(false)
	f.ring = nil
}

// listened reports whether somebody listens, or may come back soon.
func (f *Feed) listened() bool { return f != nil && f.active.Load() }

// transitions are the words for what happens to callbacks. What is not here happens along with
// something that is.
var transitions = map[engine.Transition]string{
	engine.Created: "created", engine.Called: "called", engine.Progressed: "progressed", engine.Correlated: "correlated",
	engine.Resolved: "resolved", engine.Failed: "failed", engine.Expired: "expired", engine.Closed: "closed",
	engine.JobAccepted: "attempted", engine.JobPassedOn: "attempted", engine.JobUnknown: "attempted", engine.JobRetried: "attempted",
	engine.JobEnded: "attempted", engine.JobPolled: "polled",
	engine.Delivered: "delivered", engine.DeliveryRetried: "deliveryFailed", engine.DeliveryGivenUp: "deliveryDead", engine.DeliveryRestarted: "redelivered",
	engine.StepFollowed: "followed", engine.StepTold: "told", engine.Stripped: "stripped", engine.Purged: "removed",
}

// observe tells of a transition.
func (f *Feed) observe(t engine.Transition, r *callback.Record, ended bool) {
	if !f.listened() {
		return
	}
	what := transitions[t]
	switch {
	case ended:
		what = r.Phase.String()
	case t == engine.Resolved, t == engine.Failed:
		// It had ended before, and takes more calls.
		what = "called"
	}
	if what != "" {
		f.tell(changeOf(what, r))
	}
}

func changeOf(what string, r *callback.Record) Change {
	return Change{
		At: callback.At(time.Now()), What: what, ID: r.ID, Phase: r.Phase,
		Name: strings.Clone(r.Name), CorrelationID: strings.Clone(r.CorrelationID),
	}
}

// Follows implements engine.Follower.
func (w witness) Follows() bool { return w.feed.listened() }

// Changed implements engine.Follower.
func (w witness) Changed(r *callback.Record) {
	all := r.Happenings(nil)
	w.feed.tell(changeOf(all[len(all)-1].Kind.String(), r))
}

// Missed implements engine.Follower.
func (w witness) Missed() { w.feed.lose() }

// tell tells of a change.
func (f *Feed) tell(c Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ring == nil {
		return
	}
	f.ring[f.next%mostChanges] = c
	f.next++
	if f.next-f.first > mostChanges {
		f.first++
	}
	f.wake()
}

// lose tells that changes are missing.
func (f *Feed) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.listeners {
		l.gap = true
	}
	f.wake()
}

func (f *Feed) wake() {
	for l := range f.listeners {
		select {
		case l.c <- struct{}{}:
		default:
		}
	}
}

// Heard is what a listener has heard.
type Heard struct {
	Changes []Change
	// Lost says that changes before these are missing: Missing of them, if that is known.
	Lost    bool
	Missing uint64
	// first is the number of the first change, and era makes its id.
	first uint64
	era   cipher.Block
}

// ID returns the id of the change at that place, -1 for the one before the first.
func (h Heard) ID(i int) string { return idOf(h.era, h.first+uint64(i+1)-1) }

// Last returns the id with which a listener goes on after all that it has heard.
func (h Heard) Last() string { return h.ID(len(h.Changes) - 1) }

// Take returns the changes that the listener has not heard of, as many as there is room for in
// the array of the caller's. There may be more.
func (l *Listener) Take(room []Change) Heard {
	f := l.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	h := Heard{era: f.era, Lost: l.gap}
	l.gap = false
	if l.at < f.first {
		h.Lost, h.Missing = true, f.first-l.at
		l.at = f.first
	}
	h.first = l.at
	h.Changes = room[:min(uint64(len(room)), f.next-l.at)]
	for i := range h.Changes {
		h.Changes[i] = f.ring[(l.at+uint64(i))%mostChanges]
	}
	l.at += uint64(len(h.Changes))
	if l.at < f.next {
		select {
		case l.c <- struct{}{}:
		default:
		}
	}
	return h
}
