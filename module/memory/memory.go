// Package memory counts the bytes that are buffered. Whoever buffers what others send
// takes a Buffer, and no Buffer holds a byte that its Lease does not count.
package memory

import (
	"errors"
	"hash/maphash"
	"math"
	"sync/atomic"
)

// ErrBusy is returned when there is no memory left.
var ErrBusy = errors.New("a limit is reached")

// Owner is on whose behalf memory is taken, such as a callback. It is a digest: two owners
// may, very seldom, count as one.
type Owner uint64

// Nobody is the owner of what belongs to no one in particular. Only the limits of all
// bound it.
const Nobody Owner = 0

var seed = maphash.MakeSeed()

// OwnerOf returns the owner that has this name.
func OwnerOf[T comparable](name T) Owner { return Owner(maphash.Comparable(seed, name)) | 1 }

// ownerSlots is how many owners can be told apart. It must be a power of two.
const ownerSlots = 1 << 13

// Pool is all the memory that buffers may take at once.
type Pool struct {
	limit, used atomic.Int64
	// share is what one owner can have at once; owners has what each one has.
	share  atomic.Int64
	owners [ownerSlots]atomic.Int64
	// small and large bound what senders have that have proved nothing: small the
	// buffers of at most smallBuffer bytes, large all others.
	small, large part
}

// part is a part of a pool.
type part struct{ limit, used atomic.Int64 }

// smallBuffer is the size up to which a buffer of a sender that has proved nothing is
// counted apart, so that large ones do not keep out forms that people send.
const smallBuffer = 64 << 10

// SetLimits sets how many bytes all buffers can have at once, and how many the largest
// buffer may need. One owner can have a quarter of them or one such buffer, whichever is
// more. What is already over a lowered limit is not taken away.
func (p *Pool) SetLimits(bytes, largest int64) {
	p.limit.Store(bytes)
	p.share.Store(max(bytes/4, largest))
	p.small.limit.Store(bytes / 8)
	p.large.limit.Store(bytes / 8)
}

// Used returns how many bytes are taken.
func (p *Pool) Used() int64 { return p.used.Load() }

// take adds to a count, unless that would be over the limit. It never refuses to take
// less than nothing.
func take(used *atomic.Int64, n, limit int64) bool {
	if used.Add(n) > limit && n > 0 {
		used.Add(-n)
		return false
	}
	return true
}

// Space is the memory of a pool for one owner.
type Space struct {
	pool  *Pool
	owner Owner
	// blind says that the owner has proved nothing.
	blind bool
	// sure is how much memory each lease takes even if none is left.
	sure int64
}

// For returns the memory for an owner.
func (p *Pool) For(o Owner) Space { return Space{pool: p, owner: o} }

// Blind returns the memory for senders that have proved nothing. They can exhaust that
// memory, but no other.
func (p *Pool) Blind() Space { return Space{pool: p, blind: true} }

// Forced returns the memory for what cannot be refused any more. It counts, so that less is
// left for others.
func (s Space) Forced() Space { return s.Sure(math.MaxInt64) }

// Sure returns the memory for what can be refused only beyond its first n bytes. Those
// count, so that less is left for others.
func (s Space) Sure(n int64) Space {
	s.sure = n
	return s
}

// had returns the count of what the owner has; nil for Nobody.
func (s Space) had() *atomic.Int64 {
	if s.owner == Nobody {
		return nil
	}
	// The lowest bit only tells owners from Nobody.
	return &s.pool.owners[s.owner>>1&(ownerSlots-1)]
}

// Reserve takes memory for that many bytes. The error is ErrBusy.
func (s Space) Reserve(n int64) (*Lease, error) {
	l := new(Lease)
	l.begin(s)
	if err := l.resize(n); err != nil {
		return nil, err
	}
	return l, nil
}

// Count takes memory for bytes that are there already.
func (s Space) Count(n int64) *Lease {
	// What is forced is never refused.
	l, _ := s.Forced().Reserve(n)
	return l
}

// Lease is memory that is taken. It counts until all its users have released it. A nil
// Lease holds none.
type Lease struct {
	space Space
	bytes int64
	users atomic.Int32
}

// begin makes a lease that holds nothing and has one user.
func (l *Lease) begin(s Space) {
	l.space = s
	l.users.Store(1)
}

// Retain adds a user.
func (l *Lease) Retain() {
	if l != nil {
		l.users.Add(1)
	}
}

// Release ends the use by one user.
func (l *Lease) Release() {
	if l != nil && l.users.Add(-1) == 0 {
		_ = l.resize(0)
	}
}

// resize takes more memory, or gives some back, so that the lease holds that many bytes.
// The error is ErrBusy, and nothing has changed then.
func (l *Lease) resize(n int64) error {
	p, more := l.space.pool, n-l.bytes
	limit, share := p.limit.Load(), p.share.Load()
	if n <= l.space.sure {
		limit, share = math.MaxInt64, math.MaxInt64
	}
	if !take(&p.used, more, limit) {
		return ErrBusy
	}
	ok := true
	if l.space.blind {
		ok = l.resizeBlind(n)
	} else if had := l.space.had(); had != nil {
		ok = take(had, more, share)
	}
	if !ok {
		p.used.Add(-more)
		return ErrBusy
	}
	l.bytes = n
	return nil
}

// resizeBlind is resize for the parts of the pool.
func (l *Lease) resizeBlind(n int64) bool {
	before, after := l.space.pool.partOf(l.bytes), l.space.pool.partOf(n)
	if before == after {
		return take(&after.used, n-l.bytes, after.limit.Load())
	}
	if !take(&after.used, n, after.limit.Load()) {
		return false
	}
	before.used.Add(-l.bytes)
	return true
}

// partOf returns the part that counts a buffer of that many bytes.
func (p *Pool) partOf(n int64) *part {
	if n <= smallBuffer {
		return &p.small
	}
	return &p.large
}
