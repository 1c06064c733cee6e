package module

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func FuzzPreference(f *testing.F) {
	for _, line := range []string{"", "respond-async", "wait=10", `wait="5"`, "Respond-Async, WAIT=1; a=b", "wait=99999999999999999999", `a="b,wait=3", wait`, "wait=-1", ",;=\"\\"} {
		f.Add(line, line)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		const limit = time.Minute
		p := preferenceOf(http.Header{"Prefer": {first, second}}, limit)
		if p.wait < 0 || p.wait > limit || p.wait != 0 && !p.waits {
			t.Errorf("%q and %q mean %+v", first, second, p)
		}
		h := make(http.Header)
		p.apply(h)
		if applied := preferenceOf(http.Header{"Prefer": h["Preference-Applied"]}, limit); applied.async && !p.async || applied.waits && !p.waits {
			t.Errorf("%q and %q are answered with %q", first, second, h["Preference-Applied"])
		}
	})
}

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

func FuzzState(f *testing.F) {
	const state = "2d3cd3d3-9e6c-40c0-819f-8c49540f6b83"
	for _, text := range []string{"state=" + state, "state=" + state + "&state=" + state, "a=1&%73tate=" + state, "state=", "&&=;", "state=" + state + "&a=%zz"} {
		f.Add(text, "state")
	}
	f.Fuzz(func(t *testing.T, text, parameter string) {
		in := &engine.Incoming{Parameter: parameter, Call: &callback.Call{Body: callback.NewBody([]byte(text))}}
		if !takeState(in) || parameter == "" {
			return
		}
		rest := string(in.Call.Body.Data)
		if in.State.IsZero() || len(inject.GetQuery(rest, parameter)) != 0 {
			t.Errorf("%q without the state %s is %q", text, in.State, rest)
		}
	})
}
