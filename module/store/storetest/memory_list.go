package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func (h *handle) List(ctx context.Context, q store.Query) (page []*callback.Record, next store.Cursor, err error) {
	m, err := h.enter()
	defer m.mu.Unlock()
	if err := errors.Join(err, ctx.Err()); err != nil {
		return nil, store.Cursor{}, err
	}
	m.flush()
	for _, r := range m.records {
		if (q.After == store.Cursor{} || order(q)(cursor(r), q.After) > 0) && q.Has(r) {
			page = append(page, r)
		}
	}
	slices.SortFunc(page, func(a, b *callback.Record) int { return order(q)(cursor(a), cursor(b)) })
	if limit := q.PageSize(); len(page) > limit {
		page = page[:limit]
		next = cursor(page[limit-1])
	}
	if q.Indexed() {
		for i, r := range page {
			page[i] = &callback.Record{ID: r.ID, CreatedAt: r.CreatedAt}
		}
	}
	return page, next, nil
}

func cursor(r *callback.Record) store.Cursor { return store.Cursor{CreatedAt: r.CreatedAt, ID: r.ID} }

// order returns the order in which a query lists callbacks.
func order(q store.Query) func(a, b store.Cursor) int {
	if q.OldestFirst {
		return func(a, b store.Cursor) int { return newestFirst(b, a) }
	}
	return newestFirst
}

func newestFirst(a, b store.Cursor) int {
	return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), bytes.Compare(a.ID[:], b.ID[:]))
}
