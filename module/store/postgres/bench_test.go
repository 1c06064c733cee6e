//go:build unix

package postgres

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/badger"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// arm is one of two stores that are compared, and what was measured of it.
type arm struct {
	s store.Store
	// rates are callbacks a second, and cost the processor time of this process for each, in
	// microseconds: by what is done, one for each round.
	rates, cost map[string][]float64
	// backlog are callbacks that wait, the oldest first.
	backlog []*callback.Record
}

func newArm(s store.Store) *arm {
	return &arm{s: s, rates: make(map[string][]float64), cost: make(map[string][]float64)}
}

// measure lets writers do something with each of the callbacks, and notes how fast that was.
func (a *arm) measure(b *testing.B, what string, writers int, all []*callback.Record, do func(*callback.Record) (store.Commit, error)) {
	next := make(chan *callback.Record, len(all))
	for _, r := range all {
		next <- r
	}
	close(next)
	var done sync.WaitGroup
	used, began := processorTime(), time.Now()
	for range writers {
		done.Go(func() {
			for r := range next {
				commit, err := do(r)
				if err == nil {
					err = store.Wait(context.Background(), commit)
				}
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	done.Wait()
	n := float64(len(all))
	a.rates[what] = append(a.rates[what], n/time.Since(began).Seconds())
	a.cost[what] = append(a.cost[what], float64((processorTime()-used).Microseconds())/n)
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// waiting is how many callbacks wait while it is measured: more than a store keeps in mind.
const waiting = 20_000

func (a *arm) make(p *callback.Policy, n int) (all []*callback.Record) {
	for range n {
		all = append(all, callback.New(a.s.Secret(), p, callback.Spec{ExpiresIn: time.Minute}, 1))
	}
	return all
}

func (a *arm) create(r *callback.Record) (store.Commit, error) {
	return a.s.Create(context.Background(), r)
}

// resolve lets a call with 1 KiB be the answer.
func (a *arm) resolve(r *callback.Record) (store.Commit, error) {
	_, commit, err := a.s.Update(context.Background(), store.Key{Kind: store.KeyState, Digest: r.State}, func(r *callback.Record) (store.Change, error) {
		next, body := *r, bytes.Repeat([]byte("x"), 1<<10)
		next.Phase, next.KeepUntil, next.Call = callback.Resolved, 1e6, &callback.Call{Body: callback.Body{Data: body, Size: int64(len(body))}}
		return store.Change{Next: &next}, nil
	})
	return commit, err
}

// call looks the callback up and resolves it, as the engine does with a call.
func (a *arm) call(r *callback.Record) (store.Commit, error) {
	if _, _, err := a.s.Find(context.Background(), store.Key{Kind: store.KeyState, Digest: r.State}); err != nil {
		return nil, err
	}
	return a.resolve(r)
}

// round measures once. Callbacks are created, half of them are resolved at once, and as many
// of those are called that have waited longest.
func (a *arm) round(b *testing.B, writers int, p *callback.Policy) {
	all := a.make(p, max(200, 32*writers))
	half := len(all) / 2
	a.measure(b, "create", writers, all, a.create)
	a.measure(b, "resolve", writers, all[:half], a.resolve)
	a.backlog = append(a.backlog, all[half:]...)
	a.measure(b, "call", writers, a.backlog[:half], a.call)
	a.backlog = a.backlog[half:]
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkAgainstBadger compares the store with the embedded one, in turns: how many are
// created, resolved and called a second, and the processor time of this process for each. Use
// -benchtime 15x.
func BenchmarkAgainstBadger(b *testing.B) {
	for _, writers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			p := &callback.Policy{BaseURL: "https://app.example.com"}
			if err := p.Compile(); err != nil {
				b.Fatal(err)
			}
			embedded, err := badger.Open(badger.Options{Dir: b.TempDir(), MinFree: badger.MinMinFree, Log: zap.NewNop()})
			if err != nil {
				b.Fatal(err)
			}
			here, there := newArm(mustOpen(b, testOptions(b))), newArm(embedded)
			defer here.s.Close()
			defer there.s.Close()
			for _, a := range []*arm{here, there} {
				a.backlog = a.make(p, waiting)
				a.measure(b, "", 256, a.backlog, a.create)
			}
			for b.Loop() {
				here.round(b, writers, p)
				there.round(b, writers, p)
			}
			b.ReportMetric(0, "ns/op")
			for _, what := range []string{"create", "resolve", "call"} {
				mine, other := median(here.rates[what]), median(there.rates[what])
				b.ReportMetric(mine, what+"/s")
				b.ReportMetric(mine/other, what+"/badger")
				b.ReportMetric(median(here.cost[what]), what+"-µs")
				b.ReportMetric(median(there.cost[what]), what+"-badger-µs")
			}
		})
	}
}

// BenchmarkAgainstInsert compares a creation with a plain INSERT of the same row, in turns.
func BenchmarkAgainstInsert(b *testing.B) {
	s := mustOpen(b, testOptions(b))
	defer s.Close()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, s.options.URL)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, s.sql(`CREATE TABLE @plain (LIKE @callbacks INCLUDING ALL)`)); err != nil {
		b.Fatal(err)
	}
	insert := s.sql(`INSERT INTO @plain VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`)
	var here, plain []float64
	for b.Loop() {
		r := callback.New(s.Secret(), &callback.Policy{}, callback.Spec{ExpiresIn: time.Minute}, 1)
		w, err := s.writeOf(found{}, r)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if _, err := s.Create(ctx, r); err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		if _, err := c.Exec(ctx, insert, w.row.args()...); err != nil {
			b.Fatal(err)
		}
		here, plain = append(here, between.Sub(began).Seconds()), append(plain, time.Since(between).Seconds())
	}
	b.ReportMetric(median(here)*1e3, "ms")
	b.ReportMetric(median(plain)*1e3, "plain-ms")
	b.ReportMetric(median(here)/median(plain), "create/plain")
}

// BenchmarkMany lists and searches among a million callbacks with
//
//	go test ./module/store/postgres -run NONE -bench Many -benchtime 50x -args -callbacks 1000000
func BenchmarkMany(b *testing.B) {
	s := mustOpen(b, testOptions(b))
	defer s.Close()
	p := &callback.Policy{BaseURL: "https://app.example.com"}
	if err := p.Compile(); err != nil {
		b.Fatal(err)
	}
	storetest.Many(b, s, p, func(records []*callback.Record) {
		var done sync.WaitGroup
		for _, r := range records {
			done.Go(func() {
				if _, err := s.Create(context.Background(), r); err != nil {
					b.Error(err)
				}
			})
		}
		done.Wait()
	})
}
