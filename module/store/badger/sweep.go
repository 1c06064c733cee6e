package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	badgerdb "github.com/dgraph-io/badger/v4"
)

const (
	// tidyEvery is how often tidy looks into one of the directories of bodies. There are
	// 256, so it has looked into all of them after an hour.
	tidyEvery = 14 * time.Second
	// looseFor is how long a body may be stored before a decision refers to it. That
	// takes milliseconds.
	looseFor = time.Hour
)

// refers reports whether a committed record refers to a body's file. An error means that
// this cannot be known now.
type refers func(name string) (bool, error)

// refersTo is the refers of the store's database.
func (s *Store) refersTo(body string) (bool, error) {
	err := s.view(func(txn *badgerdb.Txn) error {
		_, err := txn.Get(bodyKey(body))
		return err
	})
	if errors.Is(err, badgerdb.ErrKeyNotFound) {
		return false, nil
	}
	return err == nil, err
}

// keepTidy removes body files that nothing refers to: all of them once, and after that
// one directory after the other, until the store is closed.
func (s *Store) keepTidy() {
	s.bodies.sweep(s.refersTo)
	s.space.check()
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stopping:
			return
		case <-tick.C:
			s.bodies.review(s.refersTo)
			s.bodies.tidy(s.refersTo)
		}
	}
}

// sweep removes files from before the store was opened that no record refers to, and
// adds up the size of the others.
func (b *bodies) sweep(refers refers) {
	defer b.fresh.opened()
	_ = filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || b.fresh.knows(strings.TrimSuffix(d.Name(), temporary)) {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if isOrphan(d.Name(), refers) {
			_ = os.Remove(path)
			return nil
		}
		b.size.Add(info.Size())
		return nil
	})
}

// tidy removes the orphans in one directory, the next one each time.
func (b *bodies) tidy(refers refers) {
	dir := filepath.Join(b.dir, fmt.Sprintf("%02x", b.next))
	b.next++
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, d := range entries {
		// What fresh does not know is in the database, if a record refers to it. So fresh
		// is asked first: in the other order a commit could come between.
		if d.IsDir() || b.fresh.knows(strings.TrimSuffix(d.Name(), temporary)) || !isOrphan(d.Name(), refers) {
			continue
		}
		path := filepath.Join(dir, d.Name())
		if !isBodyName(d.Name()) {
			_ = os.Remove(path)
			continue
		}
		b.unlink(path)
	}
}

// wasRemoved reports whether a file that is not there is missed by nobody.
func (b *bodies) wasRemoved(name string, refers refers) bool {
	return b.fresh.goes(name) || !b.fresh.knows(name) && isOrphan(name, refers)
}

// isOrphan reports whether it is certain that no record refers to a file.
func isOrphan(name string, refers refers) bool {
	if !isBodyName(name) {
		return true
	}
	referred, err := refers(name)
	return !referred && err == nil
}

// review looks at the files of commits that have failed, and removes those that no record
// refers to. It also removes those that were put long ago and never referred to.
func (b *bodies) review(refers refers) {
	doubts, stale := b.fresh.unclear(time.Now().Add(-looseFor))
	for _, name := range doubts {
		switch referred, err := refers(name); {
		case err != nil:
			return
		case referred:
			b.fresh.settle([]string{name})
		default:
			b.remove(name)
		}
	}
	for _, name := range stale {
		b.drop(name)
	}
}

// drop removes a file, unless a decision refers to it.
func (b *bodies) drop(name string) {
	if b.fresh.leave(name) {
		b.remove(name)
	}
}
