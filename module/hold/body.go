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
	// atEnd is called at the end of the body, before Read reports the end.
	atEnd func()

	mu sync.Mutex
	// users counts the calls of Read and Close that are running: the body of an
	// HTTP/2 or HTTP/3 request must not be read by two goroutines at once.
	users int
	// detached says that the handlers may no longer read: drain has taken over, and
	// a late Read must fail rather than skip bytes.
	detached bool
	// drained is closed when the rest of the body has been read; nil if drain has
	// not started.
	drained chan struct{}
}

// trackBody puts a trackedBody into the request. The trailers can only be stripped at
// the end of the body, when the server has read them.
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

var errDetached = errors.New("the upstream answered before it read the whole request body")

// Close implements io.Closer. A body that is drained is closed by the server.
func (t *trackedBody) Close() error {
	if !t.enter() {
		return nil
	}
	defer t.leave()
	return t.ReadCloser.Close()
}

// enter registers a user of the body. It returns false if the handlers may no longer
// use it.
func (t *trackedBody) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.detached {
		return false
	}
	t.users++
	return true
}

// leave ends a use that enter allowed.
func (t *trackedBody) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.users--
	t.discard()
}

// drain reads the rest of the body in the background, as soon as no Read or Close is
// running.
func (t *trackedBody) drain() {
	if t == nil || t.ended.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.detached, t.drained = true, make(chan struct{})
	t.discard()
}

// drainWithin is how long the client may go on sending its body when its answer is
// ready.
const drainWithin = 50 * time.Millisecond

// stop ends what drain has begun, before the client is answered: the server does not send
// an answer while the body is being read, and then checks how much of it was read.
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

// discard reads on where the handlers stopped, if the body is detached and has no users.
// It starts at most once: nobody can enter a detached body. t.mu must be locked.
func (t *trackedBody) discard() {
	if t.detached && t.users == 0 {
		go func() {
			defer close(t.drained)
			_, _ = io.Copy(io.Discard, t.ReadCloser)
		}()
	}
}
