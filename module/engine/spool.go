package engine

import (
	"context"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Spool keeps a body that comes piece by piece, and that a record is to refer to: in memory
// as long as it fits into a record, and from then on in a file. It takes memory for one
// piece, in any case: the work that the body is the answer to has been done. Only one
// goroutine may use it.
type Spool struct {
	store store.Store
	piece *memory.Buffer
	file  store.BodyWriter
	size  int64
	// body is what Body returns.
	body callback.Body
	err  error
}

// NewSpool begins to keep a body on behalf of a callback. It must be released.
func (e *Engine) NewSpool(id callback.UUID) *Spool {
	return &Spool{store: e.store, piece: e.memory.For(memory.OwnerOf(id)).Forced().NewBuffer()}
}

// Write implements io.Writer. Its errors are those of the store, and nothing more can be
// written after one.
func (s *Spool) Write(p []byte) (n int, err error) {
	for n < len(p) && s.err == nil {
		room := store.BodyPiece - len(s.piece.Bytes())
		if room == 0 {
			s.flush()
			continue
		}
		part := p[n:min(len(p), n+room)]
		if s.err = s.piece.Append(part, store.BodyPiece); s.err == nil {
			n += len(part)
		}
	}
	s.size += int64(n)
	return n, s.err
}

// flush writes a piece to the file.
func (s *Spool) flush() {
	if s.file == nil {
		if s.file, s.err = s.store.NewBody(context.Background()); s.err != nil {
			s.file = nil
			return
		}
	}
	_, s.err = s.file.Write(s.piece.Bytes())
	s.piece.Reset()
}

// Body returns the whole body, which can be used until the spool is released. Only a body
// that a record has come to refer to outlasts that. Nothing can be written afterwards.
func (s *Spool) Body() (callback.Body, error) {
	switch {
	case s.err != nil:
		return callback.Body{}, s.err
	case s.body.Size == s.size:
		return s.body, nil
	case s.file == nil:
		s.body = callback.NewBody(s.piece.Bytes())
		return s.body, nil
	}
	if s.flush(); s.err != nil {
		return callback.Body{}, s.err
	}
	file := s.file
	s.file = nil
	s.body, s.err = file.Commit()
	s.piece.Release()
	s.piece = nil
	return s.body, s.err
}

// Release ends the spool. A body in a file that no record refers to is removed.
func (s *Spool) Release() {
	if s.file != nil {
		s.file.Abort()
		s.file = nil
	}
	if s.body.File != "" {
		s.store.DropBody(context.Background(), s.body)
	}
	s.piece.Release()
}
