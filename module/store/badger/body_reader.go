package badger

import (
	"bytes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// bodyReader reads a body piece by piece. It never yields a byte that was not checked.
type bodyReader struct {
	b    *bodies
	name string
	file *os.File
	// seal opens the pieces; nil if they are not encrypted.
	seal cipher.AEAD
	// buffer has room for a piece. It is nil for an empty body.
	buffer *memory.Buffer
	// piece is what is left of the piece that was read last; left is how much of the body
	// is in further ones, and index the number of the next.
	piece []byte
	left  int64
	index uint64
	err   error
	// report is told of an error.
	report func(error)
}

// errMissing: there is no file.
var errMissing = fmt.Errorf("%w: the file of a body is gone", store.ErrDamaged)

// open opens a body, and checks that it is as large as put has written it, and its
// beginning.
func (b *bodies) open(body callback.Body, space memory.Space, refers refers, report func(error)) (io.ReadCloser, error) {
	r, err := b.openFile(body, space)
	switch {
	case errors.Is(err, errMissing) && b.wasRemoved(body.File, refers):
		return nil, store.ErrRemoved
	case errors.Is(err, memory.ErrBusy):
		return nil, err
	case err != nil:
		report(err)
		return nil, err
	}
	r.report = report
	return r, nil
}

func (b *bodies) openFile(body callback.Body, space memory.Space) (_ *bodyReader, err error) {
	if !isBodyName(body.File) {
		return nil, fmt.Errorf("%w: a body has no valid file name", store.ErrDamaged)
	}
	file, err := os.Open(b.path(body.File))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMissing
	}
	if err != nil {
		return nil, diskError(err)
	}
	r := &bodyReader{b: b, name: body.File, file: file}
	defer func() {
		if err != nil {
			_ = r.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, diskError(err)
	}
	switch length := info.Size(); {
	case info.IsDir():
		return nil, fmt.Errorf("%w: the file of a body is a directory", store.ErrFailed)
	case length == b.fileLength(body.Size):
		return r, r.begin(body, space)
	case length == b.wholeLength(body.Size):
		return r, r.readWhole(body, space)
	}
	return nil, fmt.Errorf("%w: the file of a body has another length", store.ErrDamaged)
}

// diskError is the error of a file that may be readable once the disk works again.
func diskError(err error) error { return fmt.Errorf("%w: %w", store.ErrFailed, err) }

// begin reads the head and the first piece.
func (r *bodyReader) begin(body callback.Body, space memory.Space) (err error) {
	raw := make([]byte, r.b.headLength())
	if err := r.fill(raw); err != nil {
		return err
	}
	number, ok := numberIn(raw)
	if !ok {
		return errPiece
	}
	if r.seal, err = r.b.sealOf(number); err != nil {
		return err
	}
	content, err := openPiece(r.seal, r.name, headIndex, raw[len(fileMagic):])
	if err != nil || !bytes.Equal(content, head(body.Size, body.Sum)) {
		return errPiece
	}
	if r.left = body.Size; r.left == 0 {
		return nil
	}
	if r.buffer, err = space.Make(int(min(r.left, store.BodyPiece)) + r.b.guard()); err != nil {
		return err
	}
	return r.next()
}

// fill reads from the file.
func (r *bodyReader) fill(p []byte) error {
	_, err := io.ReadFull(r.file, p)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errPiece
	case err != nil:
		return diskError(err)
	}
	return nil
}

// next reads the next piece, or returns io.EOF after the last.
func (r *bodyReader) next() (err error) {
	if r.left == 0 {
		return io.EOF
	}
	size := min(r.left, store.BodyPiece)
	raw := r.buffer.Bytes()[:int(size)+r.b.guard()]
	if err := r.fill(raw); err != nil {
		return err
	}
	r.piece, err = openPiece(r.seal, r.name, r.index, raw)
	r.left -= size
	r.index++
	return err
}

// advance makes sure that there is something to read.
func (r *bodyReader) advance() error {
	if r.err == nil && len(r.piece) == 0 {
		if r.err = r.next(); r.err != nil && !errors.Is(r.err, io.EOF) {
			r.piece = nil
			r.report(r.err)
		}
	}
	return r.err
}

// Read implements io.Reader.
func (r *bodyReader) Read(p []byte) (int, error) {
	if err := r.advance(); err != nil {
		return 0, err
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}

// WriteTo implements io.WriterTo.
func (r *bodyReader) WriteTo(w io.Writer) (written int64, err error) {
	for {
		if err := r.advance(); errors.Is(err, io.EOF) {
			return written, nil
		} else if err != nil {
			return written, err
		}
		n, err := w.Write(r.piece)
		written += int64(n)
		r.piece = r.piece[n:]
		if err != nil {
			return written, err
		}
	}
}

// Close implements io.Closer.
func (r *bodyReader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.buffer.Release()
	r.file, r.buffer, r.piece, r.err = nil, nil, nil, os.ErrClosed
	return err
}

// wholeLength returns the length of a file that holds the body as a whole.
func (b *bodies) wholeLength(size int64) int64 {
	if b.seal == nil {
		return size
	}
	return size + int64(b.guard())
}

// readWhole reads a file that holds the body as a whole.
func (r *bodyReader) readWhole(body callback.Body, space memory.Space) (err error) {
	// Release 0.1 wrote such files, with the first key of the store.
	seal, err := r.b.sealOf(0)
	if err != nil {
		return err
	}
	if r.buffer, err = space.Make(int(r.b.wholeLength(body.Size))); err != nil {
		return err
	}
	content := r.buffer.Bytes()
	if err := r.fill(content); err != nil {
		return err
	}
	if seal != nil {
		nonce, sealed := content[:seal.NonceSize()], content[seal.NonceSize():]
		if content, err = seal.Open(sealed[:0], nonce, sealed, []byte(r.name)); err != nil {
			return errPiece
		}
	}
	if sha256.Sum256(content) != body.Sum {
		return errPiece
	}
	r.piece = content
	return nil
}
