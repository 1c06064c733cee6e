package answer

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/caddy-callback/caddy-callback/module/engine"
)

// Chain is what the URL of a result says of a chain of redirects. Each request of the chain
// waits for a while, and is then sent on to the same result, so that none of them takes
// longer than a gateway in between allows. The URL counts, so that nobody has to.
type Chain struct {
	// Wait is how long each request waits; 0 if there is no chain.
	Wait time.Duration
	// hops is how often the result has sent its client on to itself.
	hops int
}

const (
	waitParameter = "wait"
	hopParameter  = "hop"
	// maxHops is how often a result sends a client on to itself.
	maxHops = 8
)

// NewChain returns a chain that has not begun. Wait is at most what a request for a result can
// prefer, and a whole number of milliseconds.
func NewChain(wait time.Duration) Chain {
	const precision = time.Millisecond
	return Chain{Wait: min((wait+precision-1)/precision*precision, maxPreferredWait)}
}

// chainWait matches a wait in a URL, in seconds.
var chainWait = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,3})?$`)

// ChainOf returns what the query of a result's URL says of a chain. A count that no result has
// given out stands for a chain that is at its end.
func ChainOf(rawQuery string) Chain {
	query, err := url.ParseQuery(rawQuery)
	if err != nil || len(query[waitParameter]) != 1 || !chainWait.MatchString(query.Get(waitParameter)) {
		return Chain{}
	}
	wait, err := time.ParseDuration(query.Get(waitParameter) + "s")
	if err != nil {
		return Chain{}
	}
	c := NewChain(wait)
	if !query.Has(hopParameter) {
		return c
	}
	c.hops = maxHops
	for n := 1; n < maxHops; n++ {
		if text := query[hopParameter]; len(text) == 1 && text[0] == strconv.Itoa(n) {
			c.hops = n
		}
	}
	return c
}

// preferredBy returns the chain for a client that may prefer a shorter wait.
func (c Chain) preferredBy(h http.Header) Chain {
	if p := PreferenceOf(h, c.Wait); p.Waits {
		c.Wait = p.Wait
	}
	return c
}

// query returns what the query of the chain's next URL is.
func (c Chain) query() string {
	query := "?" + waitParameter + "=" + strconv.FormatFloat(c.Wait.Seconds(), 'f', -1, 64)
	if c.hops > 0 {
		query += "&" + hopParameter + "=" + strconv.Itoa(c.hops)
	}
	return query
}

// GoesOn reports whether a client whose result is not there yet is sent on to it once more.
func (c Chain) GoesOn(r *http.Request) bool {
	return c.preferredBy(r.Header).Wait > 0 && c.hops < maxHops
}

// WriteChained begins a chain: it answers 303 to a client before its callback has come, with
// what it gets in any case as the body.
func WriteChained(w http.ResponseWriter, cb *engine.Callback, c Chain, message string) {
	h := w.Header()
	h.Set("Location", cb.ResultURL()+c.query())
	h.Set("Cache-Control", "no-store")
	WriteJSON(w, http.StatusSeeOther, newParked(cb, message))
}

// ParkedDocument returns what a client is told that gets 202, or 303 with a chain: as an event,
// it has no Location, so that resultUrl is where the chain begins.
func ParkedDocument(cb *engine.Callback, c Chain, message string) []byte {
	p := newParked(cb, message)
	if c.Wait > 0 {
		p.ResultURL += c.query()
	}
	// Texts always have a JSON form.
	document, _ := json.Marshal(p)
	return document
}

// ServeChained sends a client that asks for a result which is not there yet on to the same.
// The URL is relative to that of the request, which may have come under another name.
func ServeChained(w http.ResponseWriter, cb *engine.Callback, c Chain) {
	c.hops++
	w.Header().Set("Location", c.query())
	WriteJSON(w, http.StatusSeeOther, newStatus(cb))
}
