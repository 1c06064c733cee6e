package badger

import (
	"strconv"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/linear"
)

// withFiles returns a record with that many results that wait to be delivered, each in a
// file.
func withFiles(n int) *callback.Record {
	r := new(callback.Record)
	for i := range n {
		body := callback.Body{File: "0123456789abcdef0123456789" + strconv.Itoa(100_000+i)}
		r.Outbox = append(r.Outbox, callback.Parcel{Call: &callback.Call{Body: body}})
	}
	return r
}

func TestManyBodyFilesCostWhatTheirNumberCosts(t *testing.T) {
	linear.Check(t, 500, func(n int) func() {
		before, after := withFiles(n), withFiles(n-1)
		return func() {
			if gone := without(files(before), files(after)); len(gone) != 1 {
				t.Errorf("%d files are dropped", len(gone))
			}
			e := &entry{stored: after, record: after, superseded: files(before)}
			if orphans := e.takeOrphans(); len(orphans) != 1 || len(e.superseded) != n-1 {
				t.Errorf("%d files are orphans, %d are kept", len(orphans), len(e.superseded))
			}
		}
	})
}
