package badger

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

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
