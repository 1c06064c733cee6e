package badger

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// bodies keeps bodies that are too large for a record, each in a file of its own. In
// Badger they would take several times their size on disk and in memory.
type bodies struct {
	dir string
	// seal encrypts files, nil if they are not encrypted.
	seal cipher.AEAD
	// size is the sum of the files' sizes.
	size atomic.Int64

	// fresh knows the files about which the database does not tell yet.
	fresh *fresh
	// next is the directory that tidy looks into next.
	next byte
}

// temporary is the suffix of files that are being written.
const temporary = ".tmp"

func newBodies(dir string, key []byte) (*bodies, error) {
	b := &bodies{dir: dir, fresh: newFresh()}
	if key != nil {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if b.seal, err = cipher.NewGCM(block); err != nil {
			return nil, err
		}
	}
	return b, os.MkdirAll(dir, 0o700)
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
	var random [16]byte
	_, _ = rand.Read(random[:])
	name := hex.EncodeToString(random[:])
	// The file must be known before it is there, or a sweep would remove it.
	b.fresh.put(name)
	content := b.encrypt(name, data)
	if err := writeFile(b.path(name), content); err != nil {
		// It may be there all the same.
		_ = os.Remove(b.path(name))
		b.fresh.forget(name)
		return callback.Body{}, fmt.Errorf("writing a body: %w", err)
	}
	b.size.Add(int64(len(content)))
	return callback.Body{Data: data, File: name, Size: int64(len(data)), Sum: sha256.Sum256(data)}, nil
}

// open reads a body and checks that it is what put has written.
func (b *bodies) open(body callback.Body) (io.ReadCloser, error) {
	if !isBodyName(body.File) {
		return nil, fmt.Errorf("%w: a body has no valid file name", store.ErrDamaged)
	}
	content, err := os.ReadFile(b.path(body.File))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: the file of a body is gone", store.ErrDamaged)
	}
	if err != nil {
		// Once the disk works again, the file may be readable.
		return nil, fmt.Errorf("%w: %w", store.ErrFailed, err)
	}
	data, err := b.decrypt(body.File, content)
	if err != nil || int64(len(data)) != body.Size || sha256.Sum256(data) != body.Sum {
		return nil, fmt.Errorf("%w: a body does not match its checksum", store.ErrDamaged)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
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

func (b *bodies) unlink(path string) {
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	if os.Remove(path) == nil {
		b.size.Add(-info.Size())
	}
}

func (b *bodies) encrypt(name string, data []byte) []byte {
	if b.seal == nil {
		return data
	}
	nonce := make([]byte, b.seal.NonceSize(), b.seal.NonceSize()+len(data)+b.seal.Overhead())
	_, _ = rand.Read(nonce)
	return b.seal.Seal(nonce, nonce, data, []byte(name))
}

func (b *bodies) decrypt(name string, content []byte) ([]byte, error) {
	if b.seal == nil {
		return content, nil
	}
	if len(content) < b.seal.NonceSize() {
		return nil, io.ErrUnexpectedEOF
	}
	nonce, sealed := content[:b.seal.NonceSize()], content[b.seal.NonceSize():]
	return b.seal.Open(nil, nonce, sealed, []byte(name))
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
