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

	// end is the error that the body has ended with, and ends is closed then. A body that
	// is empty may be left unread.
	once  sync.Once
	end   error
	ends  chan struct{}
	empty bool

	mu sync.Mutex
	// users counts the calls of Read and Close that are running: the body of an
	// HTTP/2 or HTTP/3 request must not be read by two goroutines at once.
	users int
	// detached says that the handlers may no longer read: drain has taken over, and
	// a late Read must fail rather than skip bytes.
	detached bool
	// drained is closed when nobody uses the body any more, and its rest has been read;
	// nil if drain has not started.
	drained chan struct{}
}

// trackBody puts a trackedBody into the request. The trailers can only be stripped at
// the end of the body, when the server has read them.
func (h *Handler) trackBody(r *http.Request) *trackedBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	trailer := r.Trailer
	t := &trackedBody{ReadCloser: r.Body, atEnd: func() { h.strip(trailer) }, ends: make(chan struct{}), empty: r.ContentLength == 0}
	r.Body = t
	return t
}

// Read implements io.Reader.
func (t *trackedBody) Read(b []byte) (int, error) {
	switch {
	case t.ended.Load():
		// Readers ask again after the end.
		return 0, t.end
	case !t.enter():
		return 0, errDetached
	}
	defer t.leave()
	n, err := t.ReadCloser.Read(b)
	if err != nil {
		t.once.Do(func() {
			t.atEnd()
			t.end = err
			t.ended.Store(true)
			close(t.ends)
		})
	}
	return n, err
}

// read returns a channel that is closed when the body has been read to its end.
func (t *trackedBody) read() <-chan struct{} {
	if t == nil || t.empty {
		ended := make(chan struct{})
		close(ended)
		return ended
	}
	return t.ends
}

var errDetached = errors.New("the upstream answered before it read the whole request body")

// await gives the handlers the time to read what is left of a body that has arrived: an
// upstream whose request breaks off takes it for void. It waits no longer than done.
func (t *trackedBody) await(done <-chan struct{}) {
	if t == nil || t.empty || t.ended.Load() {
		return
	}
	timer := time.NewTimer(drainWithin)
	defer timer.Stop()
	select {
	case <-t.ends:
	case <-done:
	case <-timer.C:
	}
}

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

// drain takes the body from the handlers, and reads its rest in the background, as soon as
// no Read or Close is running.
func (t *trackedBody) drain() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.detached {
		return
	}
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
	switch {
	case !t.detached || t.users > 0:
	case t.ended.Load():
		close(t.drained)
	default:
		go func() {
			defer close(t.drained)
			_, _ = io.Copy(io.Discard, t.ReadCloser)
		}()
	}
}
