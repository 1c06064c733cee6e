package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
)

// client is a ResponseWriter that remembers what a client would see.
type client struct {
	header http.Header
	// seen has each status with the value of X-From at that moment.
	seen    []string
	body    strings.Builder
	flushed int
	err     error
}

func newClient() *client { return &client{header: http.Header{"X-From": {"site"}}} }

func (c *client) Header() http.Header { return c.header }
func (c *client) WriteHeader(status int) {
	c.seen = append(c.seen, fmt.Sprintf("%d %s", status, strings.Join(c.header["X-From"], ",")))
}
func (c *client) Write(b []byte) (int, error) {
	c.body.Write(b)
	return len(b), c.err
}
func (c *client) FlushError() error {
	c.flushed++
	return nil
}

// newRecorder returns a writer that accepts the given statuses as an ack.
func newRecorder(w *client, keep int64, acks ...int) *recorder {
	rec := &recorder{
		ctx: context.Background(), client: w, header: w.Header().Clone(), room: newHouse().room(keep, 0),
		passing: make(chan struct{}), ready: make(chan struct{}), stop: func() {}, loan: new(loan), judge: keeps(acks...),
	}
	rec.kept.room = &rec.room
	return rec
}

// keeps returns a judge that keeps answers with the given statuses.
func keeps(acks ...int) Judge {
	return judge{head: func(status int) Fate {
		if slices.Contains(acks, status) {
			return Kept
		}
		return Passed
	}}
}

// judge decides by its functions.
type judge struct {
	head func(status int) Fate
	body func(*Answer) Fate
}

func (j judge) Head(status int, _ http.Header) Fate { return j.head(status) }
func (j judge) Body(a *Answer) Fate                 { return j.body(a) }

// responseOf returns what was recorded as it is stored.
func responseOf(rec *recorder) (*callback.Response, error) {
	done := make(chan struct{})
	close(done)
	return (&Call{recorder: rec, done: done}).Response()
}

func TestAckIsKeptFromTheClient(t *testing.T) {
	w := newClient()
	a := newRecorder(w, 100, 202)
	a.Header().Set("X-From", "upstream")
	a.Header().Set("Connection", "close")
	a.WriteHeader(202)
	a.WriteHeader(500)
	for range 2 {
		if n, err := a.Write([]byte("ack")); n != 3 || err != nil {
			t.Errorf("wrote %d: %v", n, err)
		}
	}
	a.Flush()
	if len(w.seen) != 0 || w.body.Len() != 0 || w.flushed != 0 || w.header.Get("X-From") != "site" || isClosed(a.passing) {
		t.Errorf("the client saw %v and %q, header %v", w.seen, w.body.String(), w.header)
	}
	ack, err := responseOf(a)
	if err != nil || ack.Status != 202 || string(ack.Body.Data) != "ackack" || len(ack.Header) != 1 || ack.Header.Get("X-From") != "upstream" {
		t.Errorf("kept is %+v", ack)
	}
}

func TestOtherAnswersArePassedAsTheyCome(t *testing.T) {
	w := newClient()
	a := newRecorder(w, 100, 202)
	a.Header().Set("X-From", "upstream")
	a.WriteHeader(404)
	if !isClosed(a.passing) {
		t.Error("nobody was told that the answer is passed on")
	}
	_, _ = a.Write([]byte("not "))
	a.Flush()
	_, _ = a.Write([]byte("found"))
	a.Header().Set("Trailer-To-Come", "1")
	a.WriteHeader(500)
	if !slices.Equal(w.seen, []string{"404 upstream"}) || w.body.String() != "not found" || w.flushed != 1 {
		t.Errorf("the client saw %v and %q, flushed %d times", w.seen, w.body.String(), w.flushed)
	}
	if w.header.Get("Trailer-To-Come") != "1" {
		t.Error("the trailer is lost")
	}
}

func TestErrorOfTheClientReachesTheUpstream(t *testing.T) {
	w := newClient()
	w.err = errors.New("gone")
	a := newRecorder(w, 100)
	if _, err := a.Write([]byte("x")); err != w.err {
		t.Errorf("error is %v", err)
	}
}

