package storetest

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// callbacks is how many callbacks there are in Many. Use 1000000 for a long run.
var callbacks = flag.Int("callbacks", 20_000, "among how many callbacks BenchmarkMany lists and searches")

// Many measures how a store lists and searches among many callbacks. put stores new ones. Of a
// hundred one was given its correlation id, of a thousand one is decided by a person, and of ten
// one is closed.
func Many(b *testing.B, s store.Store, p *callback.Policy, put func([]*callback.Record)) {
	began := callback.Time(1_700_000_000_000)
	n := *callbacks
	var middle *callback.Record
	records := make([]*callback.Record, 0, 1000)
	for i := range n {
		spec := callback.Spec{Name: fmt.Sprint("orders", i%10), ExpiresIn: 24 * time.Hour, Confirm: i%1000 == 17}
		if i%100 == 0 {
			spec.CorrelationID = fmt.Sprint("order ", i)
		}
		r := callback.New(s.Secret(), p, spec, began+callback.Time(i))
		if i%10 == 3 {
			r.Phase, r.FinishedAt, r.KeepUntil = callback.Closed, began, began.Add(1000*time.Hour)
		}
		if i == n/2+1 {
			middle = r
		}
		if records = append(records, r); len(records) == cap(records) || i == n-1 {
			put(records)
			records = records[:0]
		}
	}
	at := store.Cursor{CreatedAt: middle.CreatedAt, ID: middle.ID}
	for _, x := range []struct {
		name string
		q    store.Query
	}{
		{"first page", store.Query{}},
		{"first page of 1000", store.Query{Limit: 1000}},
		{"page in the middle", store.Query{After: at}},
		{"oldest first", store.Query{OldestFirst: true}},
		{"oldest that wait of one name", store.Query{OldestFirst: true, Phase: callback.Waiting, Name: "orders4"}},
		{"what none matches", store.Query{Phase: callback.Failed}},
		{"by id", store.Query{ID: middle.ID}},
		{"by its own correlation id", store.Query{CorrelationID: middle.CorrelationID}},
		{"by a given correlation id", store.Query{CorrelationID: fmt.Sprint("order ", n/200*100)}},
		{"by a correlation id that none has", store.Query{CorrelationID: "nobody's"}},
		{"approvals that wait", store.Query{Confirm: true, Phase: callback.Waiting, OldestFirst: true}},
	} {
		b.Run(x.name, func(b *testing.B) { measurePage(b, s, x.q) })
	}
}

// measurePage measures one page: how long it takes at the median and at the worst, and how many
// callbacks and bytes it has.
func measurePage(b *testing.B, s store.Store, q store.Query) {
	var took []float64
	var page []*callback.Record
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		var err error
		if page, _, err = s.List(context.Background(), q); err != nil {
			b.Fatal(err)
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	size := 0
	for _, r := range page {
		encoded, err := store.EncodeRecord(r)
		if err != nil {
			b.Fatal(err)
		}
		size += len(encoded)
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took[len(took)/2], "ms-p50")
	b.ReportMetric(took[len(took)-1], "ms-max")
	b.ReportMetric(float64(len(page)), "callbacks")
	b.ReportMetric(float64(size), "page-bytes")
}
