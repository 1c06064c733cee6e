package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
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
	if _, err := s.OpenBody(context.Background(), kept, somewhere()); err != nil {
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
	there := func(name string) bool { _, err := os.Stat(s.bodies.path(name)); return err == nil }
	kept := names[len(names)-1]
	for i, name := range names[:len(names)-1] {
		waitFor(t, fmt.Sprintf("file %d to go", i), func() bool { return !there(name) })
	}
	if !there(kept) {
		t.Error("the file of the last decision is gone")
	}
}

// somewhere returns memory to read a body into.
func somewhere() memory.Space {
	pool := new(memory.Pool)
	pool.SetLimits(1<<30, 1<<30)
	return pool.For(memory.Nobody)
}

// openBodies opens a store that encrypts its files, or does not.
func openBodies(t *testing.T, encrypted bool) *Store {
	t.Helper()
	o := testOptions(t, t.TempDir())
	if encrypted {
		o.EncryptionKey = bytes.Repeat([]byte{7}, 32)
	}
	s := mustOpen(t, o)
	t.Cleanup(func() { mustClose(t, s) })
	return s
}

// readBody returns what could be read of a body.
func readBody(t *testing.T, s *Store, b callback.Body) ([]byte, error) {
	t.Helper()
	pool := new(memory.Pool)
	pool.SetLimits(1<<30, 1<<30)
	r, err := s.OpenBody(t.Context(), b, pool.For(memory.Nobody))
	if err != nil {
		if n := pool.Used(); n != 0 {
			t.Errorf("%d bytes are taken for a body that was not opened", n)
		}
		return nil, err
	}
	data, err := io.ReadAll(r)
	if closeErr := r.Close(); closeErr != nil || pool.Used() != 0 {
		t.Errorf("closing: %v, and %d bytes are taken", closeErr, pool.Used())
	}
	return data, err
}

func TestDamagedBodyIsNoticed(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		s := openBodies(t, encrypted)
		data := make([]byte, 3*store.BodyPiece+100)
		for i := range data {
			data[i] = byte(i >> 8)
		}
		body, err := s.bodies.put(data)
		if err != nil {
			t.Fatal(err)
		}
		other, err := s.bodies.put(data)
		if err != nil {
			t.Fatal(err)
		}
		path := s.bodies.path(body.File)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		stranger, err := os.ReadFile(s.bodies.path(other.File))
		if err != nil {
			t.Fatal(err)
		}
		first, piece := int(s.bodies.headLength()), store.BodyPiece+s.bodies.guard()
		flipped := func(at int) []byte {
			c := bytes.Clone(content)
			c[at] ^= 1
			return c
		}
		swapped := bytes.Clone(content)
		copy(swapped[first+piece:], content[first+2*piece:first+3*piece])
		copy(swapped[first+2*piece:], content[first+piece:first+2*piece])
		mixed := append(bytes.Clone(content[:first+piece]), stranger[first+piece:]...)
		for name, c := range map[string]struct {
			content []byte
			read    int
		}{
			"a mark":                     {flipped(0), -1},
			"the head":                   {flipped(first - 1), -1},
			"the first piece":            {flipped(first), -1},
			"what guards it":             {flipped(first + piece - 1), -1},
			"the second piece":           {flipped(first + piece), 1},
			"the last byte":              {flipped(len(content) - 1), 3},
			"pieces in another order":    {swapped, 1},
			"pieces of another body":     {mixed, 1},
			"another body":               {stranger, -1},
			"cut":                        {content[:len(content)-1], -1},
			"cut between two pieces":     {content[:first+2*piece], -1},
			"longer":                     {append(bytes.Clone(content), 0), -1},
			"empty":                      {nil, -1},
			"nothing wrong":              {content, 4},
			"the body itself, unguarded": {data, -1},
		} {
			if err := os.WriteFile(path, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readBody(t, s, body)
			want := data[:min(max(c.read, 0)*store.BodyPiece, len(data))]
			if c.read == 4 != (err == nil) || err != nil && !errors.Is(err, store.ErrDamaged) || c.read < 0 && got != nil || !bytes.Equal(got, want) {
				if name == "the body itself, unguarded" && !encrypted {
					// So version 0.1 has kept it.
					continue
				}
				t.Errorf("encrypted: %v, %s: %d bytes were read, want %d: %v", encrypted, name, len(got), len(want), err)
			}
		}
	}
}

