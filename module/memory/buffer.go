package memory

import (
	"errors"
	"io"
	"os"
)

// Errors of filling a buffer.
var (
	// ErrTooLarge: the content is over the limit.
	ErrTooLarge = errors.New("the body is over the limit")
	// ErrCutShort: the content ended too early, or could not be read.
	ErrCutShort = errors.New("the body was cut short")
	// ErrTooSlow: the content did not come in time.
	ErrTooSlow = errors.New("the body came too slowly")
)

const (
	// firstBytes is what every buffer has room for without a further allocation. A sender
	// that has sent nothing takes no memory, and one that has sent less takes this much.
	firstBytes = 512
	// boldly is the size up to which a buffer grows eightfold, so that a body of the usual
	// size is copied once. Above, what is taken is at most twice what has come.
	boldly = 8 << 10
)

// Buffer holds bytes, and the memory that they take. It can be used as long as it has
// users, as its Lease has. A nil Buffer is empty. Only one goroutine may fill it.
type Buffer struct {
	lease Lease
	data  []byte
	first [firstBytes]byte
	probe [1]byte
}

// NewBuffer returns an empty buffer, which takes no memory yet. It must be released.
func (s Space) NewBuffer() *Buffer {
	b := new(Buffer)
	b.lease.begin(s)
	return b
}

// Make returns a buffer of n bytes. The error is ErrBusy.
func (s Space) Make(n int) (*Buffer, error) {
	b := s.NewBuffer()
	if err := b.lease.resize(int64(n)); err != nil {
		return nil, err
	}
	b.data = make([]byte, n)
	return b, nil
}

// Edit returns a buffer with what edit makes of the content of another, which is nil for an
// empty one and stays as it is. There is room for grow bytes more than that. The errors are
// ErrBusy and those of edit.
func (s Space) Edit(b *Buffer, grow int, edit func(room, content []byte) ([]byte, error)) (*Buffer, error) {
	edited, err := s.Make(len(b.Bytes()) + grow)
	if err != nil {
		return nil, err
	}
	edited.data, err = edit(edited.data[:0], b.Bytes())
	if err == nil {
		err = edited.lease.resize(int64(cap(edited.data)))
	}
	if err != nil {
		edited.Release()
		return nil, err
	}
	return edited, nil
}

// Read reads a body of at most limit bytes, and takes memory for it as its bytes come.
// length is the announced length, or negative. Errors are ErrTooLarge, ErrCutShort,
// ErrTooSlow and ErrBusy. The buffer is nil for an empty body, and must be released.
func (s Space) Read(body io.Reader, length, limit int64) (*Buffer, error) {
	if length > limit {
		return nil, ErrTooLarge
	}
	if body == nil || length == 0 {
		return nil, nil
	}
	b := s.NewBuffer()
	if length < 0 {
		length = limit
	}
	err := b.fill(body, length)
	if err != nil || len(b.data) == 0 {
		b.Release()
		return nil, err
	}
	return b, nil
}

// fill reads to the end of a body that has at most that many bytes.
func (b *Buffer) fill(body io.Reader, largest int64) error {
	b.data = b.first[:0:min(firstBytes, largest)]
	for {
		room := b.data[len(b.data):cap(b.data)]
		full := len(room) == 0
		if full {
			// Without room, the end does not show.
			room = b.probe[:]
		}
		n, err := body.Read(room)
		switch {
		case n > 0 && full:
			return ErrTooLarge
		case n > 0 && b.lease.bytes == 0:
			if err := b.lease.resize(firstBytes); err != nil {
				return err
			}
		}
		b.data = b.data[:len(b.data)+n]
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return ErrTooSlow
		case err != nil:
			return ErrCutShort
		case len(b.data) == cap(b.data) && int64(cap(b.data)) < largest:
			if err := b.grow(int64(cap(b.data))+1, next(int64(cap(b.data)), largest)); err != nil {
				return err
			}
		}
	}
}

// next returns the size to which a full buffer grows.
func next(size, largest int64) int64 {
	if size > boldly {
		return min(2*size, largest)
	}
	if size *= 8; 2*size >= largest {
		return largest
	}
	return size
}

// grow moves the content to where there is room for size bytes, of which need are needed.
func (b *Buffer) grow(need, size int64) error {
	if sure := b.lease.space.sure; need <= sure {
		size = min(size, sure)
	}
	if err := b.Reserve(size); err != nil {
		return err
	}
	b.data = append(make([]byte, 0, size), b.data...)
	return nil
}

// Append adds bytes. The error is ErrTooLarge if there would be more than limit, or
// ErrBusy; the buffer is unchanged then.
func (b *Buffer) Append(p []byte, limit int64) error {
	need := int64(len(b.data) + len(p))
	switch {
	case need > limit:
		return ErrTooLarge
	case need > int64(cap(b.data)) && need > firstBytes:
		if err := b.grow(need, max(need, min(2*int64(cap(b.data)), limit))); err != nil {
			return err
		}
	case b.data == nil:
		if err := b.Reserve(firstBytes); err != nil {
			return err
		}
		b.data = b.first[:0]
	}
	b.data = append(b.data, p...)
	return nil
}

// Reserve takes memory for that many bytes in advance, so that Append does not fail for
// want of it.
func (b *Buffer) Reserve(n int64) error { return b.lease.resize(max(n, b.lease.bytes)) }

// Reset empties the buffer, and keeps its memory.
func (b *Buffer) Reset() { b.data = b.data[:0] }

// Bytes returns the content. It must not be used once the buffer has no more users.
func (b *Buffer) Bytes() []byte {
	if b == nil {
		return nil
	}
	return b.data
}

// Lease returns the memory that the buffer takes.
func (b *Buffer) Lease() *Lease {
	if b == nil {
		return nil
	}
	return &b.lease
}

// Retain adds a user.
func (b *Buffer) Retain() { b.Lease().Retain() }

// Release ends the use by one user.
func (b *Buffer) Release() { b.Lease().Release() }
