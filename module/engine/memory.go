package engine

import (
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/unpack"
)

// Errors of the limits.
var (
	// ErrBusy: a limit on counts or bytes is reached.
	ErrBusy = memory.ErrBusy
	// ErrTooLarge: the body is over the limit.
	ErrTooLarge = memory.ErrTooLarge
	// ErrCutShort: the body ended too early, or could not be read.
	ErrCutShort = memory.ErrCutShort
	// ErrTooSlow: the body did not come in time.
	ErrTooSlow = memory.ErrTooSlow
)

// Memory returns the memory for buffers of an owner. All that is buffered on behalf of one
// callback has memory.OwnerOf its id.
func (e *Engine) Memory(o memory.Owner) memory.Space { return e.memory.For(o) }

// BlindMemory returns the memory for bodies that must be read before it is known whom
// they are for. Strangers can exhaust that memory, but no other.
func (e *Engine) BlindMemory() memory.Space { return e.memory.Blind() }

// Packed returns a body for those who look into it, should it be packed. What it has
// unpacked takes memory from s until it is released.
func (e *Engine) Packed(body []byte, s memory.Space) *unpack.Body {
	return unpack.NewBody(body, e.limits.Load().MaxBody, s)
}
