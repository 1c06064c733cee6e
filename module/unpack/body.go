package unpack

import (
	"bytes"
	"errors"
	"sync"

	"github.com/caddy-callback/caddy-callback/module/memory"
)

// Body is a packed body in memory, for those who look into it. It is unpacked when the first
// one does. A nil Body cannot be looked into.
type Body struct {
	mu     sync.Mutex
	packed []byte
	limit  int64
	space  memory.Space
	// buffer has the body unpacked, and err says why it cannot be; looked says that one of
	// them is known.
	buffer *memory.Buffer
	err    error
	looked bool
	busy   bool
}

// NewBody returns a packed body, which may have at most limit bytes unpacked. They take
// memory from s until the body is released.
func NewBody(packed []byte, limit int64, s memory.Space) *Body {
	return &Body{packed: packed, limit: limit, space: s}
}

// errReleased says that a body is looked into too late.
var errReleased = errors.New("the body is not there any more")

// Bytes returns the body unpacked. Once it is released they must not be used. The error
// wraps ErrUnreadable, or is memory.ErrBusy.
func (b *Body) Bytes(coding string) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.looked {
		buffer, err := Read(coding, b.packed, b.limit, b.space)
		if errors.Is(err, memory.ErrBusy) {
			b.busy = true
			return nil, err
		}
		b.buffer, b.err, b.looked = buffer, err, true
	}
	return b.buffer.Bytes(), b.err
}

// WasBusy reports whether there was no memory for one who has looked into the body since it
// was asked last.
func (b *Body) WasBusy() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.busy
	b.busy = false
	return was
}

// Release ends the use of the body.
func (b *Body) Release() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buffer.Release()
	b.packed, b.buffer, b.err, b.looked, b.busy = nil, nil, errReleased, true, false
}

// Read returns a packed body unpacked, of at most limit bytes. The buffer is nil for an
// empty one, and must be released. The error wraps ErrUnreadable, or is memory.ErrBusy.
func Read(coding string, packed []byte, limit int64, s memory.Space) (*memory.Buffer, error) {
	most := Most(int64(len(packed)), limit)
	r, err := Open(coding, bytes.NewReader(packed), most, s)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	buffer, err := s.Read(r, -1, most)
	if errors.Is(err, memory.ErrCutShort) {
		return nil, r.err
	}
	return buffer, err
}
