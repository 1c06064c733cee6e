package badger

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// The format of a body's file: a head, and then the pieces. All have store.BodyPiece bytes
// but the last, and all are guarded, so that neither can be changed, moved or taken from
// another file. Without a key, what guards is a checksum behind the content; with a key,
// the content is sealed, between a nonce and a tag. The head begins with fileMagic; guarded
// in it are size and SHA-256 of the body. Files of version 0.1 hold the body as a whole:
// as it is, or sealed.

// fileMagic begins a file: a name, the version of the format, and the number of the key, here
// that of the first key of a store, and of none.
var fileMagic = [8]byte{'C', 'B', 'B', 'O', 'D', 'Y', 1, 0}

const (
	// headContent is the length of what is guarded in the head.
	headContent = 8 + sha256.Size
	// headIndex stands for the head, where pieces have their number.
	headIndex = math.MaxUint64
	// maxPiece is the length of a piece in its file, at most.
	maxPiece = store.BodyPiece + sha256.Size
)

// magic returns what a file begins with that is written.
func (b *bodies) magic() []byte {
	magic := fileMagic
	magic[len(magic)-1] = b.number
	return magic[:]
}

// numberIn returns the number of the key that a head names. ok says whether it is a head.
func numberIn(head []byte) (number byte, ok bool) {
	last := len(fileMagic) - 1
	if len(head) <= last || !bytes.Equal(head[:last], fileMagic[:last]) {
		return 0, false
	}
	return head[last], true
}

// sealOf returns what opens the files of a key, nil in a store that is not encrypted.
func (b *bodies) sealOf(number byte) (cipher.AEAD, error) {
	if b.seal == nil {
		if number != 0 {
			return nil, errPiece
		}
		return nil, nil
	}
	seal := b.keys[number]
	if seal == nil {
		return nil, fmt.Errorf("%w: a body is encrypted with a key that is not given", store.ErrDamaged)
	}
	return seal, nil
}

// guard returns how many bytes a piece takes in addition to its content.
func (b *bodies) guard() int {
	if b.seal == nil {
		return sha256.Size
	}
	return b.seal.NonceSize() + b.seal.Overhead()
}

// headLength returns the length of the head.
func (b *bodies) headLength() int64 { return int64(len(fileMagic) + headContent + b.guard()) }

// fileLength returns the length of the file of a body.
func (b *bodies) fileLength(size int64) int64 {
	pieces := (size + store.BodyPiece - 1) / store.BodyPiece
	return b.headLength() + size + pieces*int64(b.guard())
}

// place is what a piece is guarded with, so that it fits nowhere else.
func place(name string, index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(name), index)
}

// checksum returns the checksum of a piece.
func checksum(name string, index uint64, content []byte) []byte {
	h := sha256.New()
	h.Write(place(name, index))
	h.Write(content)
	return h.Sum(nil)
}

// errPiece: a piece of a file is not what was written.
var errPiece = fmt.Errorf("%w: a body does not match its checksum", store.ErrDamaged)

// openPiece returns the content of a piece, which it may decrypt in its place. seal is what
// sealOf has returned.
func openPiece(seal cipher.AEAD, name string, index uint64, piece []byte) ([]byte, error) {
	if seal == nil {
		if len(piece) < sha256.Size {
			return nil, errPiece
		}
		content, sum := piece[:len(piece)-sha256.Size], piece[len(piece)-sha256.Size:]
		if !bytes.Equal(checksum(name, index, content), sum) {
			return nil, errPiece
		}
		return content, nil
	}
	if len(piece) < seal.NonceSize() {
		return nil, errPiece
	}
	nonce, sealed := piece[:seal.NonceSize()], piece[seal.NonceSize():]
	content, err := seal.Open(sealed[:0], nonce, sealed, place(name, index))
	if err != nil {
		return nil, errPiece
	}
	return content, nil
}

// writePiece writes a guarded piece.
func (b *bodies) writePiece(write func([]byte) error, name string, index uint64, content []byte) error {
	if b.seal == nil {
		if err := write(content); err != nil {
			return err
		}
		return write(checksum(name, index, content))
	}
	buffer := <-b.scratch
	defer func() { b.scratch <- buffer }()
	nonce := buffer[:b.seal.NonceSize()]
	_, _ = rand.Read(nonce)
	return write(b.seal.Seal(nonce, nonce, content, place(name, index)))
}

// newScratch returns the buffers in which pieces are encrypted.
func newScratch() chan []byte {
	const buffers = 4
	scratch := make(chan []byte, buffers)
	for range buffers {
		scratch <- make([]byte, maxPiece)
	}
	return scratch
}

// head returns the content of the head.
func head(size int64, sum callback.Digest) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, headContent), uint64(size)), sum[:]...)
}
