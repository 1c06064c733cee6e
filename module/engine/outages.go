package engine

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/outage"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// outages are what the engine says in the log about what can fail over and over.
type outages struct {
	// requests are those that could not be served, work is background work whose outcome
	// could not be recorded, and due what could not be done in time.
	requests, work, due *outage.Outage
}

func newOutages(log *zap.Logger) *outages {
	return &outages{
		requests: outage.New(log, "a request could not be served; more of them are only counted", "requests can be served again"),
		work:     outage.New(log, "the outcome of background work could not be recorded, so the work will be done again; more of that is only counted", "the outcome of background work can be recorded again"),
		due:      outage.New(log, "a callback that is due could not be processed; more of them are only counted", "callbacks that are due can be processed again"),
	}
}

func (o *outages) works() {
	o.requests.Works()
	o.work.Works()
	o.due.Works()
}

func (o *outages) over() {
	o.requests.Over()
	o.work.Over()
	o.due.Over()
}

// Refused notes that a request could not be served because of an error, and says so in the
// log: in one line at the beginning, and in one with a count when that is over. What is the
// client's doing is not noted.
func (e *Engine) Refused(err error, fields ...zap.Field) {
	for _, clients := range []error{store.ErrNotFound, context.Canceled, callback.ErrCallHeader, ErrTooLarge, ErrCutShort} {
		if errors.Is(err, clients) {
			return
		}
	}
	e.outages.requests.Failed(causeOf(err), 1, append(fields, zap.Error(err))...)
}

// causeOf returns what the log counts an error as.
func causeOf(err error) error {
	for _, known := range []error{store.ErrDamaged, store.ErrFull, store.ErrFailed, store.ErrClosed, store.ErrTooLarge, store.ErrNotFound, store.ErrRemoved, ErrBusy, callback.ErrSecretGone} {
		if errors.Is(err, known) {
			return known
		}
	}
	return errUnknown
}

// errUnknown is a cause that is none of the known ones.
var errUnknown = errors.New("an error of another kind")
