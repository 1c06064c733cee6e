package hold

import (
	"io"
	"net/http"
	"testing"
)

// strictBody is a request's body that, like one of HTTP/2, allows one reader at a time. It
// has no lock: the race detector reports a second reader.
type strictBody struct {
	more  chan struct{}
	state int
}

func (b *strictBody) Read(p []byte) (int, error) {
	b.state++
	_, ok := <-b.more
	b.state++
	if !ok {
		return 0, io.EOF
	}
	return len(p), nil
}

func (b *strictBody) Close() error {
	b.state++
	return nil
}

func TestBodyIsNotDrainedWhileTheUpstreamStillReads(t *testing.T) {
	strict := &strictBody{more: make(chan struct{})}
	r := &http.Request{Body: strict}
	body := new(Handler).trackBody(r)
	read := make(chan error, 2)
	go func() {
		buf := make([]byte, 16)
		for {
			if _, err := r.Body.Read(buf); err != nil {
				read <- err
				return
			}
		}
	}()
	strict.more <- struct{}{}
	body.drain()
	if err := r.Body.Close(); err != nil {
		t.Fatal(err)
	}
	strict.more <- struct{}{}
	if err := <-read; err != errDetached {
		t.Fatalf("the reader that was too late got %v, want %v", err, errDetached)
	}
	close(strict.more)
}

func TestBodyThatIsDrainedIsNotAwaited(t *testing.T) {
	strict := &strictBody{more: make(chan struct{})}
	defer close(strict.more)
	body := new(Handler).trackBody(&http.Request{Body: strict, ContentLength: -1})
	body.drain()
	body.await(make(chan struct{}))
	if body.ends != nil {
		t.Error("it was waited for")
	}
}
