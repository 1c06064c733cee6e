package api

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// key returns the key of the callback that the path names.
func (a *request) key() store.Key { return store.ByID(a.at.id) }

// show shows one callback.
func (a *request) show() error {
	return a.reading(answer.Document{Tag: a.fullTag}, func(cb *engine.Callback) error { return a.writeStatus(http.StatusOK, cb) })
}

// result shows what a held client would have got.
func (a *request) result() error {
	return a.reading(answer.ResultDocument, func(cb *engine.Callback) error { return answer.ServeResult(a.w, a.r, a.rt.Engine, cb) })
}

// reading answers with a document of the callback that the path names, once the client can
// read what it waits for.
func (a *request) reading(d answer.Document, serve func(*engine.Callback) error) error {
	return answer.Reading{Engine: a.rt.Engine, Exit: a.rt.Exit, Key: a.key(), Document: d}.Serve(a.w, a.r, serve)
}

// fullTag returns the entity tag of the whole status.
func (a *request) fullTag(_ *http.Request, cb *engine.Callback) (string, error) {
	status, err := answer.OpenStatus(a.r.Context(), a.rt.Engine, cb, a.keyShown)
	if err != nil {
		return "", err
	}
	return answer.ContentTag(status)
}

// writeStatus answers with the whole status of a callback.
func (a *request) writeStatus(code int, cb *engine.Callback) error {
	status, err := answer.OpenStatus(a.r.Context(), a.rt.Engine, cb, a.keyShown)
	if err != nil {
		return err
	}
	answer.WriteDocument(a.w, code, status)
	return nil
}

// page is a page of a list. Its callbacks come without their latest calls.
type page struct {
	Callbacks []answer.FullStatus `json:"callbacks"`
	// Next is the cursor of the next page; empty on the last one.
	Next string `json:"next,omitempty"`
	// Waiting is how many callbacks wait, and Held how many clients: in all, not only
	// in the list. Who does not see all callbacks is not told.
	Waiting *int `json:"waiting,omitempty"`
	Held    *int `json:"held,omitempty"`
}

// list shows callbacks, the newest first.
func (a *request) list() error {
	query, err := parseQuery(a.r.URL.RawQuery, a.rt.Engine.Now())
	if err != nil {
		return err
	}
	if query.Name != "" && a.names != nil && !slices.Contains(a.names, query.Name) {
		answer.WriteJSON(a.w, http.StatusOK, page{Callbacks: []answer.FullStatus{}})
		return nil
	}
	query.Names = a.names
	// For the records, and for the document that shows them.
	lease, err := a.rt.Engine.Memory(memory.Nobody).Reserve(2 * store.MaxPageBytes)
	if err != nil {
		return err
	}
	defer lease.Release()
	callbacks, next, err := a.rt.Engine.List(a.r.Context(), query)
	if err != nil {
		return err
	}
	p := page{
		Callbacks: make([]answer.FullStatus, len(callbacks)),
		Next:      encodeCursor(next),
	}
	if a.names == nil {
		waiting, held := a.rt.Engine.Waiting(), a.rt.Engine.Held()
		p.Waiting, p.Held = &waiting, &held
	}
	for i, cb := range callbacks {
		p.Callbacks[i] = answer.NewFullStatus(cb, a.keyShown)
	}
	answer.WriteJSON(a.w, http.StatusOK, p)
	return nil
}

// queryParameters read the parameters of a list.
var queryParameters = map[string]func(q *store.Query, value string, now time.Time) error{
	"phase":         func(q *store.Query, value string, _ time.Time) error { return readPhase(&q.Phase, value) },
	"name":          func(q *store.Query, value string, _ time.Time) error { q.Name = value; return nil },
	"delivery":      func(q *store.Query, value string, _ time.Time) error { return readDelivery(&q.Dead, value) },
	"createdAfter":  func(q *store.Query, value string, now time.Time) error { return readMoment(&q.From, value, now) },
	"createdBefore": func(q *store.Query, value string, now time.Time) error { return readMoment(&q.Before, value, now) },
	"limit":         func(q *store.Query, value string, _ time.Time) error { return readLimit(&q.Limit, value) },
	"cursor":        func(q *store.Query, value string, _ time.Time) error { return readCursor(&q.After, value) },
}

// parseQuery reads what is to be listed. An unknown parameter is refused: if it were
// ignored, the list could have more in it than was asked for.
func parseQuery(raw string, now time.Time) (q store.Query, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, problem.InvalidRequest.With("The query cannot be read.")
	}
	for name, all := range values {
		read := queryParameters[name]
		switch {
		case read == nil:
			return q, problem.InvalidField(name, "There is no such parameter; there are phase, name, delivery, createdAfter, createdBefore, limit and cursor.")
		case len(all) > 1:
			return q, problem.InvalidField(name, "It is given twice; give it once.")
		}
		if err := read(&q, all[0], now); err != nil {
			return q, problem.InvalidField(name, problem.Sentence(err))
		}
	}
	return q, nil
}

var phases = []callback.Phase{callback.Waiting, callback.Resolved, callback.Failed, callback.Expired, callback.Closed}

func readPhase(to *callback.Phase, value string) error {
	i := slices.IndexFunc(phases, func(p callback.Phase) bool { return p.String() == value })
	if i < 0 {
		return mustBe("waiting, resolved, failed, expired or closed")
	}
	*to = phases[i]
	return nil
}

// readDelivery reads the state of delivery that listed callbacks must have. It can only be
// dead, because only deliveries that were given up need somebody's attention.
func readDelivery(dead *bool, value string) error {
	if value != answer.DeliveryDead {
		return mustBe(answer.DeliveryDead)
	}
	*dead = true
	return nil
}

// readMoment reads a time, or an age: how long ago it was.
func readMoment(to *callback.Time, value string, now time.Time) error {
	if at, err := time.Parse(time.RFC3339, value); err == nil && at.After(time.UnixMilli(0)) {
		*to = callback.At(at)
		return nil
	}
	age, err := caddy.ParseDuration(value)
	if err != nil || age <= 0 || now.Add(-age).Before(time.UnixMilli(1)) {
		return mustBe("a time like 2026-11-23T22:42:15Z, or an age like 90m or 7d")
	}
	*to = callback.At(now.Add(-age))
	return nil
}

func readLimit(to *int, value string) (err error) {
	if *to, err = strconv.Atoi(value); err != nil || *to < 1 || *to > store.MaxPageSize {
		return mustBe("a whole number from 1 to " + strconv.Itoa(store.MaxPageSize))
	}
	return nil
}

// cursorLength is the length of a cursor in bytes: a time and an id.
const cursorLength = 8 + 16

func encodeCursor(c store.Cursor) string {
	if c == (store.Cursor{}) {
		return ""
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, cursorLength), uint64(c.CreatedAt))
	return base64.RawURLEncoding.EncodeToString(append(b, c.ID[:]...))
}

func readCursor(to *store.Cursor, value string) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(b) != cursorLength {
		return mustBe("the value of next in the page before")
	}
	to.CreatedAt = callback.Time(binary.BigEndian.Uint64(b))
	copy(to.ID[:], b[8:])
	return nil
}
