package hold

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// trackedBody notices when a request's body has been read to its end. Until then
// an HTTP/1 server does not notice a client that leaves.
type trackedBody struct {
	io.ReadCloser
	ended atomic.Bool
	// atEnd is called at its end, before the reader is told of it.
	atEnd func()

	mu sync.Mutex
	// users are in a Read or Close: the body of an HTTP/2 or HTTP/3 request does
	// not bear a second reader beside them.
	users int
	// detached says that the handlers have had their time. One that still reads
	// must not be given a body with a hole.
	detached bool
	// drained is closed when what was left has been read; nil where nothing is.
	drained chan struct{}
}

// trackBody puts a trackedBody into the request. The server has read the trailers at
// the end of the body: only then can be stripped what came in them.
func (h *Handler) trackBody(r *http.Request) *trackedBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	trailer := r.Trailer
	t := &trackedBody{ReadCloser: r.Body, atEnd: func() { h.strip(trailer) }}
	r.Body = t
	return t
}

// Read implements io.Reader.
func (t *trackedBody) Read(b []byte) (int, error) {
	if !t.enter() {
		return 0, errDetached
	}
	defer t.leave()
	n, err := t.ReadCloser.Read(b)
	if err != nil {
		t.ended.Store(true)
		t.atEnd()
	}
	return n, err
}

var errDetached = errors.New("the upstream has answered before it had read the request")

// Close implements io.Closer. A body that is drained is closed by the server.
func (t *trackedBody) Close() error {
	if !t.enter() {
		return nil
	}
	defer t.leave()
	return t.ReadCloser.Close()
}

// enter returns whether the handlers may still use the body.
func (t *trackedBody) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.detached {
		return false
	}
	t.users++
	return true
}

// leave ends what enter allowed.
func (t *trackedBody) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.users--
	t.discard()
}

// drain reads what is left of the body, beside everything else, as soon as nobody
// is in a Read or Close.
func (t *trackedBody) drain() {
	if t == nil || t.ended.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.detached, t.drained = true, make(chan struct{})
	t.discard()
}

// drainWithin is how long a client that has its answer may go on sending.
const drainWithin = 50 * time.Millisecond

// stop ends what drain has begun, before the client is answered: the server does not send
// an answer while somebody reads the body, and looks at how much there was of it then.
func (t *trackedBody) stop(w http.ResponseWriter) {
	if t == nil || t.drained == nil {
		return
	}
	select {
	case <-t.drained:
		return
	case <-time.After(drainWithin):
	}
	if http.NewResponseController(w).SetReadDeadline(time.Now()) == nil {
		<-t.drained
	}
}

// discard reads on where the handlers have left off, if they have. It happens once:
// nobody enters a body that is detached. The lock is held.
func (t *trackedBody) discard() {
	if t.detached && t.users == 0 {
		go func() {
			defer close(t.drained)
			_, _ = io.Copy(io.Discard, t.ReadCloser)
		}()
	}
}
