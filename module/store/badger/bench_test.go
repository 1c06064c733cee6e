package badger

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// fill stores n callbacks that wait, made one millisecond after the other.
func fill(tb testing.TB, s *Store, p *callback.Policy, n int) {
	tb.Helper()
	const many = 1000
	began := callback.At(time.Now()).Add(-24 * time.Hour)
	records := make([]*callback.Record, 0, many)
	for i := range n {
		spec := callback.Spec{Name: "orders", CorrelationID: "order-4711", ExpiresIn: time.Hour}
		records = append(records, callback.New(s.Secret(), p, spec, began+callback.Time(i)))
		if len(records) == many || i == n-1 {
			putRaw(tb, s, records...)
			records = records[:0]
		}
	}
}

func BenchmarkList(b *testing.B) {
	s := openForTest(b, b.TempDir())
	fill(b, s, testPolicy(b, s), 100_000)
	for name, q := range map[string]store.Query{
		"first page of 100":  {},
		"first page of 1000": {Limit: 1000},
		"page of no phase":   {Phase: callback.Closed},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := s.List(context.Background(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMany lists and searches among a million callbacks with
//
//	go test ./module/store/badger -run NONE -bench Many -benchtime 50x -args -callbacks 1000000
func BenchmarkMany(b *testing.B) {
	s := openForTest(b, b.TempDir())
	storetest.Many(b, s, testPolicy(b, s), func(records []*callback.Record) { putRaw(b, s, records...) })
}

// BenchmarkUpdate creates and closes callbacks in many goroutines, and waits for each
// commit.
func BenchmarkUpdate(b *testing.B) {
	s := openForTest(b, b.TempDir())
	p := testPolicy(b, s)
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := newRecord(s, p)
			commit, err := s.Create(context.Background(), r)
			if err == nil {
				err = store.Wait(context.Background(), commit)
			}
			if err != nil {
				b.Error(err)
				return
			}
			if commit, err = closeRecord(s, p, r.ID); err == nil {
				err = store.Wait(context.Background(), commit)
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkFind finds a callback that was made a moment ago, as a call does.
func BenchmarkFind(b *testing.B) {
	s := openForTest(b, b.TempDir())
	r := newRecord(s, testPolicy(b, s))
	commit, err := s.Create(context.Background(), r)
	if err == nil {
		err = store.Wait(context.Background(), commit)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Find(context.Background(), store.Key{Kind: store.KeyState, Digest: r.State}); err != nil {
			b.Fatal(err)
		}
	}
}
