package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// pattern returns n bytes that differ.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

// fill writes data to a spool, in parts of that many bytes.
func fill(t *testing.T, s *Spool, data []byte, part int) {
	t.Helper()
	for rest := data; len(rest) > 0; {
		n, err := s.Write(rest[:min(part, len(rest))])
		if n != min(part, len(rest)) || err != nil {
			t.Fatalf("wrote %d bytes: %v", n, err)
		}
		rest = rest[n:]
	}
}

func TestSpoolKeepsABodyAndTakesOnePiece(t *testing.T) {
	// There is no memory left for what can be refused.
	b := newBed(t, Limits{MaxMemory: 1, MaxWaiting: 100, MaxHeld: 100}, callback.Policy{AckIsResult: true})
	for _, size := range []int{0, 1, 600, inlineBody - 1, inlineBody, inlineBody + 1, 2 * inlineBody, 1_000_000} {
		for _, part := range []int{777, 32 << 10, 200_000} {
			name := fmt.Sprintf("%d bytes in parts of %d", size, part)
			cb := b.create(t)
			s, data := b.NewSpool(cb.ID), pattern(size)
			fill(t, s, data, part)
			if used := b.memory.Used(); used > inlineBody || used < int64(min(size, inlineBody)) {
				t.Errorf("%s: %d bytes are taken", name, used)
			}
			body, err := s.Body()
			if again, _ := s.Body(); err != nil || body.Size != int64(size) || again.File != body.File || (body.File != "") != (size > inlineBody) {
				t.Errorf("%s: %+v, %v", name, body, err)
			}
			if used := b.memory.Used(); body.File != "" && used != 0 {
				t.Errorf("%s: %d bytes are taken for a file", name, used)
			}
			if err := b.Acknowledge(t.Context(), store.ByID(cb.ID), &callback.Response{Status: 202, Body: body}); err != nil {
				t.Fatal(err)
			}
			s.Release()
			// What a waiter was told of is read even without memory.
			content, err := b.BodiesTold(Notice{Record: b.find(t, cb.ID).Record}).Open(t.Context(), b.find(t, cb.ID).Ack.Body)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := io.ReadAll(content)
			if _ = content.Close(); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: read %d bytes, %v", name, len(got), err)
			}
			if n := b.memory.Used(); n != 0 {
				t.Errorf("%s: %d bytes are still counted", name, n)
			}
		}
	}
}

// What newBed checks in the end is that no body is left.
func TestSpoolThatIsNotTakenLeavesNothing(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	for _, size := range []int{0, 1, inlineBody, inlineBody + 1, 1_000_000} {
		for name, end := range map[string]func(*Spool){
			"given up":         func(*Spool) {},
			"whole":            func(s *Spool) { _, _ = s.Body() },
			"of no callback":   func(s *Spool) { b.conclude(t, callback.NewUUID(), s) },
			"of one that goes": func(s *Spool) { b.conclude(t, b.create(t).ID, s) },
		} {
			s := b.NewSpool(callback.NewUUID())
			fill(t, s, pattern(size), 10_000)
			end(s)
			s.Release()
			if n := b.memory.Used(); n != 0 {
				t.Errorf("%s, %d bytes: %d bytes are still counted", name, size, n)
			}
		}
	}
}

// conclude concludes a callback with what a spool has, which no record takes.
func (b *bed) conclude(t *testing.T, id callback.UUID, s *Spool) {
	t.Helper()
	body, err := s.Body()
	if err != nil {
		t.Error(err)
	}
	_ = b.Conclude(t.Context(), id, &callback.Response{Status: 200, Body: body})
}

func TestSpoolHasTheErrorOfItsStore(t *testing.T) {
	for name, c := range map[string]struct {
		fails string
		early bool
	}{"it cannot begin": {"new", true}, "it cannot go on": {"write", true}, "it cannot end": {"commit", false}} {
		b := newBed(t, plenty, callback.Policy{})
		b.store.fails.Store(&c.fails)
		s := b.NewSpool(callback.NewUUID())
		fill(t, s, pattern(inlineBody), 10_000)
		if _, err := s.Write(pattern(2 * inlineBody)); errors.Is(err, store.ErrFull) != c.early {
			t.Errorf("%s: %v", name, err)
		}
		for range 2 {
			if body, err := s.Body(); !errors.Is(err, store.ErrFull) || body.Size != 0 {
				t.Errorf("%s: %+v, %v", name, body, err)
			}
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, store.ErrFull) {
			t.Errorf("%s, more: %v", name, err)
		}
		s.Release()
	}
}

func TestAttemptWhoseResponseIsLostIsNotRecorded(t *testing.T) {
	for name, c := range map[string]struct {
		lost error
		ends bool
	}{"the store is full": {store.ErrFull, false}, "it ends meanwhile": {nil, true}} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		b := newBed(t, plenty, callback.Policy{})
		cb, ended := b.deferred(t), 0
		worker := hand{attempt: func() callback.Attempt {
			s := b.NewSpool(cb.ID)
			fill(t, s, pattern(2*inlineBody), inlineBody)
			body, _ := s.Body()
			if c.ends {
				cancel()
			}
			return callback.Attempt{Kind: callback.AttemptAnswered, Response: &callback.Response{Status: 200, Body: body}, Lost: c.lost, Done: func() { s.Release(); ended++ }}
		}}
		if b.work(ctx, worker, cb.ID) || ended != 1 {
			t.Errorf("%s: it was recorded, or its response let go of %d times", name, ended)
		}
		if r := b.find(t, cb.ID); r.Phase != callback.Waiting {
			t.Errorf("%s: the callback is %s", name, r.Phase)
		}
		b.pass(time.Second)
		c.lost = nil
		if !b.work(t.Context(), worker, cb.ID) || ended != 2 {
			t.Errorf("%s: it was not recorded then, or its response let go of %d times", name, ended)
		}
		if r := b.find(t, cb.ID); r.Phase != callback.Resolved || r.Answer.Body.Size != 2*inlineBody {
			t.Errorf("%s: the callback is %s", name, r.Phase)
		}
	}
}
