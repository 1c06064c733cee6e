package quoted

import (
	"errors"
	"io"
	"io/fs"
	"sync/atomic"
)

// ErrChanged says that a body is not what it was when Look read it.
var ErrChanged = errors.New("the body has changed since it was looked through")

// reader reads a document. Close may be called while another method runs, if the body
// allows that; HTTP clients do it.
type reader struct {
	document *Document
	// ready is what can be read at once. Of the body it is part of the piece.
	ready []byte
	// last says that nothing comes after what is ready.
	last   bool
	err    error
	body   io.Closer
	pieces pieces
	// quoted is how many bytes of the quoted body were ready so far.
	quoted int64
	closed atomic.Bool
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.prepare(); err != nil {
		return 0, err
	}
	if len(r.ready) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// WriteTo implements io.WriterTo.
func (r *reader) WriteTo(w io.Writer) (written int64, err error) {
	for {
		if err := r.prepare(); err != nil || len(r.ready) == 0 {
			return written, err
		}
		n, err := w.Write(r.ready)
		written += int64(n)
		if err == nil && n < len(r.ready) {
			err = io.ErrShortWrite
		}
		r.ready = r.ready[n:]
		if err != nil {
			return written, err
		}
	}
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.closed.Swap(true) || r.body == nil {
		return nil
	}
	return r.body.Close()
}

// prepare makes bytes ready. At the end of the document there are none.
func (r *reader) prepare() error {
	switch {
	case r.closed.Load():
		return fs.ErrClosed
	case len(r.ready) == 0 && !r.last && r.err == nil:
		r.err = r.quote()
	}
	return r.err
}

// quote makes the next bytes of the body ready. After the last ones that is the tail, if
// the body is the one that was looked through.
func (r *reader) quote() error {
	b := r.document.body
	out, err := r.pieces.next(b.quoting())
	r.quoted += int64(len(out))
	size := r.pieces.size
	switch {
	case errors.Is(err, errNotText), size > b.size, r.quoted > b.quoted:
		return ErrChanged
	case err != nil:
		return err
	case len(out) > 0:
		r.ready = out
	case size < b.size, r.quoted < b.quoted:
		return ErrChanged
	default:
		r.ready, r.last = r.document.tail, true
	}
	return nil
}
