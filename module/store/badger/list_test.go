package badger

import (
	"context"
	"slices"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func TestListKeysHaveTheNewestFirst(t *testing.T) {
	moments := []callback.Time{1<<63 - 1, 1_800_000_000_000, 256, 255, 1, 0, -1, -256, -1 << 63}
	var keys []string
	for _, at := range moments {
		keys = append(keys, string(listKey(at, callback.UUID{1})), string(listKey(at, callback.UUID{2})))
	}
	if !slices.IsSorted(keys) {
		t.Errorf("the keys of %v are not in order", moments)
	}
}

// putRaw stores many records at a time, bypassing the committer.
func putRaw(t testing.TB, s *Store, records ...*callback.Record) {
	t.Helper()
	b := s.newBatch()
	defer b.discard()
	for _, r := range records {
		if err := b.put(nil, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.commit(); err != nil {
		t.Fatal(err)
	}
}

// Deleted entries stay in the database for a while, and skipping them is work, too.
func TestPagesEndAfterABoundedNumberOfEntries(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.scanned = 2 * store.MaxPageSize
	s := mustOpen(t, o)
	t.Cleanup(func() { mustClose(t, s) })
	p := testPolicy(t, s)
	const n = 5 * store.MaxPageSize
	records := make([]*callback.Record, n)
	for i := range records {
		records[i] = newRecord(s, p)
	}
	putRaw(t, s, records...)
	count := func(q store.Query) (callbacks, pages int) {
		for {
			page, next, err := s.List(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			callbacks, pages = callbacks+len(page), pages+1
			if next == (store.Cursor{}) {
				return callbacks, pages
			}
			q.After = next
		}
	}
	if callbacks, pages := count(store.Query{Phase: callback.Closed}); callbacks != 0 || pages != 3 {
		t.Errorf("none that match: %d callbacks on %d pages, want 3", callbacks, pages)
	}
	if callbacks, pages := count(store.Query{Limit: store.MaxPageSize}); callbacks != n || pages != n/store.MaxPageSize {
		t.Errorf("all: %d callbacks on %d pages", callbacks, pages)
	}
	b := s.newBatch()
	defer b.discard()
	for _, r := range records {
		if err := b.put(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.commit(); err != nil {
		t.Fatal(err)
	}
	if callbacks, pages := count(store.Query{}); callbacks != 0 {
		t.Errorf("deleted ones: %d callbacks on %d pages", callbacks, pages)
	}
}

func TestAPageEndsAfterABoundedNumberOfBytes(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	const size = 512 << 10
	for range 2 * store.MaxPageBytes / size {
		r := newRecord(s, p)
		r.Call = &callback.Call{Method: "POST", Body: callback.NewBody(make([]byte, size))}
		putRaw(t, s, r)
	}
	page, next, err := s.List(context.Background(), store.Query{})
	if err != nil || next == (store.Cursor{}) || len(page) > store.MaxPageBytes/size {
		t.Errorf("%d callbacks, next page at %v, %v", len(page), next, err)
	}
}

// One damaged record does not keep the others from being listed.
func TestDamagedRecordsAreLeftOutOfLists(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	kept, damaged := create(t, s, p), create(t, s, p)
	if err := s.set(recordKey(damaged.ID), []byte("x")); err != nil {
		t.Fatal(err)
	}
	page, _, err := s.List(context.Background(), store.Query{})
	if err != nil || len(page) != 1 || page[0].ID != kept.ID {
		t.Errorf("%+v, %v", page, err)
	}
}
