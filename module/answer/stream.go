package answer

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// stalledFor is how long a client may take to take a piece of an event stream.
	stalledFor = 10 * time.Second
	// exitGrace is how long it may take for that once Caddy exits, and exitRepeat how often
	// it is cut off after that.
	exitGrace  = 500 * time.Millisecond
	exitRepeat = 20 * time.Millisecond
)

const (
	// SmallPiece suffices for an event without data, in bytes.
	SmallPiece = 128
	// LargePiece is the most memory that an event takes, in bytes.
	LargePiece = 16 << 10
	// PingEvery is how often a client is written to even if there is nothing to tell.
	PingEvery = 15 * time.Second
)

// Stream writes events to a client. One that does not take them is cut off, so that it keeps
// neither memory nor Caddy's exit.
type Stream struct {
	w http.ResponseWriter
	// control bounds what the stream writes itself. connection does so from another
	// goroutine, below the writers of Caddy's, which do not allow that.
	control, connection *http.ResponseController
	exit                <-chan struct{}
	// broken says that the client has gone, or has seen half of an event.
	broken bool
}

// NewStream begins the answer. Connection is below the writers of Caddy's; nil if there are
// none. Exit is closed when Caddy exits.
func NewStream(w http.ResponseWriter, connection *http.ResponseController, exit <-chan struct{}) *Stream {
	s := &Stream{w: w, control: http.NewResponseController(w), connection: connection, exit: exit}
	if s.connection == nil {
		s.connection = s.control
	}
	h := w.Header()
	h.Set("Content-Type", EventStream)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	return s
}

// Broken reports whether the client has gone, or has seen half of an event.
func (s *Stream) Broken() bool { return s.broken }

// Write implements io.Writer. The client has some time for each piece.
func (s *Stream) Write(b []byte) (int, error) {
	_ = s.control.SetWriteDeadline(time.Now().Add(stalledFor))
	return s.w.Write(b)
}

// Mark tells the client the id that it comes back with.
func (s *Stream) Mark(id string) {
	s.send(make([]byte, SmallPiece), func(e *Events) error { return e.Mark(id) })
}

// Ping shows that the connection still stands, to all that is in between, too.
func (s *Stream) Ping() {
	s.send(make([]byte, SmallPiece), (*Events).Comment)
}

// Event tells the client an event with that data, which is text.
func (s *Stream) Event(name, id string, data []byte) {
	s.send(make([]byte, SmallPiece+len(data)), func(e *Events) error {
		return e.Event(name, id, bytes.NewReader(data), false)
	})
}

// base64Suffix follows the name of an event whose data is base64.
const base64Suffix = "-base64"

// Body tells the client an event whose data open opens, and which may be no text. The error is
// that of the data, if nothing was told.
func (s *Stream) Body(name, id string, piece []byte, open func() (io.ReadCloser, error)) error {
	data, err := open()
	if err != nil {
		return err
	}
	text, err := IsText(data, piece)
	if closing := data.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	if !text {
		name += base64Suffix
	}
	if data, err = open(); err != nil {
		return err
	}
	defer func() { _ = data.Close() }()
	s.send(piece, func(e *Events) error { return e.Event(name, id, data, !text) })
	return nil
}

// send writes to the client with that piece of memory, and makes sure that it gets it.
func (s *Stream) send(piece []byte, write func(*Events) error) {
	if s.broken {
		return
	}
	stop := s.cutAtExit()
	defer stop()
	err := write(NewEvents(s, piece))
	if err == nil {
		err = s.control.Flush()
	}
	// A deadline that passes would end the stream of HTTP/2 even if nothing is written.
	_ = s.control.SetWriteDeadline(time.Time{})
	s.broken = err != nil && !errors.Is(err, http.ErrNotSupported)
}

// cutAtExit cuts the client off if Caddy exits while it is written to, until stop is called.
func (s *Stream) cutAtExit() (stop func()) {
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
