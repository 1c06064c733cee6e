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
	// h strips the trailer at the end of the body, before Read reports the end.
	h       *Handler
	trailer http.Header

	// end is the error that the body has ended with. A body that is empty may be left unread.
	once  sync.Once
	end   error
	empty bool

	mu sync.Mutex
	// ends is closed when the body ends; nil if nobody waits for that.
	ends chan struct{}
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
	t := &trackedBody{ReadCloser: r.Body, h: h, trailer: r.Trailer, empty: r.ContentLength == 0}
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
		t.once.Do(func() { t.finish(err) })
	}
	return n, err
}

// finish notes the end of the body.
func (t *trackedBody) finish(err error) {
	t.h.strip(t.trailer)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = err
	t.ended.Store(true)
	if t.ends != nil {
		close(t.ends)
	}
}

// read returns a channel that is closed when the body has been read to its end.
func (t *trackedBody) read() <-chan struct{} {
	if t == nil || t.empty {
		return hasEnded
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ended.Load():
		return hasEnded
	case t.ends == nil:
		t.ends = make(chan struct{})
	}
	return t.ends
}

// hasEnded is the channel of every body that is empty.
var hasEnded = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

var errDetached = errors.New("the upstream answered before it read the whole request body")

// await gives the handlers the time to read what is left of a body that has arrived: an
// upstream whose request breaks off takes it for void. It waits no longer than done.
func (t *trackedBody) await(done <-chan struct{}) {
	if t == nil || t.empty || t.ended.Load() || t.isDetached() {
		return
	}
	timer := time.NewTimer(drainWithin)
	defer timer.Stop()
	select {
	case <-t.read():
	case <-done:
	case <-timer.C:
	}
}

// isDetached reports whether the handlers may no longer read.
func (t *trackedBody) isDetached() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.detached
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
	t.detached, t.drained = true, hasEnded
	if t.users > 0 || !t.ended.Load() {
		t.drained = make(chan struct{})
		t.discard()
	}
}

// drainWithin is how long the client may go on sending its body when its answer is
// ready.
const drainWithin = 50 * time.Millisecond

// stop ends what drain has begun, before the client is answered: the server does not send
// an answer while the body is being read, and then checks how much of it was read.
func (t *trackedBody) stop(w http.ResponseWriter) {
	if t == nil || t.drained == nil || isClosed(t.drained) {
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

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
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
