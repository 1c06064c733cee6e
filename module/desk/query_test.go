package desk

import (
	"net/url"
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
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		q, err := ParseQuery(values, now)
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

func TestCursorComesBackAsItWas(t *testing.T) {
	t.Parallel()
	if got := encodeCursor(store.Cursor{}); got != "" {
		t.Errorf("no cursor is %q", got)
	}
	for _, at := range []callback.Time{-1, 0, 1, callback.At(time.Now()), 1<<63 - 1, -1 << 63} {
		want := store.Cursor{CreatedAt: at, ID: callback.NewUUID()}
		var got store.Cursor
		if err := readCursor(&got, encodeCursor(want)); err != nil || got != want {
			t.Errorf("%v: %+v, want %+v", err, got, want)
		}
	}
}
