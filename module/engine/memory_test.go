package engine

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestReadBody(t *testing.T) {
	b := newBed(t, Limits{MaxMemory: 1 << 20, MaxWaiting: 1, MaxHeld: 1}, callback.Policy{})
	const limit = 100_000
	of := func(n int) io.Reader { return strings.NewReader(strings.Repeat("x", n)) }
	for _, tc := range []struct {
		name   string
		body   io.Reader
		length int64
		want   int
		err    error
	}{
		{"none", nil, 0, 0, nil},
		{"empty, of unknown length", of(0), -1, 0, nil},
		{"small", of(10), 10, 10, nil},
		{"of unknown length", of(50_000), -1, 50_000, nil},
		{"as large as allowed", of(limit), limit, limit, nil},
		{"as large as allowed, of unknown length", of(limit), -1, limit, nil},
		{"one byte at a time", iotest.OneByteReader(of(20_000)), -1, 20_000, nil},
		{"with its end", iotest.DataErrReader(of(20_000)), 20_000, 20_000, nil},
		{"announced too large", of(0), limit + 1, 0, ErrTooLarge},
		{"too large, of unknown length", of(limit + 1), -1, 0, ErrTooLarge},
		{"broken", io.MultiReader(of(20_000), iotest.ErrReader(io.ErrUnexpectedEOF)), 30_000, 0, ErrCutShort},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data, lease, err := b.ReadBody(tc.body, tc.length, limit)
			defer lease.Release()
			if len(data) != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%d bytes, %v", len(data), err)
			}
			if int64(len(data)) > b.memory.used.Load() {
				t.Errorf("%d bytes are counted as %d", len(data), b.memory.used.Load())
			}
		})
		if n := b.memory.used.Load(); n != 0 {
			t.Fatalf("%s: %d bytes stay counted", tc.name, n)
		}
	}
}

func TestMemoryIsTakenAsBytesComeNotAsTheyAreAnnounced(t *testing.T) {
	b := newBed(t, Limits{MaxMemory: 100 << 10, MaxWaiting: 1, MaxHeld: 1}, callback.Policy{})
	const huge = 1 << 30
	data, lease, err := b.ReadBody(strings.NewReader("x"), huge, huge)
	if err != nil || len(data) != 1 {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	if n := b.memory.used.Load(); n > firstBuffer {
		t.Errorf("%d bytes are taken", n)
	}
	lease.Release()
}

func TestMemoryBudgetIsShared(t *testing.T) {
	b := newBed(t, Limits{MaxMemory: 100 << 10, MaxWaiting: 1, MaxHeld: 1}, callback.Policy{})
	body := bytes.Repeat([]byte("x"), 60<<10)
	_, first, err := b.ReadBody(bytes.NewReader(body), int64(len(body)), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.ReadBody(bytes.NewReader(body), int64(len(body)), 1<<20); !errors.Is(err, ErrBusy) {
		t.Errorf("a second body: %v, want ErrBusy", err)
	}
	first.Retain()
	first.Release()
	if _, _, err := b.ReadBody(bytes.NewReader(body), int64(len(body)), 1<<20); !errors.Is(err, ErrBusy) {
		t.Errorf("while somebody uses the first: %v, want ErrBusy", err)
	}
	first.Release()
	_, second, err := b.ReadBody(bytes.NewReader(body), int64(len(body)), 1<<20)
	if err != nil {
		t.Errorf("after it: %v", err)
	}
	second.Release()
}
