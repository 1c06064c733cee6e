package badger

import (
	"errors"
	"syscall"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/outage"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// outages are what the store says in the log about what can fail over and over.
type outages struct {
	// room is the space for new callbacks, commits the writing of decisions.
	room, commits *outage.Outage
	// use is the database itself, reopening the way back to it.
	use, reopening *outage.Outage
	// writing and reading are those of bodies.
	writing, reading *outage.Outage
}

func newOutages(log *zap.Logger) *outages {
	of := func(begins, ends string) *outage.Outage { return outage.New(log, begins, ends) }
	return &outages{
		room:      of("the store has little space left and refuses new callbacks", "the store has space again and takes new callbacks"),
		commits:   of("decisions could not be committed and were dropped", "decisions are committed again"),
		use:       of("the store has failed and accepts nothing until it has been reopened and verified", "the store has not failed again"),
		reopening: of("the failed store cannot be opened again yet", "the failed store could be opened again"),
		writing:   of("a body could not be written", "bodies are written again"),
		reading:   of("a body could not be read", "bodies are read again"),
	}
}

// works notes what works now: the database can be used, and has room to write.
func (o *outages) works() {
	for _, one := range []*outage.Outage{o.commits, o.use, o.writing, o.reading} {
		one.Works()
	}
}

// over is called when the store is closed.
func (o *outages) over() {
	for _, one := range []*outage.Outage{o.room, o.commits, o.use, o.reopening, o.writing, o.reading} {
		one.Over()
	}
}

// causeOf returns what the log counts an error as. The texts of errors name files and
// figures, and would differ each time.
func causeOf(err error) error {
	for _, known := range []error{store.ErrDamaged, store.ErrFull, store.ErrFailed, store.ErrClosed} {
		if errors.Is(err, known) {
			return known
		}
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	return errUnknown
}

// errUnknown is a cause that is none of the known ones.
var errUnknown = errors.New("an error of another kind")
