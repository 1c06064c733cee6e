package deliver

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/quoted"
)

// Fill returns a body of these pieces, in which the body of a result stands. It is the same
// each time that it is opened. The memory that this takes comes from space, and
// memory.ErrBusy says that there is none.
func Fill(pieces []callback.Piece, body Body, space memory.Space) Body {
	f := &filling{pieces: pieces, body: body, space: space}
	return f.open
}

// filling is an envelope that is being filled in.
type filling struct {
	pieces []callback.Piece
	body   Body
	space  memory.Space

	// mu guards what is known of the body once it was looked at.
	mu     sync.Mutex
	looked bool
	// isValue says that the body is JSON, and size is how long it is.
	isValue bool
	size    int64
}

// segment is a part of what is delivered. Its size is known before it is opened.
type segment struct {
	size int64
	open func() (io.ReadCloser, error)
}

func (f *filling) open(ctx context.Context) (io.ReadCloser, int64, error) {
	r := new(segments)
	var size int64
	for _, p := range f.pieces {
		s, err := f.segment(ctx, p)
		if err != nil {
			return nil, 0, err
		}
		if s.size > 0 {
			r.left = append(r.left, s)
		}
		size += s.size
	}
	return r, size, nil
}

// segment returns the segment of a piece.
func (f *filling) segment(ctx context.Context, p callback.Piece) (segment, error) {
	if p.Body == callback.NoBody {
		return text(p.Text), nil
	}
	if err := f.look(ctx); err != nil {
		return segment{}, err
	}
	switch {
	case p.Body == callback.BodyAsIs, p.Body == callback.BodyAsValue && f.isValue:
		return segment{f.size, func() (io.ReadCloser, error) { return f.opened(ctx) }}, nil
	case p.Body == callback.BodyAsValue && f.size == 0:
		return text("null"), nil
	case p.Body == callback.BodyAsValue:
		return f.quoted(ctx, 0)
	}
	return f.quoted(ctx, len(`"`))
}

func text(text string) segment {
	return segment{int64(len(text)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

func (f *filling) opened(ctx context.Context) (io.ReadCloser, error) {
	r, _, err := f.body.open(ctx)
	return r, err
}

// look reads the body, once, if it is to stand as a value somewhere: only one that is JSON
// can do so.
func (f *filling) look(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.looked {
		return nil
	}
	r, size, err := f.body.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	f.size = size
	for _, p := range f.pieces {
		if p.Body != callback.BodyAsValue || size == 0 {
			continue
		}
		whole, err := f.space.Read(r, size, size)
		if err != nil {
			return err
		}
		f.isValue = callback.IsValue(whole.Bytes())
		whole.Release()
		break
	}
	f.looked = true
	return nil
}

// quotedPiece is how much memory it takes to quote a body.
const quotedPiece = 16 << 10

// quoted returns the segment of the body as a JSON string, without that many bytes at each end.
func (f *filling) quoted(ctx context.Context, cut int) (segment, error) {
	piece, err := f.space.Make(quotedPiece)
	if err != nil {
		return segment{}, err
	}
	defer piece.Release()
	looked, err := quoted.Look(func() (io.ReadCloser, error) { return f.opened(ctx) }, piece.Bytes())
	if err != nil {
		return segment{}, err
	}
	document, err := quoted.New(looked, looked)
	if err != nil {
		return segment{}, err
	}
	size := document.Size() - 2*int64(cut)
	return segment{size, func() (io.ReadCloser, error) { return f.quotedReader(document, int64(cut), size) }}, nil
}

func (f *filling) quotedReader(document *quoted.Document, from, size int64) (io.ReadCloser, error) {
	piece, err := f.space.Make(quotedPiece)
	if err != nil {
		return nil, err
	}
	r, err := document.Open(piece.Bytes())
	if err == nil && from > 0 {
		if _, err = io.ReadFull(r, make([]byte, from)); err != nil {
			_ = r.Close()
		}
	}
	if err != nil {
		piece.Release()
		return nil, err
	}
	return &quotedReader{io.LimitReader(r, size), r, piece}, nil
}

// quotedReader reads a quoted body, and has a piece of memory for that.
type quotedReader struct {
	io.Reader
	document io.Closer
	piece    *memory.Buffer
}

// Close implements io.Closer.
func (r *quotedReader) Close() error {
	err := r.document.Close()
	r.piece.Release()
	r.piece = nil
	return err
}

// segments reads one segment after the other.
type segments struct {
	left    []segment
	current io.ReadCloser
}

// Read implements io.Reader.
func (s *segments) Read(p []byte) (int, error) {
	for {
		if s.current == nil {
			if len(s.left) == 0 {
				return 0, io.EOF
			}
			current, err := s.left[0].open()
			if err != nil {
				return 0, err
			}
			s.current, s.left = current, s.left[1:]
		}
		n, err := s.current.Read(p)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		err = s.current.Close()
		s.current = nil
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Close implements io.Closer.
func (s *segments) Close() error {
	s.left = nil
	if s.current == nil {
		return nil
	}
	current := s.current
	s.current = nil
	return current.Close()
}
