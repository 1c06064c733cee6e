package answer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/caddy-callback/caddy-callback/module/memory"
)

// sender is a body that comes in pieces, one after each pause. It keeps to the deadline that
// was set, as a connection does.
type sender struct {
	http.ResponseWriter
	pieces   []int
	pause    time.Duration
	deadline time.Time
}

func (s *sender) SetReadDeadline(at time.Time) error {
	s.deadline = at
	return nil
}

func (s *sender) Read(b []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	pause := s.pause
	if left := time.Until(s.deadline); !s.deadline.IsZero() && left < pause {
		time.Sleep(left)
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(pause)
	n := min(s.pieces[0], len(b))
	if s.pieces[0] -= n; s.pieces[0] == 0 {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func TestBodyMustNotComeTooSlowly(t *testing.T) {
	for name, c := range map[string]struct {
		pieces []int
		pause  time.Duration
		within time.Duration
		err    error
		took   time.Duration
	}{
		"nothing":                     {[]int{1}, time.Hour, 0, memory.ErrTooSlow, arrivalPeriod},
		"a bit each second":           {[]int{100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100}, time.Second, 0, memory.ErrTooSlow, arrivalPeriod},
		"a small body in time":        {[]int{100, 100}, 4 * time.Second, 0, nil, 8 * time.Second},
		"2 KiB in a second, for long": {pieces(600, 512), time.Second / 4, 0, nil, 150 * time.Second},
		"the same, with a limit":      {pieces(600, 512), time.Second / 4, time.Minute, memory.ErrTooSlow, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sender{ResponseWriter: httptest.NewRecorder(), pieces: c.pieces, pause: c.pause}
				r := httptest.NewRequest(http.MethodPost, "/", s)
				r.ContentLength = -1
				var pool memory.Pool
				pool.SetLimits(1<<20, 1<<20)
				began := time.Now()
				b, err := ReadBody(s, r, pool.For(memory.Nobody), c.within, 1<<20)
				defer b.Release()
				if !errors.Is(err, c.err) {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
				if took := time.Since(began); c.took != 0 && took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				if err == nil && !s.deadline.IsZero() {
					t.Error("the deadline stays")
				}
				if closes := s.Header().Get("Connection") == "close"; closes != (err != nil) {
					t.Errorf("%v, and the connection is closed: %v", err, closes)
				}
			})
		})
	}
}

func TestBeginningOfABodyMustNotComeTooSlowly(t *testing.T) {
	for name, c := range map[string]struct {
		pieces []int
		pause  time.Duration
		err    error
		took   time.Duration
		n      int
	}{
		"nothing":            {[]int{1}, time.Hour, memory.ErrTooSlow, arrivalPeriod, 0},
		"an empty body":      {nil, time.Hour, nil, 0, 0},
		"a small body":       {[]int{100, 100}, 4 * time.Second, nil, 8 * time.Second, 200},
		"one that is full":   {[]int{300, 212}, time.Second, nil, 2 * time.Second, 512},
		"a large one":        {pieces(600, 500), time.Second, nil, 2 * time.Second, 512},
		"a bit now and then": {pieces(600, 1), 3 * time.Second, memory.ErrTooSlow, arrivalPeriod, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sender{ResponseWriter: httptest.NewRecorder(), pieces: c.pieces, pause: c.pause}
				r := httptest.NewRequest(http.MethodPost, "/", s)
				began := time.Now()
				begin, err := Peek(s, r, make([]byte, 512), time.Minute)
				if !errors.Is(err, c.err) || len(begin) != c.n || time.Since(began) != c.took {
					t.Errorf("%d bytes after %v: %v", len(begin), time.Since(began), err)
				}
				if err == nil && !s.deadline.IsZero() {
					t.Error("the deadline stays")
				}
				if closes := s.Header().Get("Connection") == "close"; closes != (err != nil) {
					t.Errorf("%v, and the connection is closed: %v", err, closes)
				}
			})
		})
	}
	broken := httptest.NewRequest(http.MethodPost, "/", iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, err := Peek(httptest.NewRecorder(), broken, make([]byte, 512), time.Minute); !errors.Is(err, memory.ErrCutShort) {
		t.Error(err)
	}
}

func pieces(n, size int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = size
	}
	return all
}

// A limit of the server's that is shorter holds.
func TestReadTimeoutOfTheServerHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{ResponseWriter: httptest.NewRecorder(), pieces: []int{1}, pause: time.Hour}
		server := &http.Server{ReadTimeout: 3 * time.Second}
		r := httptest.NewRequest(http.MethodPost, "/", s)
		r = r.WithContext(context.WithValue(t.Context(), http.ServerContextKey, server))
		var pool memory.Pool
		pool.SetLimits(1<<20, 1<<20)
		began := time.Now()
		if _, err := ReadBody(s, r, pool.For(memory.Nobody), 0, 1<<20); !errors.Is(err, memory.ErrTooSlow) {
			t.Error(err)
		}
		if took := time.Since(began); took != server.ReadTimeout {
			t.Errorf("it took %v", took)
		}
	})
}

func TestConnectionWithoutDeadlinesIsRead(t *testing.T) {
	var pool memory.Pool
	pool.SetLimits(1<<20, 1<<20)
	b, err := ReadBody(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader("paid")), pool.For(memory.Nobody), time.Minute, 1<<20)
	defer b.Release()
	if err != nil || string(b.Bytes()) != "paid" {
		t.Errorf("%q, %v", b.Bytes(), err)
	}
}
