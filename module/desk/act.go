package desk

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// close closes a callback, and reports whether it has, once that is committed.
func (d *Desk) close(ctx context.Context, id callback.UUID) (closed bool, err error) {
	_, closed, err = d.engine().TryClose(ctx, store.ByID(id), "it was closed through "+d.through(), d.By)
	if err != nil {
		return false, err
	}
	_, err = d.engine().FindCommitted(ctx, store.ByID(id))
	return closed, err
}

// resolve lets a copy of a call be the answer to a callback.
func (d *Desk) resolve(ctx context.Context, cb *engine.Callback, call *callback.Call, lease *memory.Lease) (callback.Verdict, error) {
	own := *call
	own.By = d.By
	own.Header = renamed(slices.Clone(call.Header), cb.Policy.Wire())
	own.Unpacked = d.engine().Packed(own.Body.Data, d.engine().Memory(memory.OwnerOf(cb.ID)))
	defer own.Unpacked.Release()
	return d.engine().Resolve(ctx, cb.ID, &own, lease)
}

// renamed returns the header lines, with the default names of the wire headers replaced by
// the callback's own names, unless those are given, too. An operator who resolves a
// callback need not know which header_prefix it was made with.
func renamed(h callback.Header, wire callback.Wire) callback.Header {
	names, defaults := wire.Names(), callback.NewWire(callback.DefaultHeaderPrefix).Names()
	replaced := make(map[string]string)
	for i, name := range names {
		if h.Get(name) == "" {
			replaced[defaults[i]] = name
		}
	}
	for i, f := range h {
		h[i].Name = cmp.Or(replaced[f.Name], f.Name)
	}
	slices.SortStableFunc(h, func(a, b callback.Field) int { return strings.Compare(a.Name, b.Name) })
	return h
}
