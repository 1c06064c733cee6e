package upstream

import (
	"io"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
)

// Room is how much is kept of the body of an answer, and where. A negative number of bytes
// means that none is kept.
type Room struct {
	// Kept is for an answer that is kept from the client or weighed, Passed for one that is
	// passed on to it.
	Kept, Passed int64
	// Drained is how many bytes are read of an answer, and thrown away, that nobody needs
	// any more.
	Drained int64
	// Space is the memory for what is looked into.
	Space memory.Space
	// Spool begins to keep a body that is needed as a whole.
	Spool func() Spool
}

// Spool keeps a body as it comes. Nothing more is written to it after an error.
type Spool interface {
	io.Writer
	// Body returns the whole body, which can be used until the spool is released.
	Body() (callback.Body, error)
	// Release ends the spool, and removes what nobody has taken of it.
	Release()
}

// kept is what is kept of the body of an answer.
type kept struct {
	room *Room
	// read holds a body that is looked into, spool one that is only needed as a whole; nil
	// for an empty one.
	read  *memory.Buffer
	spool Spool
	size  int64
	// lost is why the body could not be kept.
	lost error
}

// bytes returns the body of an answer that is looked into.
func (k *kept) bytes() []byte { return k.read.Bytes() }

// add keeps more of a body that is looked into, of at most limit bytes. After an error
// nothing has changed.
func (k *kept) add(b []byte, limit int64) error {
	if len(b) == 0 {
		return nil
	}
	if k.read == nil {
		k.read = k.room.Space.NewBuffer()
	}
	return k.read.Append(b, limit)
}

// toRead is add where nothing is kept after an error.
func (k *kept) toRead(b []byte, limit int64) {
	if limit < 0 || k.lost != nil {
		return
	}
	if err := k.add(b, limit); err != nil {
		k.lose(err)
	}
}

// toSpool keeps more of a body that is needed as a whole, of at most limit bytes.
func (k *kept) toSpool(b []byte, limit int64) {
	switch {
	case limit < 0 || k.lost != nil || len(b) == 0:
		return
	case k.size+int64(len(b)) > limit:
		k.lose(memory.ErrTooLarge)
		return
	case k.spool == nil:
		k.spool = k.room.Spool()
	}
	n, err := k.spool.Write(b)
	if k.size += int64(n); err != nil {
		k.lose(err)
	}
}

// move puts what was looked into where it is needed as a whole.
func (k *kept) move(limit int64) {
	k.toSpool(k.bytes(), limit)
	k.read.Release()
	k.read = nil
}

// whole returns the whole body.
func (k *kept) whole() (callback.Body, error) {
	if k.move(k.room.Kept); k.lost != nil || k.spool == nil {
		return callback.Body{}, k.lost
	}
	return k.spool.Body()
}

// lose gives up what is kept.
func (k *kept) lose(err error) {
	k.drop()
	k.lost = err
}

// drop lets go of what is kept.
func (k *kept) drop() {
	if k.spool != nil {
		k.spool.Release()
		k.spool = nil
	}
	k.read.Release()
	k.read = nil
}
