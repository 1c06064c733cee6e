package api

import (
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func FuzzListQuery(f *testing.F) {
	for _, query := range []string{
		"", "phase=waiting&name=a", "limit=10&cursor=x", "createdAfter=7d&createdBefore=2026-11-23T22:42:15Z", "delivery=dead", "phase=x", "limit=0",
		"a=b", "phase=waiting&phase=failed", "%zz", "createdAfter=-1h", "limit=1e3", "cursor=" + encodeCursor(store.Cursor{CreatedAt: 1, ID: callback.NewUUID()}),
	} {
		f.Add(query)
	}
	now := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, query string) {
		q, err := parseQuery(query, now)
		if err != nil {
			return
		}
		if q.Limit < 0 || q.Limit > store.MaxPageSize || q.Phase > callback.Closed || q.From < 0 || q.Before < 0 {
			t.Errorf("%q asks for %+v", query, q)
		}
		if q.After != (store.Cursor{}) {
			var again store.Cursor
			if err := readCursor(&again, encodeCursor(q.After)); err != nil || again != q.After {
				t.Errorf("%q: the cursor %+v comes back as %+v: %v", query, q.After, again, err)
			}
		}
	})
}
