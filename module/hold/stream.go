package hold

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/answer"
)

const (
	// stalledFor is how long a client may take to take a piece of an event stream.
	stalledFor = 10 * time.Second
	// exitGrace is how long it may take for that once Caddy exits, and exitRepeat how often
	// it is cut off after that.
	exitGrace  = 500 * time.Millisecond
	exitRepeat = 20 * time.Millisecond
	// smallPiece suffices for what has no data, and largePiece is the most memory that an
	// event takes.
	smallPiece = 128
	largePiece = 16 << 10
)

// stream writes events to a client. One that does not take them is cut off, so that it keeps
// neither memory nor Caddy's exit.
type stream struct {
	w http.ResponseWriter
	// control bounds what the stream writes itself. connection does so from another
	// goroutine, below the writers of Caddy's, which do not allow that.
	control, connection *http.ResponseController
	exit                <-chan struct{}
	// broken says that the client has gone, or has seen half of an event.
	broken bool
}

// newStream begins the answer.
func newStream(w http.ResponseWriter, r *http.Request, exit <-chan struct{}) *stream {
	s := &stream{w: w, control: http.NewResponseController(w), exit: exit}
	s.connection = s.control
	if _, idle := caddyhttp.IdleTimeoutsFromContext(r.Context()); idle != nil {
		s.connection = idle.Ctrl
	}
	h := w.Header()
	h.Set("Content-Type", answer.EventStream)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Add("Vary", "Accept")
	w.WriteHeader(http.StatusOK)
	return s
}

// Write implements io.Writer. The client has some time for each piece.
func (s *stream) Write(b []byte) (int, error) {
	_ = s.control.SetWriteDeadline(time.Now().Add(stalledFor))
	return s.w.Write(b)
}

// mark tells the client the id that it comes back with.
func (s *stream) mark(id answer.EventID) {
	s.send(make([]byte, smallPiece), func(e *answer.Events) error { return e.Mark(id.String()) })
}

// ping shows that the connection still stands, to all that is in between, too.
func (s *stream) ping() {
	s.send(make([]byte, smallPiece), (*answer.Events).Comment)
}

// event tells the client an event with that data, which is text.
func (s *stream) event(name string, id answer.EventID, data []byte) {
	s.send(make([]byte, smallPiece+len(data)), func(e *answer.Events) error {
		return e.Event(name, id.String(), bytes.NewReader(data), false)
	})
}

// base64 follows the name of an event whose data is base64.
const base64 = "-base64"

// body tells the client an event whose data open opens, and which may be no text. The error is
// that of the data, if nothing was told.
func (s *stream) body(name string, id answer.EventID, piece []byte, open func() (io.ReadCloser, error)) error {
	data, err := open()
	if err != nil {
		return err
	}
	text, err := answer.IsText(data, piece)
	if closing := data.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	if !text {
		name += base64
	}
	if data, err = open(); err != nil {
		return err
	}
	defer func() { _ = data.Close() }()
	s.send(piece, func(e *answer.Events) error { return e.Event(name, id.String(), data, !text) })
	return nil
}

// send writes to the client with that piece of memory, and makes sure that it gets it.
func (s *stream) send(piece []byte, write func(*answer.Events) error) {
	if s.broken {
		return
	}
	stop := s.cutAtExit()
	defer stop()
	err := write(answer.NewEvents(s, piece))
	if err == nil {
		err = s.control.Flush()
	}
	// A deadline that passes would end the stream of HTTP/2 even if nothing is written.
	_ = s.control.SetWriteDeadline(time.Time{})
	s.broken = err != nil && !errors.Is(err, http.ErrNotSupported)
}

// cutAtExit cuts the client off if Caddy exits while it is written to, until stop is called.
func (s *stream) cutAtExit() (stop func()) {
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-s.exit:
		case <-stopped:
			return
		}
		// A writer of Caddy's may set a deadline of its own at any time.
		for wait := exitGrace; ; wait = exitRepeat {
			select {
			case <-time.After(wait):
				_ = s.connection.SetWriteDeadline(time.Now())
			case <-stopped:
				return
			}
		}
	}()
	return func() {
		close(stopped)
		<-ended
	}
}
