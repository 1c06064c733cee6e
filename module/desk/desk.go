// Package desk is what an operator can find and do, whoever asks: the API, the admin endpoint
// or the dashboard. It knows which callbacks there are for whom, and who has done what.
package desk

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Desk is what one client sees and may do. Whether it may do anything is for whoever makes
// the desk to decide.
type Desk struct {
	// Runtime has the callbacks. It must not be released before the desk is left.
	Runtime *app.Runtime
	// Names are those of the callbacks that there are for the client; nil for all.
	Names []string
	// By is who the client is: the name of its key, or the user that Caddy has
	// authenticated; empty if nobody knows.
	By string
	// Through is what the client uses, for reasons that others read. Default: the API.
	Through string
	// KeyShown says that the client has shown a key, and not only come to where no key is
	// needed.
	KeyShown bool
	// most replaces mostActs in tests; 0 means the default.
	most int
}

// NamesOf returns the names of the callbacks that the keys of a caller are for; nil for all.
func NamesOf(c callback.Caller) []string {
	names := []string{}
	for _, key := range c.Names {
		only, limited := c.Only[key]
		if !limited {
			return nil
		}
		names = append(names, only...)
	}
	return names
}

// SeesAll reports whether there are all callbacks for the client.
func (d *Desk) SeesAll() bool { return d.Names == nil }

// Sees reports whether there are callbacks with that name for the client.
func (d *Desk) Sees(name string) bool { return d.Names == nil || slices.Contains(d.Names, name) }

// Look returns store.ErrNotFound if the callback is none of those that there are for the
// client.
func (d *Desk) Look(ctx context.Context, id callback.UUID) error {
	if d.SeesAll() {
		return nil
	}
	cb, err := d.engine().Find(ctx, store.ByID(id))
	if err == nil && !d.Sees(cb.Name) {
		return store.ErrNotFound
	}
	return err
}

// Find returns a callback once it is committed, so that a crash cannot undo what is shown.
// store.ErrNotFound: there is none for the client.
func (d *Desk) Find(ctx context.Context, id callback.UUID) (*engine.Callback, error) {
	cb, err := d.engine().FindCommitted(ctx, store.ByID(id))
	if err == nil && !d.Sees(cb.Name) {
		return nil, store.ErrNotFound
	}
	return cb, err
}

// Page is a page of a list. It must be released.
type Page struct {
	Callbacks []*engine.Callback
	// Next is the cursor of the next page; empty on the last one. A page can be empty
	// although there is another.
	Next  string
	lease *memory.Lease
}

// Release releases the memory that the page's callbacks, and a document with them, take.
func (p Page) Release() { p.lease.Release() }

// List returns a page of callbacks.
func (d *Desk) List(ctx context.Context, q store.Query) (Page, error) {
	q, some := d.limited(q)
	if !some {
		return Page{}, nil
	}
	// For the records, and for the document that shows them.
	lease, err := d.engine().Memory(memory.Nobody).Reserve(2 * store.MaxPageBytes)
	if err != nil {
		return Page{}, err
	}
	callbacks, next, err := d.engine().List(ctx, q)
	if err != nil {
		lease.Release()
		return Page{}, err
	}
	return Page{Callbacks: callbacks, Next: encodeCursor(next), lease: lease}, nil
}

// places returns where callbacks are in a list, and where its next page begins.
func (d *Desk) places(ctx context.Context, q store.Query) ([]store.Cursor, store.Cursor, error) {
	q, some := d.limited(q)
	if !some {
		return nil, store.Cursor{}, nil
	}
	lease, err := d.engine().Memory(memory.Nobody).Reserve(store.MaxPageBytes)
	if err != nil {
		return nil, store.Cursor{}, err
	}
	defer lease.Release()
	return d.engine().Places(ctx, q)
}

// limited returns a query for what there is for the client, and whether there can be any.
func (d *Desk) limited(q store.Query) (_ store.Query, some bool) {
	q.Names = d.Names
	return q, q.Name == "" || d.Sees(q.Name)
}

// Close closes a callback. One that has ended stays as it is.
func (d *Desk) Close(ctx context.Context, id callback.UUID) error {
	if err := d.Look(ctx, id); err != nil {
		return err
	}
	_, err := d.close(ctx, id)
	return err
}

// Purge removes a callback with all that is stored of it.
func (d *Desk) Purge(ctx context.Context, id callback.UUID) error {
	if err := d.Look(ctx, id); err != nil {
		return err
	}
	return d.engine().Purge(ctx, store.ByID(id), "it was removed through "+d.through())
}

// Redeliver starts the delivery of the result again. If there is none the error is a problem.
func (d *Desk) Redeliver(ctx context.Context, id callback.UUID) error {
	if err := d.Look(ctx, id); err != nil {
		return err
	}
	begun, err := d.engine().Redeliver(ctx, store.ByID(id), d.By)
	switch {
	case errors.Is(err, engine.ErrGone):
		return problem.NothingToDeliver.With("The result is not kept any longer: its body was removed.")
	case err != nil:
		return err
	case !begun:
		return problem.NothingToDeliver
	}
	return nil
}

// Resolve lets a call be the answer to a callback, whatever keys and methods its policy
// requires. The lease is the memory that the call's body takes; nil for none.
func (d *Desk) Resolve(ctx context.Context, id callback.UUID, call *callback.Call, lease *memory.Lease) (callback.Verdict, error) {
	cb, err := d.Find(ctx, id)
	if err != nil {
		return callback.Verdict{}, err
	}
	if gone, yes := d.Gone(cb); yes {
		return gone, nil
	}
	return d.resolve(ctx, cb, call, lease)
}

// Gone returns the verdict on every call to a callback that takes none any more.
func (d *Desk) Gone(cb *engine.Callback) (gone callback.Verdict, yes bool) {
	return cb.Gone(cb.Policy, callback.At(d.engine().Now()))
}

func (d *Desk) through() string { return cmp.Or(d.Through, "the API") }

func (d *Desk) engine() *engine.Engine { return d.Runtime.Engine }
