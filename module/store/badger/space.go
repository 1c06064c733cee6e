package badger

import (
	"sync/atomic"
)

// floor is the free space, in bytes, below which nothing is written. Badger's files
// are sparse and mapped into memory: a write to them on a full disk does not return
// an error, but kills Caddy with a signal.
const floor = 64 << 20

// MinMinFree is the least that min_free can be set to, in bytes.
const MinMinFree = 2 * floor

// space watches the free space.
type space struct {
	// minFree is the free space, in bytes, below which new work is refused.
	minFree uint64
	// maxSize is the size of the store above which new work is refused; 0 is
	// no limit.
	maxSize uint64
	// free returns the free space of the store's file system.
	free func() (uint64, error)
	// used returns the size of the store.
	used func() uint64

	// tight says that new work is refused.
	tight atomic.Bool
}

// check measures the free space, and reports whether new work is refused.
func (s *space) check() (tight bool) {
	free, err := s.free()
	// If the free space is unknown, the store goes on working.
	tight = err == nil && free < s.minFree || s.maxSize > 0 && s.used() > s.maxSize
	s.tight.Store(tight)
	return tight
}

// exhausted reports whether there is too little free space to write anything.
func (s *space) exhausted() bool {
	free, err := s.free()
	return err == nil && free < floor
}

// Space implements store.Confined.
func (s *Store) Space() (free, least uint64, err error) {
	free, err = s.space.free()
	return free, s.space.minFree, err
}
