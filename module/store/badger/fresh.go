package badger

import (
	"sync"
	"time"
)

// standing is what is known of a body's file about which the database does not tell.
type standing uint8

const (
	// writing: the body is being written.
	writing standing = iota + 1
	// loose: the body was put, and no decision refers to it yet.
	loose
	// taken: a decision that is not committed refers to it.
	taken
	// doubtful: the commit of the decision that referred to it has failed. It may have
	// been stored all the same.
	doubtful
	// outdated: the record that referred to it refers to another one, or to none.
	outdated
	// leaving: it is being removed.
	leaving
	// settled: a committed record refers to it.
	settled
)

// fresh knows the body files about which the database does not tell yet: those that no
// sweep may take for orphans. A file that is not in it is referred to by a record in the
// database, or by none. The files' times would not do: clocks are set back, and some file
// systems store whole seconds only.
type fresh struct {
	mu    sync.Mutex
	files map[string]freshFile
	// opening says that the sweep that counts all files is not over. Until then settled
	// files stay here, so that they are not counted twice.
	opening bool
}

type freshFile struct {
	standing standing
	since    time.Time
}

func newFresh() *fresh { return &fresh{files: make(map[string]freshFile), opening: true} }

// begin notes a file that is about to be written.
func (f *fresh) begin(name string) { f.note(name, writing) }

// put notes a file that has been written.
func (f *fresh) put(name string) { f.note(name, loose) }

func (f *fresh) note(name string, s standing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[name] = freshFile{standing: s, since: time.Now()}
}

// forget notes that a file is gone.
func (f *fresh) forget(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.files, name)
}

// knows reports whether a file must be left alone by a sweep.
func (f *fresh) knows(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.files[name]
	return known
}

// goes reports whether a file is being removed, or is to be.
func (f *fresh) goes(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.files[name].standing
	return s == outdated || s == leaving
}

// move gives files another standing, those that have one of some.
func (f *fresh) move(names []string, to standing, from ...standing) {
	if len(names) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		f.set(name, to, from)
	}
}

// set gives a file another standing, if it has one of some, and reports whether it has.
// The lock must be held.
func (f *fresh) set(name string, to standing, from []standing) bool {
	file := f.files[name]
	for _, s := range from {
		if file.standing != s {
			continue
		}
		if to == settled && !f.opening {
			delete(f.files, name)
			return true
		}
		file.standing = to
		f.files[name] = file
		return true
	}
	return false
}

// take notes that a decision refers to files.
func (f *fresh) take(names []string) { f.move(names, taken, loose) }

// settle notes that a committed record refers to files.
func (f *fresh) settle(names []string) { f.move(names, settled, loose, taken, doubtful) }

// doubt notes that it is not known whether a record refers to files.
func (f *fresh) doubt(names []string) { f.move(names, doubtful, loose, taken) }

// leave reports whether a file is loose. The file is to be removed then.
func (f *fresh) leave(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.set(name, leaving, []standing{loose})
}

// with returns the files with a standing.
func (f *fresh) with(s standing) (names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, file := range f.files {
		if file.standing == s {
			names = append(names, name)
		}
	}
	return names
}

// opened ends the time in which settled files are remembered.
func (f *fresh) opened() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opening = false
	for name, file := range f.files {
		if file.standing == settled {
			delete(f.files, name)
		}
	}
}

// unclear returns the files that are doubtful, and those that have been loose since
// before that time.
func (f *fresh) unclear(before time.Time) (doubts, stale []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, file := range f.files {
		switch {
		case file.standing == doubtful:
			doubts = append(doubts, name)
		case file.standing == loose && file.since.Before(before):
			stale = append(stale, name)
		}
	}
	return doubts, stale
}
