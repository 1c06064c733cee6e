package answer

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/caddy-callback/caddy-callback/module/memory"
)

// ReadWithin is how long the body of a call or of a request to the API may take to
// arrive.
const ReadWithin = 2 * time.Minute

// In each period that a body takes to arrive, this many bytes of it must come, or all that
// is left: 1 KiB in a second, but nobody is held to a single one.
const (
	arrivalPeriod = 10 * time.Second
	arrivalBytes  = 10 << 10
)

// ReadBody reads a request's body of at most limit bytes into memory. It must arrive
// within that time, unless that is 0, and not too slowly. Errors are those of
// memory.Space.Read; the buffer must be released.
func ReadBody(w http.ResponseWriter, r *http.Request, s memory.Space, within time.Duration, limit int64) (*memory.Buffer, error) {
	a := newArrival(w, r, within)
	b, err := s.Read(a, r.ContentLength, limit)
	a.ended(w, r, err)
	return b, err
}

// Peek reads the beginning of a request's body into memory for which there is a lease, and
// returns it. If the whole body is shorter, it returns that. It must arrive as for ReadBody.
// Errors are memory.ErrCutShort and memory.ErrTooSlow.
func Peek(w http.ResponseWriter, r *http.Request, into []byte, within time.Duration) (begin []byte, err error) {
	a := newArrival(w, r, within)
	n := 0
	for err == nil && n < len(into) {
		var more int
		more, err = a.Read(into[n:])
		n += more
	}
	switch {
	case errors.Is(err, io.EOF):
		err = nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = memory.ErrTooSlow
	case err != nil:
		err = memory.ErrCutShort
	}
	a.ended(w, r, err)
	return into[:n], err
}

// arrival is a body that must not come too slowly.
type arrival struct {
	body    io.Reader
	control *http.ResponseController
	// end is when the body must be there; zero for no such time.
	end time.Time
	// came is how many bytes have come in the period.
	came int
}

func newArrival(w http.ResponseWriter, r *http.Request, within time.Duration) *arrival {
	a := &arrival{body: r.Body, control: http.NewResponseController(w)}
	now := time.Now()
	a.endWithin(now, within)
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok {
		a.endWithin(now, server.ReadTimeout)
	}
	a.begin(now)
	return a
}

// ended takes the deadline away if what was to be read is there. After an error other than
// ErrTooSlow the server reads on to keep the connection, and the deadline bounds that.
func (a *arrival) ended(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		_ = a.control.SetReadDeadline(time.Time{})
	} else if errors.Is(err, memory.ErrTooSlow) {
		LeaveUnread(w, r)
	}
}

// endWithin makes sure that the body is there within that time, unless it is 0.
func (a *arrival) endWithin(now time.Time, within time.Duration) {
	if end := now.Add(within); within > 0 && (a.end.IsZero() || end.Before(a.end)) {
		a.end = end
	}
}

// begin begins a period.
func (a *arrival) begin(now time.Time) {
	a.came = 0
	deadline := now.Add(arrivalPeriod)
	if !a.end.IsZero() && a.end.Before(deadline) {
		deadline = a.end
	}
	// Not every connection supports a deadline; without one, Caddy's own limits apply.
	_ = a.control.SetReadDeadline(deadline)
}

// Read implements io.Reader.
func (a *arrival) Read(b []byte) (int, error) {
	n, err := a.body.Read(b)
	if a.came += n; a.came >= arrivalBytes && err == nil {
		a.begin(time.Now())
	}
	return n, err
}
