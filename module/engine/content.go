package engine

import (
	"bytes"
	"context"
	"io"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/quoted"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/unpack"
)

// Content is a body that is open.
type Content struct {
	io.ReadCloser
	// Size is its length in bytes.
	Size int64
	// Made says that it is JSON that was made of a call, and not the body of one.
	Made bool
	// Varies says that it depends on the client whether it is packed.
	Varies bool
}

// Bodies opens what the record of one callback holds. What is open takes memory until it is
// closed: for a piece of it, or for all of a body that is in the record. ErrBusy: there is
// none.
type Bodies struct {
	store store.Store
	space memory.Space
	// there is the memory for bodies in the record, and none if that counts already.
	there func(size int64) (*memory.Lease, error)
	// spare is the memory for what a client can do without.
	spare memory.Space
	// maxBody bounds the bytes of a body unpacked.
	maxBody int64
}

// Bodies opens what the record of a callback holds.
func (e *Engine) Bodies(id callback.UUID) Bodies { return e.BodiesIn(e.memory.For(memory.OwnerOf(id))) }

// BodiesIn opens what a record holds, in this memory.
func (e *Engine) BodiesIn(space memory.Space) Bodies {
	return Bodies{store: e.store, space: space, there: space.Reserve, spare: space, maxBody: e.limits.Load().MaxBody}
}

// BodiesTold opens what the record holds that a waiter was told of. That is not refused for
// want of memory: the waiter has it already, or takes a piece.
func (e *Engine) BodiesTold(n Notice) Bodies {
	space := e.memory.For(memory.OwnerOf(n.Record.ID))
	b := e.BodiesIn(space.Forced())
	b.spare = space
	if n.lease != nil {
		return b.Counted()
	}
	return b
}

// Counted is for bodies in memory that count already.
func (b Bodies) Counted() Bodies {
	b.there = func(int64) (*memory.Lease, error) { return nil, nil }
	return b
}

// Open opens a body.
func (b Bodies) Open(ctx context.Context, body callback.Body) (Content, error) {
	var open io.ReadCloser
	var err error
	if body.File != "" && body.Data == nil {
		open, err = b.store.OpenBody(ctx, body, b.space)
	} else {
		var lease *memory.Lease
		lease, err = b.there(int64(len(body.Data)))
		open = newDataReader(body.Data, lease)
	}
	if err != nil {
		return Content{}, err
	}
	return Content{ReadCloser: open, Size: body.Size}, nil
}

// Whole returns a whole body in memory. The buffer is nil for an empty one, and must be
// released.
func (b Bodies) Whole(ctx context.Context, body callback.Body) (*memory.Buffer, error) {
	open, err := b.Open(ctx, body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = open.Close() }()
	return b.space.Read(open, body.Size, body.Size)
}

// Result opens the body of a result, which must have one.
func (b Bodies) Result(ctx context.Context, r callback.Result, p *callback.Policy) (Content, error) {
	if r.Call == nil {
		return b.Open(ctx, *r.Body)
	}
	return b.Call(ctx, r.Call, p)
}

// Call opens what of a call is the result, as its policy says it.
func (b Bodies) Call(ctx context.Context, c *callback.Call, p *callback.Policy) (content Content, err error) {
	body, document, made := p.HandedOn(c)
	if document {
		content, err = b.Document(ctx, body, func(q *quoted.Body) any { return callback.NewDocument(c, q) })
	} else {
		content, err = b.Open(ctx, body)
	}
	content.Made = made
	return content, err
}

// Unpacked opens a packed body unpacked. By then it was read to its end once, so that it is
// known that it can be, and how large it is. The error wraps unpack.ErrUnreadable if it
// cannot be.
func (b Bodies) Unpacked(ctx context.Context, body callback.Body, coding string) (Content, error) {
	first, err := b.unpack(ctx, body, coding)
	if err != nil {
		return Content{}, err
	}
	size, err := io.Copy(io.Discard, first)
	if closing := first.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return Content{}, err
	}
	r, err := b.unpack(ctx, body, coding)
	if err != nil {
		return Content{}, err
	}
	return Content{ReadCloser: r, Size: size, Varies: true}, nil
}

func (b Bodies) unpack(ctx context.Context, body callback.Body, coding string) (*unpackedReader, error) {
	packed, err := b.Open(ctx, body)
	if err != nil {
		return nil, err
	}
	r, err := unpack.Open(coding, packed, unpack.Most(body.Size, b.maxBody), b.spare)
	if err != nil {
		_ = packed.Close()
		return nil, err
	}
	return &unpackedReader{r, packed}, nil
}

// unpackedReader reads a packed body unpacked.
type unpackedReader struct {
	*unpack.Reader
	packed io.Closer
}

// Close implements io.Closer.
func (r *unpackedReader) Close() error {
	_ = r.Reader.Close()
	return r.packed.Close()
}

// documentPiece is how much memory a document takes at most, beside what stands around the
// body in it.
const documentPiece = 64 << 10

// Document opens a JSON document that holds a body. made returns the document.
func (b Bodies) Document(ctx context.Context, body callback.Body, made func(*quoted.Body) any) (_ Content, err error) {
	piece, err := b.space.Make(int(min(documentPiece, 2*body.Size)))
	if err != nil {
		return Content{}, err
	}
	defer func() {
		if err != nil {
			piece.Release()
		}
	}()
	open := func() (io.ReadCloser, error) { return b.Open(ctx, body) }
	looked, err := quoted.Look(open, piece.Bytes())
	if err != nil {
		return Content{}, err
	}
	d, err := quoted.New(made(looked), looked)
	if err != nil {
		return Content{}, err
	}
	r, err := d.Open(piece.Bytes())
	if err != nil {
		return Content{}, err
	}
	return Content{ReadCloser: &documentReader{r, piece}, Size: d.Size()}, nil
}

// documentReader reads a document, and has a piece of memory for that.
type documentReader struct {
	io.ReadCloser
	piece *memory.Buffer
}

// Close implements io.Closer.
func (r *documentReader) Close() error {
	err := r.ReadCloser.Close()
	r.piece.Release()
	r.piece = nil
	return err
}

// keep returns a body of its own with this content: in memory if it fits into a record,
// else stored.
func (e *Engine) keep(ctx context.Context, c Content) (callback.Body, error) {
	if c.Size <= inlineBody {
		data := make([]byte, c.Size)
		_, err := io.ReadFull(c, data)
		return callback.NewBody(data), err
	}
	piece, err := e.memory.For(memory.Nobody).Make(store.BodyPiece)
	if err != nil {
		return callback.Body{}, err
	}
	defer piece.Release()
	to, err := e.store.NewBody(ctx)
	if err != nil {
		return callback.Body{}, err
	}
	for left := c.Size; left > 0 && err == nil; {
		next := piece.Bytes()[:min(left, store.BodyPiece)]
		left -= int64(len(next))
		if _, err = io.ReadFull(c, next); err == nil {
			_, err = to.Write(next)
		}
	}
	if err != nil {
		to.Abort()
		return callback.Body{}, err
	}
	return to.Commit()
}

// dataReader reads a body that is in memory.
type dataReader struct {
	bytes.Reader
	lease *memory.Lease
}

func newDataReader(data []byte, lease *memory.Lease) *dataReader {
	r := &dataReader{lease: lease}
	r.Reset(data)
	return r
}

// Close implements io.Closer.
func (r *dataReader) Close() error {
	r.lease.Release()
	r.lease = nil
	r.Reset(nil)
	return nil
}
