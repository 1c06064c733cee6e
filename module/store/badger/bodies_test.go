package badger

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func TestOrphanedBodiesAreSwept(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, testOptions(t, dir))
	p := testPolicy(t, s)
	kept, err := s.PutBody(context.Background(), make([]byte, 100<<10))
	if err != nil {
		t.Fatal(err)
	}
	orphan, err := s.PutBody(context.Background(), make([]byte, 100<<10))
	if err != nil {
		t.Fatal(err)
	}
	r := newRecord(s, p)
	r.Call = &callback.Call{Method: "POST", Body: kept}
	commit, err := s.Create(context.Background(), r)
	if err != nil || store.Wait(context.Background(), commit) != nil {
		t.Fatal(err)
	}
	mustClose(t, s)

	s = openForTest(t, dir)
	waitFor(t, "the orphan to go", func() bool {
		_, err := os.Stat(s.bodies.path(orphan.File))
		return errors.Is(err, os.ErrNotExist)
	})
	if _, err := s.OpenBody(context.Background(), kept); err != nil {
		t.Errorf("the body that a record refers to: %v", err)
	}
}

// A decision that is replaced before its commit leaves no file behind.
func TestBodyOfADecisionThatWasReplacedGoes(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	blocked, release := blockFirstCommit(s)
	r := newRecord(s, p)
	if _, err := s.Create(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	<-blocked
	var names []string
	var last store.Commit
	for range 3 {
		body, err := s.PutBody(context.Background(), make([]byte, 100<<10))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, body.File)
		_, last, err = s.Update(context.Background(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
			next := *r
			next.Latest = &callback.Call{Method: "POST", Body: body}
			return store.Change{Next: &next}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	if err := store.Wait(context.Background(), last); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		_, err := os.Stat(s.bodies.path(name))
		if kept := i == len(names)-1; kept != (err == nil) {
			t.Errorf("file %d: %v", i, err)
		}
	}
}

func TestDamagedBodyIsNoticed(t *testing.T) {
	s := openForTest(t, t.TempDir())
	body, err := s.PutBody(context.Background(), bytes.Repeat([]byte("x"), 100<<10))
	if err != nil {
		t.Fatal(err)
	}
	path := s.bodies.path(body.File)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[5]++
	for name, damaged := range map[string][]byte{"flipped": content, "cut": content[:10], "empty": nil} {
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.OpenBody(context.Background(), body); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
}

// Once the disk works again, the body may be there.
func TestBodyThatCannotBeReadIsNotCalledDamaged(t *testing.T) {
	s := openForTest(t, t.TempDir())
	body, err := s.PutBody(context.Background(), make([]byte, 100<<10))
	if err != nil {
		t.Fatal(err)
	}
	path := s.bodies.path(body.File)
	if err := errors.Join(os.Rename(path, path+"-"), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenBody(context.Background(), body); !errors.Is(err, store.ErrFailed) {
		t.Errorf("an error of the disk is %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenBody(context.Background(), body); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a file that is gone is %v", err)
	}
}

// exists reports whether the file of a body is there.
func exists(s *Store, b callback.Body) bool {
	_, err := os.Stat(s.bodies.path(b.File))
	return err == nil
}

func putBody(t *testing.T, s *Store) callback.Body {
	t.Helper()
	b, err := s.PutBody(context.Background(), make([]byte, 100<<10))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// hold makes a body that of a callback's latest call.
func hold(t *testing.T, s *Store, id callback.UUID, b callback.Body) store.Commit {
	t.Helper()
	_, c, err := s.Update(context.Background(), store.ByID(id), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Latest = &callback.Call{Method: "POST", Body: b}
		return store.Change{Next: &next}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tidyAll looks into all directories of bodies.
func tidyAll(s *Store) {
	s.bodies.review(s.refersTo)
	for range 256 {
		s.bodies.tidy(s.refersTo)
	}
}

func TestOrphanIsFoundWhileTheStoreRuns(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	blocked, release := blockFirstCommit(s)
	r := newRecord(s, p)
	if _, err := s.Create(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	<-blocked
	alone, taken := putBody(t, s), putBody(t, s)
	commit := hold(t, s, r.ID, taken)
	var strays []string
	for _, name := range []string{strings.Repeat("ab", 16), strings.Repeat("00", 16), strings.Repeat("ff", 16) + temporary} {
		path := filepath.Join(s.bodies.dir, name[:2], name)
		if err := errors.Join(makeDir(filepath.Dir(path)), os.WriteFile(path, []byte("stray"), 0o600)); err != nil {
			t.Fatal(err)
		}
		strays = append(strays, path)
	}
	waitFor(t, "the opening to be over", func() bool {
		s.bodies.fresh.mu.Lock()
		defer s.bodies.fresh.mu.Unlock()
		return !s.bodies.fresh.opening
	})
	tidyAll(s)
	for _, path := range strays {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if !exists(s, alone) || !exists(s, taken) {
		t.Errorf("the body just put is there: %v; that of a decision that is not committed: %v", exists(s, alone), exists(s, taken))
	}
	close(release)
	if err := store.Wait(context.Background(), commit); err != nil {
		t.Fatal(err)
	}
	tidyAll(s)
	if !exists(s, taken) {
		t.Error("the body of a committed record is gone")
	}
	s.bodies.fresh.mu.Lock()
	s.bodies.fresh.files[alone.File] = freshFile{standing: loose, since: time.Now().Add(-2 * looseFor)}
	s.bodies.fresh.mu.Unlock()
	tidyAll(s)
	if exists(s, alone) {
		t.Error("a body that nothing has come to refer to in hours stays")
	}
	if n := len(s.bodies.fresh.files); n != 0 {
		t.Errorf("%d files are still said to be new", n)
	}
}

// Nothing is removed while it is not known what the database has.
func TestStoreThatHasFailedRemovesNoBodies(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	r := create(t, s, p)
	kept := putBody(t, s)
	if err := store.Wait(context.Background(), hold(t, s, r.ID, kept)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the opening to be over", func() bool { return !s.bodies.fresh.knows(kept.File) })
	unusable := func(string) (bool, error) { return false, store.ErrFailed }
	for range 256 {
		s.bodies.tidy(unusable)
	}
	if !exists(s, kept) {
		t.Error("a body was removed although nothing could be known")
	}
}

// A commit that is reported as failed may have been stored.
func TestBodyOfAFailedCommitStaysUntilItIsKnown(t *testing.T) {
	for _, stored := range []bool{true, false} {
		s := openForTest(t, t.TempDir())
		p := testPolicy(t, s)
		r := create(t, s, p)
		body := putBody(t, s)
		next := *r
		next.Latest = &callback.Call{Method: "POST", Body: body}
		var broken atomic.Bool
		broken.Store(true)
		s.beforeCommit = func() error {
			if !broken.Swap(false) {
				return nil
			}
			if stored {
				b := s.newBatch()
				if err := errors.Join(b.put(r, &next), b.commit()); err != nil {
					t.Error(err)
				}
			}
			return errors.New("input/output error")
		}
		if err := store.Wait(context.Background(), hold(t, s, r.ID, body)); !errors.Is(err, store.ErrFailed) {
			t.Fatalf("commit: %v", err)
		}
		s.DropBody(context.Background(), body)
		if !exists(s, body) {
			t.Fatal("the body of a commit whose outcome is not known was dropped")
		}
		waitFor(t, "the store to be in use again", func() bool { return s.Ready() == nil })
		waitFor(t, "its outcome to be known", func() bool { return !s.bodies.fresh.knows(body.File) })
		if exists(s, body) != stored {
			t.Errorf("the commit was stored: %v, and the body is there: %v", stored, exists(s, body))
		}
		found, _, err := s.Find(context.Background(), store.ByID(r.ID))
		if err != nil || (found.Latest != nil) != stored {
			t.Errorf("found %+v, %v", found, err)
		}
	}
}

// A full disk drops decisions, and their bodies with them: they take what is missing.
func TestBodiesOfDecisionsThatDoNotFitGo(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	s := openWithFree(t, t.TempDir(), &free)
	p := testPolicy(t, s)
	r := create(t, s, p)
	kept := putBody(t, s)
	if err := store.Wait(context.Background(), hold(t, s, r.ID, kept)); err != nil {
		t.Fatal(err)
	}
	neverInTurn(s)
	replaced, last := putBody(t, s), putBody(t, s)
	hold(t, s, r.ID, replaced)
	commit := hold(t, s, r.ID, last)
	free.Store(floor - 1)
	if err := store.Wait(context.Background(), commit); !errors.Is(err, store.ErrFull) {
		t.Fatalf("commit: %v", err)
	}
	if exists(s, replaced) || exists(s, last) || !exists(s, kept) {
		t.Errorf("there are: replaced %v, last %v, the one of before %v", exists(s, replaced), exists(s, last), exists(s, kept))
	}
	if n := s.bodies.size.Load(); n != 100<<10 {
		t.Errorf("the bodies are said to take %d bytes", n)
	}
}

// A body is there for good, or not at all.
func TestBodyThatCannotBeWrittenLeavesNothing(t *testing.T) {
	s := openForTest(t, t.TempDir())
	if err := errors.Join(os.RemoveAll(s.bodies.dir), os.WriteFile(s.bodies.dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutBody(context.Background(), make([]byte, 100<<10)); !errors.Is(err, store.ErrFailed) {
		t.Errorf("PutBody: %v", err)
	}
	if n, size := len(s.bodies.fresh.files), s.bodies.size.Load(); n != 0 || size != 0 {
		t.Errorf("%d files of %d bytes are said to be there", n, size)
	}
}