func TestBodyThatIsKeptAsAWholeIsRead(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		s := openBodies(t, encrypted)
		data := bytes.Repeat([]byte("before"), 50_000)
		body, err := s.bodies.put(data)
		if err != nil {
			t.Fatal(err)
		}
		whole := bytes.Clone(data)
		if seal := s.bodies.seal; seal != nil {
			nonce := bytes.Repeat([]byte{3}, seal.NonceSize())
			whole = seal.Seal(bytes.Clone(nonce), nonce, data, []byte(body.File))
		}
		for i, damaged := range [][]byte{whole, append(bytes.Clone(whole[:len(whole)-1]), whole[len(whole)-1]^1)} {
			if err := os.WriteFile(s.bodies.path(body.File), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readBody(t, s, body)
			if ok := err == nil && bytes.Equal(got, data); ok != (i == 0) || i == 1 && !errors.Is(err, store.ErrDamaged) {
				t.Errorf("encrypted: %v, %d: %d bytes were read: %v", encrypted, i, len(got), err)
			}
		}
		pool := new(memory.Pool)
		pool.SetLimits(int64(len(data)-1), int64(len(data)-1))
		if _, err := s.OpenBody(t.Context(), body, pool.For(memory.Nobody)); !errors.Is(err, memory.ErrBusy) || pool.Used() != 0 {
			t.Errorf("without memory: %v, and %d bytes are taken", err, pool.Used())
		}
	}
}

// A body that comes slowly is no orphan while it is written.
func TestBodyThatIsBeingWrittenIsLeftAlone(t *testing.T) {
	s := openForTest(t, t.TempDir())
	w, err := s.NewBody(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, store.BodyPiece)); err != nil {
		t.Fatal(err)
	}
	s.bodies.fresh.mu.Lock()
	for name, file := range s.bodies.fresh.files {
		file.since = time.Now().Add(-2 * looseFor)
		s.bodies.fresh.files[name] = file
	}
	s.bodies.fresh.mu.Unlock()
	tidyAll(s)
	if _, err := w.Write([]byte("end")); err != nil {
		t.Fatal(err)
	}
	body, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readBody(t, s, body); err != nil || len(got) != store.BodyPiece+3 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if info, err := os.Stat(s.bodies.path(body.File)); err != nil || s.bodies.size.Load() != info.Size() {
		t.Errorf("the bodies are said to take %d bytes", s.bodies.size.Load())
	}
}

// What a record refers to in files is not kept in memory beside it.
func TestBodyInAFileIsNotKeptInMemory(t *testing.T) {
	s := openForTest(t, t.TempDir())
	r := create(t, s, testPolicy(t, s))
	if err := store.Wait(t.Context(), hold(t, s, r.ID, putBody(t, s))); err != nil {
		t.Fatal(err)
	}
	found, _, err := s.Find(t.Context(), store.ByID(r.ID))
	if err != nil || found.Latest.Body.File == "" || found.Latest.Body.Data != nil {
		t.Errorf("found %d bytes beside the file %q: %v", len(found.Latest.Body.Data), found.Latest.Body.File, err)
	}
	if cached := s.recent.record(r.ID); cached == nil || cached.Latest.Body.Data != nil {
		t.Error("the record is not cached, or with its body")
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
	if _, err := s.OpenBody(context.Background(), body, somewhere()); !errors.Is(err, store.ErrFailed) {
		t.Errorf("an error of the disk is %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenBody(context.Background(), body, somewhere()); !errors.Is(err, store.ErrDamaged) {
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
	if n := s.bodies.size.Load(); n != s.bodies.fileLength(100<<10) {
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

// Who has found a record can open its body a moment later, although a commit has replaced it
// in between. The store leaves no replaced body behind when it is closed.
func TestBodyThatWasReplacedCanBeOpenedForAMoment(t *testing.T) {
	s := mustOpen(t, testOptions(t, t.TempDir()))
	r := newRecord(s, testPolicy(t, s))
	if _, err := s.Create(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	var put []callback.Body
	for range 5 {
		put = append(put, putBody(t, s))
		if err := store.Wait(context.Background(), hold(t, s, r.ID, put[len(put)-1])); err != nil {
			t.Fatal(err)
		}
		for i, b := range put {
			content, err := s.OpenBody(context.Background(), b, somewhere())
			if err != nil {
				t.Fatalf("body %d after %d: %v", i, len(put)-1, err)
			}
			_ = content.Close()
		}
	}
	mustClose(t, s)
	for i, b := range put {
		if last := i == len(put)-1; exists(s, b) != last {
			t.Errorf("body %d is there after the store was closed: %t", i, !last)
		}
	}
	if n := s.bodies.size.Load(); n != s.bodies.fileLength(100<<10) {
		t.Errorf("the bodies are said to take %d bytes", n)
	}
}
