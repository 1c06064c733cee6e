package badger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// found returns the correlation ids, or else the names, of all that a query lists, page by page.
func found(t *testing.T, s *Store, q store.Query) (ids []string) {
	t.Helper()
	for range 10_000 {
		page, next, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			ids = append(ids, r.CorrelationID)
		}
		if next == (store.Cursor{}) {
			return ids
		}
		q.After = next
	}
	t.Fatal("the pages do not end")
	return nil
}

// wantFound checks what a search finds from both ends.
func wantFound(t *testing.T, s *Store, correlationID string, n int) {
	t.Helper()
	for _, turned := range []bool{false, true} {
		for _, limit := range []int{1, 100} {
			if ids := found(t, s, store.Query{CorrelationID: correlationID, OldestFirst: turned, Limit: limit}); len(ids) != n {
				t.Errorf("%d callbacks have the correlation id %q, want %d", len(ids), correlationID, n)
			}
		}
	}
}

// keysIn returns the keys of a keyspace that lead somewhere.
func keysIn(t *testing.T, s *Store, space byte) (keys [][]byte) {
	t.Helper()
	err := s.view(func(txn *badgerdb.Txn) error {
		it := txn.NewIterator(badgerdb.IteratorOptions{Prefix: []byte{space}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			keys = append(keys, it.Item().KeyCopy(nil))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// wantWholeIndex checks that the indexes have the records, and nothing else.
func wantWholeIndex(t *testing.T, s *Store) {
	t.Helper()
	var want [][]byte
	for _, k := range keysIn(t, s, keyRecord) {
		r, err := s.read(callback.UUID(k[1:]))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range s.indexed([]change{listEntry(r), dueEntry(r)}, nil, r) {
			want = append(want, c.key)
		}
	}
	var got [][]byte
	for _, space := range []byte{keyList, keyDue, keyCorrelation, keyConfirm} {
		got = append(got, keysIn(t, s, space)...)
	}
	slices.SortFunc(want, bytes.Compare)
	slices.SortFunc(got, bytes.Compare)
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("the indexes have %d entries, and the records %d", len(got), len(want))
	}
}

// asEarlierRelease lets a store look as if a release that knows no index of correlation ids had
// written last.
func asEarlierRelease(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, sentinelFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var content map[string]any
	if err := json.Unmarshal(b, &content); err != nil {
		t.Fatal(err)
	}
	delete(content["store"].(map[string]any), "indexedFrom")
	if b, err = json.Marshal(content); err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A plain hold pays nothing for the search.
func TestOnlyGivenCorrelationIDsAreIndexed(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	own := callback.New(s.Secret(), p, callback.Spec{ExpiresIn: time.Hour}, 1)
	given := callback.New(s.Secret(), p, callback.Spec{CorrelationID: "order 17", ExpiresIn: time.Hour, Confirm: true}, 1)
	putRaw(t, s, own, given)
	if c, q := keysIn(t, s, keyCorrelation), keysIn(t, s, keyConfirm); len(c) != 1 || len(q) != 1 {
		t.Errorf("%d correlation ids and %d decisions are indexed", len(c), len(q))
	}
	wantFound(t, s, own.CorrelationID, 1)
	wantFound(t, s, "order 17", 1)
	wantWholeIndex(t, s)
}

func TestCallbacksOfTheFirstReleaseAreFound(t *testing.T) {
	dir := firstRelease(t)
	s := mustOpen(t, testOptions(t, dir))
	p := testPolicy(t, s)
	orders, _, err := s.List(t.Context(), store.Query{Name: "orders"})
	if err != nil || len(orders) != 1 {
		t.Fatalf("%d callbacks, %v", len(orders), err)
	}
	for _, id := range []string{"own-1", "many-1", "large-1", orders[0].CorrelationID} {
		wantFound(t, s, id, 1)
	}
	for _, at := range []callback.Time{callback.At(time.Now()), s.indexedFrom - 1} {
		putRaw(t, s, callback.New(s.Secret(), p, callback.Spec{CorrelationID: "own-1", ExpiresIn: time.Hour}, at))
	}
	for range 2 {
		wantFound(t, s, "own-1", 3)
		wantFound(t, s, "many-1", 1)
		wantFound(t, s, "nobody's", 0)
		mustClose(t, s)
		s = mustOpen(t, testOptions(t, dir))
	}
	mustClose(t, s)
}

// An earlier release that opens the store in between writes no index.
func TestCallbacksThatAnEarlierReleaseHasMadeInBetweenAreFound(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, testOptions(t, dir))
	p := testPolicy(t, s)
	create := func(s *Store, id string, at callback.Time) *callback.Record {
		r := callback.New(s.Secret(), p, callback.Spec{CorrelationID: id, ExpiresIn: time.Hour}, at)
		putRaw(t, s, r)
		return r
	}
	create(s, "a", 10)
	gone := create(s, "a", 20)
	if s.indexedFrom != 0 {
		t.Fatalf("the index of a fresh store begins at %d", s.indexedFrom)
	}
	mustClose(t, s)
	asEarlierRelease(t, dir)

	s = mustOpen(t, testOptions(t, dir))
	if s.indexedFrom != 21 {
		t.Fatalf("the index begins at %d", s.indexedFrom)
	}
	made, random := create(s, "a", 20), create(s, callback.NewUUID().String(), 15)
	err := s.write(func() error {
		return s.db.Update(func(txn *badgerdb.Txn) error {
			for _, r := range []*callback.Record{made, random} {
				if err := txn.Delete(s.correlationEntry(r).key); err != nil {
					return err
				}
			}
			for _, k := range [][]byte{recordKey(gone.ID), listEntry(gone).key, dueEntry(gone).key} {
				if err := txn.Delete(k); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	asEarlierRelease(t, dir)

	s = openForTest(t, dir)
	wantFound(t, s, "a", 2)
	wantFound(t, s, random.CorrelationID, 1)
	create(s, "a", 30)
	create(s, "a", 5)
	wantFound(t, s, "a", 4)
}

// Pages from the oldest end are bounded, too, where most of what was there is deleted.
func TestPagesFromTheOldestEndAreBounded(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.scanned = 2 * store.MaxPageSize
	s := mustOpen(t, o)
	t.Cleanup(func() { mustClose(t, s) })
	p := testPolicy(t, s)
	const n = 5 * store.MaxPageSize
	records := make([]*callback.Record, n)
	for i := range records {
		records[i] = newRecord(s, p)
		records[i].CreatedAt = callback.Time(i + 1)
		records[i].CorrelationID = "the same"
	}
	putRaw(t, s, records...)
	b := s.newBatch()
	defer b.discard()
	for _, r := range records[:n-10] {
		if err := b.put(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.commit(); err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]store.Query{"list": {OldestFirst: true}, "search": {OldestFirst: true, CorrelationID: "the same"}} {
		pages, callbacks := 0, 0
		for {
			page, next, err := s.List(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			if pages, callbacks = pages+1, callbacks+len(page); next == (store.Cursor{}) {
				break
			}
			q.After = next
		}
		if callbacks != 10 || pages < 4 || pages > 12 {
			t.Errorf("%s: %d callbacks on %d pages", name, callbacks, pages)
		}
	}
}

// Whatever of a commit fails, records and indexes agree.
func TestIndexesAgreeWithTheRecordsAfterFailures(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, testOptions(t, dir))
	p := testPolicy(t, s)
	fails := 0
	s.beforeCommit = func() error {
		if fails++; fails%11 == 0 {
			return badgerdb.ErrBlockedWrites
		}
		return nil
	}
	for i := range 60 {
		r := callback.New(s.Secret(), p, callback.Spec{CorrelationID: fmt.Sprint("order ", i%7), ExpiresIn: time.Hour, Confirm: i%5 == 0}, callback.Time(1000+i))
		commit, err := s.Create(t.Context(), r)
		if err == nil {
			err = store.Wait(t.Context(), commit)
		}
		if err == nil && i%4 == 0 {
			_, commit, err = s.Update(t.Context(), store.ByID(r.ID), func(*callback.Record) (store.Change, error) { return store.Change{Delete: true}, nil })
			if err == nil {
				_ = store.Wait(t.Context(), commit)
			}
		}
		if err != nil {
			waitFor(t, "the store", func() bool { return s.Ready() == nil })
		}
	}
	wantWholeIndex(t, s)
	mustClose(t, s)
	wantWholeIndex(t, openForTest(t, dir))
}
