package postgres

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Calls to a callback that takes many replace its result while clients read it.
func TestBodyThatIsReplacedIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	data := bytes.Repeat([]byte("piece "), 50_000)
	body, err := n.one.PutBody(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	r := n.create(n.one, func(r *callback.Record) { r.Answer = &callback.Response{Body: body} })
	var pool memory.Pool
	pool.SetLimits(1<<20, 1<<20)
	space := pool.For(memory.Nobody)
	opened, err := n.two.OpenBody(t.Context(), body, space)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = opened.Close() }()
	if _, _, err := n.one.Update(t.Context(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Answer = nil
		return store.Change{Next: &next}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.two.OpenBody(t.Context(), body, space); !errors.Is(err, store.ErrRemoved) {
		t.Errorf("opening it afterwards: %v", err)
	}
	if err := n.one.forgetBodies(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(opened); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read are %d bytes of %d: %v", len(got), len(data), err)
	}
	if _, err := n.one.pool.Exec(t.Context(), n.one.sql(`UPDATE @bodies SET made = made - $1::bigint * interval '1 millisecond'`), 2*readableFor.Milliseconds()); err != nil {
		t.Fatal(err)
	}
	if err := n.one.forgetBodies(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := n.one.pool.QueryRow(t.Context(), n.one.sql(`SELECT (SELECT count(*) FROM @bodies) + (SELECT count(*) FROM @pieces)`)).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left behind: %v", left, err)
	}
}
