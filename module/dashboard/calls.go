package dashboard

import (
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// shownCall is a call as the page of a callback shows it.
type shownCall struct {
	// Which is what paths call it.
	Which, Name, Method, Query string
	At                         callback.Time
	// Polled says that nobody has called: it is an answer to a poll.
	Polled bool
	Header callback.Header
	// MoreHeader is how many lines are not shown.
	MoreHeader int
	// Curl is the same call as a command.
	Curl string
}

const (
	// mostLines bounds the header lines that are shown, and mostLine what is shown of each, in
	// characters.
	mostLines = 100
	mostLine  = 500
)

// MostLine is what a template shows of a line.
func (shownCall) MostLine() int { return mostLine }

// callsOf returns the calls that the record of a callback has.
func (v *visit) callsOf(cb *engine.Callback) (calls []shownCall) {
	for _, h := range heldBy(cb) {
		if h.call == nil {
			continue
		}
		c := shownCall{Which: h.which, Name: h.name, Method: h.call.Method, Query: h.call.Query, At: h.call.ReceivedAt, Polled: h.call.Polled, Header: h.call.Header}
		if c.MoreHeader = max(0, len(c.Header)-mostLines); c.MoreHeader > 0 {
			c.Header = c.Header[:mostLines]
		}
		if !c.Polled {
			c.Curl = curl(h.call)
		}
		calls = append(calls, c)
	}
	return calls
}
