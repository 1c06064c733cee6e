package desk

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// watching are the parameters that say of which changes a client is told.
var watching = filters[:4:4]

// Names of the events of a stream of changes.
const (
	// EventChange has an app.Change.
	EventChange = "change"
	// EventLost says that changes are missing: so many as its member missing says, if that is
	// known.
	EventLost = "lost"
)

// lost is the data of an event of that name.
type lost struct {
	Missing uint64 `json:"missing,omitempty"`
}

// WatchParameters returns the names of the parameters that ParseWatch reads.
func WatchParameters() []string { return namesOf(watching) }

// ParseWatch reads of which changes a client is to be told. The error is a problem that names
// the parameter.
func ParseWatch(values url.Values) (store.Query, error) {
	return parse(watching, values, time.Time{})
}

// atOnce is how many changes are told between two looks at whether the stream is to end.
const atOnce = 64

// ServeChanges answers with a stream of changes to the callbacks that there are for the client
// and that the query of the URL means. It ends when the client goes, when Caddy exits, when the
// server is shut down, and with ended. A client that comes back with the id of an event is told
// what it has missed, or that it is not known.
func (d *Desk) ServeChanges(w http.ResponseWriter, r *http.Request, ended <-chan struct{}) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return errQuery
	}
	q, err := ParseWatch(values)
	if err != nil {
		return err
	}
	l, err := d.Runtime.Feed.Listen(r.Header.Get(answer.LastEventID))
	if err != nil {
		return err
	}
	defer l.Stop()
	// A server's time to read a request would end it, however long it is answered.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	s := app.NewStream(w, r, d.Runtime.Exit)
	if r.Method != http.MethodHead {
		d.tellChanges(s, r, q, l, ended)
	}
	return nil
}

func (d *Desk) tellChanges(s *answer.Stream, r *http.Request, q store.Query, l *app.Listener, ended <-chan struct{}) {
	shut := app.EndOf(r)
	ping := time.NewTicker(answer.PingEvery)
	defer ping.Stop()
	var room [atOnce]app.Change
	for begun := false; !s.Broken(); begun = true {
		heard := l.Take(room[:])
		if !begun {
			// Whoever is cut off before the first change comes back with it.
			s.Mark(heard.ID(-1))
		}
		if heard.Lost {
			s.Event(EventLost, heard.ID(-1), document(d.lost(heard)))
		}
		for i, c := range heard.Changes {
			if d.Tells(q, c) {
				s.Event(EventChange, heard.ID(i), document(c))
			}
		}
		select {
		case <-l.C:
		case <-ping.C:
			// It may have been long since there was a change that it is told.
			s.Mark(heard.Last())
		case <-r.Context().Done():
			return
		case <-d.Runtime.Exit:
			return
		case <-shut:
			return
		case <-ended:
			return
		}
	}
}

// lost returns what is told of missing changes. Who does not see all callbacks is not told how
// many changes there are.
func (d *Desk) lost(heard app.Heard) lost {
	if !d.SeesAll() {
		return lost{}
	}
	return lost{heard.Missing}
}

// Tells reports whether the client is told of a change if it has asked with that query, which
// is one of ParseWatch.
func (d *Desk) Tells(q store.Query, c app.Change) bool { return d.Sees(c.Name) && means(q, c) }

// means reports whether a query of ParseWatch means a change.
func means(q store.Query, c app.Change) bool {
	return (q.Phase == 0 || q.Phase == c.Phase) && q.HasName(c.Name) && (q.ID.IsZero() || q.ID == c.ID) &&
		(q.CorrelationID == "" || q.CorrelationID == c.CorrelationID)
}

func document(v any) []byte {
	// What is told always has a JSON form.
	b, _ := json.Marshal(v)
	return b
}
