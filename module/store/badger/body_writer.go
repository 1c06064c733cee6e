package badger

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"path/filepath"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// bodyWriter writes a body so that it survives a power failure, whole or not at all: into
// a temporary file, which is renamed in the end.
type bodyWriter struct {
	b     *bodies
	name  string
	file  *os.File
	whole hash.Hash
	size  int64
	index uint64
	// short says that the last piece has come.
	short bool
	err   error
}

// create begins to write a body. The writer is never nil.
func (b *bodies) create() (*bodyWriter, error) {
	var random [16]byte
	_, _ = rand.Read(random[:])
	w := &bodyWriter{b: b, name: hex.EncodeToString(random[:]), whole: sha256.New()}
	// The file must be known before it is there, or a sweep would remove it.
	b.fresh.begin(w.name)
	path := b.path(w.name)
	if w.err = makeDir(filepath.Dir(path)); w.err == nil {
		w.file, w.err = os.OpenFile(path+temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	}
	if w.err == nil {
		// The head is written once it is known.
		_, w.err = w.file.Write(make([]byte, b.headLength()))
	}
	return w, w.failed()
}

// failed returns the first error.
func (w *bodyWriter) failed() error {
	if w.err != nil {
		return fmt.Errorf("writing a body: %w", w.err)
	}
	return nil
}

// Write implements store.BodyWriter.
func (w *bodyWriter) Write(piece []byte) (int, error) {
	if w.err == nil && (w.short || len(piece) > store.BodyPiece) {
		w.err = fmt.Errorf("a piece of %d bytes does not fit", len(piece))
	}
	if w.err != nil {
		return 0, w.failed()
	}
	write := func(p []byte) error {
		_, err := w.file.Write(p)
		return err
	}
	w.short = len(piece) < store.BodyPiece
	w.whole.Write(piece)
	w.size += int64(len(piece))
	w.err = w.b.writePiece(write, w.name, w.index, piece)
	w.index++
	return len(piece), w.failed()
}

// Commit implements store.BodyWriter.
func (w *bodyWriter) Commit() (callback.Body, error) {
	body := callback.Body{File: w.name, Size: w.size}
	w.whole.Sum(body.Sum[:0])
	if w.err == nil {
		w.err = w.finish(body)
	}
	if w.err != nil {
		w.Abort()
		return callback.Body{}, w.failed()
	}
	w.b.size.Add(w.b.fileLength(w.size))
	return body, nil
}

// finish puts the head and then the whole file in place, durably.
func (w *bodyWriter) finish(body callback.Body) error {
	at := int64(0)
	write := func(p []byte) error {
		_, err := w.file.WriteAt(p, at)
		at += int64(len(p))
		return err
	}
	err := write(w.b.magic())
	if err == nil {
		err = w.b.writePiece(write, w.name, headIndex, head(body.Size, body.Sum))
	}
	if err == nil {
		err = w.file.Sync()
	}
	if closeErr := w.file.Close(); err == nil {
		err = closeErr
	}
	w.file = nil
	if err != nil {
		return err
	}
	// From here on it is a whole body that nothing refers to.
	w.b.fresh.put(w.name)
	path := w.b.path(w.name)
	if err := os.Rename(path+temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Abort implements store.BodyWriter.
func (w *bodyWriter) Abort() {
	if w.file != nil {
		_ = w.file.Close()
		w.file = nil
	}
	path := w.b.path(w.name)
	// It may be there all the same.
	_, _ = os.Remove(path+temporary), os.Remove(path)
	w.b.fresh.forget(w.name)
}
