package badger

import (
	"sync/atomic"
)

// floor is the free space below which nothing is written any more. Badger's
// files are sparse and mapped into memory: where the disk is full it is not told
// so by an error, but killed by a signal, and all of Caddy with it.
const floor = 64 << 20

// MinMinFree is the least that min_free can be set to, in bytes.
const MinMinFree = 2 * floor

// space watches the room that is left.
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

// check looks at the room that is left, and reports whether that changed
// whether new work is taken.
func (s *space) check() (changed bool) {
	free, err := s.free()
	// A file system that cannot be asked is no reason to stop working.
	tight := err == nil && free < s.minFree || s.maxSize > 0 && s.used() > s.maxSize
	return s.tight.Swap(tight) != tight
}

// exhausted reports whether nothing may be written any more.
func (s *space) exhausted() bool {
	free, err := s.free()
	return err == nil && free < floor
}