func TestBodyWithoutAStatusIsOK(t *testing.T) {
	for _, acks := range [][]int{{200}, {202}} {
		w := newClient()
		a := newRecorder(w, 100, acks...)
		_, _ = a.Write([]byte("x"))
		if passed := acks[0] != 200; a.passed != passed || !passed && a.status != 200 {
			t.Errorf("with ack %v: passed %v, status %d", acks, a.passed, a.status)
		}
	}
}

func TestInterimAnswersPassBeforeAnyOther(t *testing.T) {
	for _, final := range []int{202, 404} {
		w := newClient()
		a := newRecorder(w, 100, 202)
		a.Header().Set("X-From", "hint")
		a.WriteHeader(103)
		if w.header.Get("X-From") != "site" {
			t.Error("the header of an interim answer stays")
		}
		a.Header().Set("X-From", "second hint")
		a.WriteHeader(102)
		a.Header().Set("X-From", "upstream")
		a.WriteHeader(final)
		a.WriteHeader(103)
		want := []string{"103 hint", "102 second hint"}
		if final == 404 {
			want = append(want, "404 upstream")
		}
		if !slices.Equal(w.seen, want) {
			t.Errorf("the client saw %v, want %v", w.seen, want)
		}
	}
}

func TestAckIsKeptUpToALimit(t *testing.T) {
	for name, c := range map[string]struct {
		keep   int64
		writes []string
		body   string
		lost   error
	}{
		"empty":           {4, nil, "", nil},
		"full":            {4, []string{"ab", "cd"}, "abcd", nil},
		"one too many":    {4, []string{"ab", "cde"}, "", memory.ErrTooLarge},
		"more after":      {4, []string{"abcde", "f"}, "", memory.ErrTooLarge},
		"nothing to do":   {-1, []string{"abc"}, "", nil},
		"nothing allowed": {0, []string{"a"}, "", memory.ErrTooLarge},
	} {
		for _, fate := range []Fate{Kept, KeptRead} {
			a := newRecorder(newClient(), c.keep)
			a.judge = always(fate)
			a.WriteHeader(202)
			for _, b := range c.writes {
				if n, err := a.Write([]byte(b)); n != len(b) || err != nil {
					t.Errorf("%s: wrote %d: %v", name, n, err)
				}
			}
			if got := string(a.kept.bytes()); fate == KeptRead && got != c.body {
				t.Errorf("%s: there is %q to be looked into", name, got)
			}
			got, err := responseOf(a)
			if !errors.Is(err, c.lost) || err == nil && string(got.Body.Data) != c.body {
				t.Errorf("%s: kept is %+v, %v", name, got, err)
			}
		}
	}
}

func TestLostUpstreamIsNeitherPassedNorAnAck(t *testing.T) {
	for _, c := range []struct {
		status    int
		cancelled bool
		gateway   int
		passed    bool
	}{
		{http.StatusBadGateway, false, http.StatusBadGateway, false},
		{http.StatusGatewayTimeout, false, http.StatusGatewayTimeout, false},
		{http.StatusServiceUnavailable, false, 0, true},
		{StatusClientClosed, false, 0, true},
		{StatusClientClosed, true, http.StatusGatewayTimeout, false},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if c.cancelled {
			cancel()
		}
		w := newClient()
		a := newRecorder(w, 100, 202)
		a.ctx = ctx
		a.WriteHeader(c.status)
		_, _ = a.Write([]byte("lost"))
		if a.gateway != c.gateway || a.passed != c.passed || (w.body.Len() > 0) != c.passed || a.status != 0 && !c.passed {
			t.Errorf("%d, cancelled %v: gateway %d, passed %v, status %d", c.status, c.cancelled, a.gateway, a.passed, a.status)
		}
	}
}

func TestGatewayStatusCanBeAnAck(t *testing.T) {
	a := newRecorder(newClient(), 100, http.StatusBadGateway)
	a.WriteHeader(http.StatusBadGateway)
	if a.status != http.StatusBadGateway || a.gateway != 0 || a.passed {
		t.Errorf("status %d, gateway %d, passed %v", a.status, a.gateway, a.passed)
	}
}
