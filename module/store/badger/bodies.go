package badger

import (
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// bodies keeps bodies that are too large for a record, each in a file of its own. In
// Badger they would take several times their size on disk and in memory.
type bodies struct {
	dir string
	// seal encrypts files, nil if they are not encrypted; number is the number of its key.
	seal   cipher.AEAD
	number byte
	// keys open encrypted files, by the numbers of their keys.
	keys map[byte]cipher.AEAD
	// scratch has the buffers in which pieces are encrypted, so that there are never more.
	scratch chan []byte
	// size is the sum of the files' sizes.
	size atomic.Int64

	// fresh knows the files about which the database does not tell yet.
	fresh *fresh
	// next is the directory that tidy looks into next.
	next byte
}

// temporary is the suffix of files that are being written.
const temporary = ".tmp"

func newBodies(dir string) (*bodies, error) {
	return &bodies{dir: dir, fresh: newFresh()}, os.MkdirAll(dir, 0o700)
}

// use lets files be encrypted with the first of the keys, before any is written or read. The
// files of all of them can be read.
func (b *bodies) use(keys []*encryptionKey, numbers keyNumbers) {
	if b.seal != nil {
		return
	}
	b.keys = make(map[byte]cipher.AEAD)
	for _, key := range keys {
		if number, ok := numbers.of(key.fingerprint); ok {
			b.keys[number] = key.seal
		}
	}
	b.number, _ = numbers.of(keys[0].fingerprint)
	b.seal = b.keys[b.number]
	b.scratch = newScratch()
}

// each calls yield with the name of each file and the number of its key, until that returns
// an error.
func (b *bodies) each(yield func(name string, number byte) error) error {
	return filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !isBodyName(d.Name()) {
			return err
		}
		number, err := numberOf(path)
		if err != nil {
			return err
		}
		return yield(d.Name(), number)
	})
}

// numberOf returns the number of the key of a file.
func numberOf(path string) (byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	var magic [len(fileMagic)]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, err
	}
	number, _ := numberIn(magic[:])
	return number, nil
}

// isBodyName reports whether a name is one that put gives.
func isBodyName(name string) bool {
	raw, err := hex.DecodeString(name)
	return err == nil && len(raw) == 16
}

// path returns the path of a body's file. The name must be valid.
func (b *bodies) path(name string) string { return filepath.Join(b.dir, name[:2], name) }

// put writes a body so that it survives a power failure.
func (b *bodies) put(data []byte) (callback.Body, error) {
	w, err := b.create()
	for rest := data; err == nil && len(rest) > 0; {
		piece := rest[:min(len(rest), store.BodyPiece)]
		rest = rest[len(piece):]
		_, err = w.Write(piece)
	}
	if err != nil {
		w.Abort()
		return callback.Body{}, err
	}
	body, err := w.Commit()
	if err == nil {
		body.Data = data
	}
	return body, err
}

// remove removes a file that no record refers to any more. What cannot be removed is
// found by tidy.
func (b *bodies) remove(name string) {
	if !isBodyName(name) {
		return
	}
	b.unlink(b.path(name))
	b.fresh.forget(name)
}

// lingering is how long a replaced file stays. Whoever has found the record before opens its
// body within that time.
const lingering = 2 * time.Second

// replace removes files that a record has ceased to refer to, after a moment in which they
// can still be opened.
func (b *bodies) replace(names []string) {
	if len(names) == 0 {
		return
	}
	for _, name := range names {
		b.fresh.note(name, outdated)
	}
	time.AfterFunc(lingering, func() { b.removeAll(names) })
}

// end removes the replaced files that are still there.
func (b *bodies) end() { b.removeAll(b.fresh.with(outdated)) }

func (b *bodies) removeAll(names []string) {
	for _, name := range names {
		b.remove(name)
	}
}

func (b *bodies) unlink(path string) {
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	if os.Remove(path) == nil {
		b.size.Add(-info.Size())
	}
}

// writeFile writes a file whole or not at all, and durably: a temporary file,
// fsync, rename, and fsync of the directory.
func writeFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	if err := makeDir(dir); err != nil {
		return err
	}
	f, err := os.OpenFile(path+temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(path+temporary, path)
	}
	if err != nil {
		_ = os.Remove(path + temporary)
		return err
	}
	return syncDir(dir)
}

// makeDir makes a directory in one that exists, durably.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}
