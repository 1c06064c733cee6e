package engine

import (
	"errors"
	"io"
	"sync/atomic"
)

// Errors of reading a body.
var (
	// ErrTooLarge: the body is over the limit.
	ErrTooLarge = errors.New("the body is over the limit")
	// ErrCutShort: the body ended too early, or could not be read.
	ErrCutShort = errors.New("the body was cut short")
)

// memory counts the bytes of the bodies that are buffered.
type memory struct {
	limit atomic.Int64
	used  atomic.Int64
}

func (m *memory) reserve(n int64) bool {
	if m.used.Add(n) > m.limit.Load() {
		m.used.Add(-n)
		return false
	}
	return true
}

// Lease is the memory that a body takes. It counts as used until all users of the body
// have released it. A nil Lease holds no memory.
type Lease struct {
	memory *memory
	bytes  int64
	users  atomic.Int32
}

// Retain adds a user.
func (l *Lease) Retain() {
	if l != nil {
		l.users.Add(1)
	}
}

// Release ends the use by one user.
func (l *Lease) Release() {
	if l != nil && l.users.Add(-1) == 0 {
		l.memory.used.Add(-l.bytes)
	}
}

// firstBuffer is what is allocated before anything was read, whatever length the sender
// claims.
const firstBuffer = 16 << 10

// ReadBody reads a body of at most limit bytes, and takes memory for it as it
// grows. length is the announced length, or negative. Errors are ErrTooLarge,
// ErrCutShort, and ErrBusy if there is no memory left. The lease, nil for an
// empty body, must be released.
func (e *Engine) ReadBody(body io.Reader, length, limit int64) ([]byte, *Lease, error) {
	return e.memory.readBody(body, length, limit)
}

// maxBlind bounds a body that is read by ReadBlind, in bytes.
const maxBlind = 1 << 20

// ReadBlind is ReadBody for a body from a sender that has proved nothing: its limit is
// at most maxBlind, and its memory is set aside for such bodies.
func (e *Engine) ReadBlind(body io.Reader, length, limit int64) ([]byte, *Lease, error) {
	return e.blind.readBody(body, length, min(limit, maxBlind))
}

func (m *memory) readBody(body io.Reader, length, limit int64) ([]byte, *Lease, error) {
	if length > limit {
		return nil, nil, ErrTooLarge
	}
	if body == nil || length == 0 {
		return nil, nil, nil
	}
	lease := &Lease{memory: m}
	lease.users.Store(1)
	data, err := lease.read(body, length, limit)
	if err != nil || len(data) == 0 {
		lease.Release()
		return nil, nil, err
	}
	return data, lease, nil
}

// read reads to the end, into a buffer that grows only as bytes arrive. The buffer is
// one byte larger than the body may be, so that the end, or one byte too many, shows.
func (l *Lease) read(body io.Reader, length, limit int64) ([]byte, error) {
	largest := limit + 1
	if length >= 0 {
		largest = length + 1
	}
	data, err := l.grow(nil, min(firstBuffer, largest))
	for err == nil {
		var n int
		n, err = body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > limit:
			return nil, ErrTooLarge
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return nil, ErrCutShort
		case len(data) == cap(data):
			data, err = l.grow(data, min(2*int64(cap(data)), largest))
		}
	}
	return nil, err
}

// grow returns data in a buffer of the given size, if there is memory for that.
func (l *Lease) grow(data []byte, size int64) ([]byte, error) {
	if size <= int64(cap(data)) {
		return nil, ErrTooLarge
	}
	if !l.memory.reserve(size - l.bytes) {
		return nil, ErrBusy
	}
	l.bytes = size
	return append(make([]byte, 0, size), data...), nil
}
