package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// BenchmarkUpdate creates and closes callbacks in many goroutines.
func BenchmarkUpdate(b *testing.B) {
	s := mustOpen(b, testOptions(b))
	defer s.Close()
	p := &callback.Policy{BaseURL: "https://app.example.com"}
	if err := p.Compile(); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := callback.New(s.Secret(), p, callback.Spec{ExpiresIn: time.Minute}, 1)
			if _, err := s.Create(context.Background(), r); err != nil {
				b.Error(err)
				return
			}
			if _, _, err := s.Update(context.Background(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
				next, _ := r.Close(p, "test", 2)
				return store.Change{Next: next}, nil
			}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
