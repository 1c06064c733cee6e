package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// ledger records what client, partner and delivery target of a server were told. It
// is kept outside of the server, so that it outlasts every crash.
type ledger struct {
	// durable says that every callback is committed before its URL is given to the partner,
	// and every call before anybody is told of it.
	durable bool

	mu sync.Mutex
	// orders are the client's requests, by path.
	orders map[string]*order
	// urls are the callback URLs that the partner was given, by path.
	urls map[string][]*calledURL
	// deliveries are the bodies that the target got, by webhook id.
	deliveries map[string][]string
	// answers are the answers of the app behind the server, by path.
	answers map[string][]string
	errors  []string
}

// order is one request of a client's.
type order struct {
	kind, path string
	// parked is the client's 202, and at when it came; nil if it got none.
	parked *parked
	at     time.Time
	// answered says that the client got a result, and answer is that result.
	answered bool
	answer   string
	// open says that the client still waits for its result.
	open bool
	// seen is the result as it was first read at its URL, empty if it was not yet.
	seen string
}

// calledURL is a callback URL and the calls that the partner has made.
type calledURL struct {
	url string
	// bodies are the bodies of the calls, all different, and taken are those that
	// were answered with 2xx.
	bodies, taken []string
	// ended says that the partner calls no more, and status is the last answer it
	// got.
	ended  bool
	status int
}

func newLedger() *ledger {
	return &ledger{
		orders: make(map[string]*order), urls: make(map[string][]*calledURL),
		deliveries: make(map[string][]string), answers: make(map[string][]string),
	}
}

// fault notes that a promise was broken.
func (l *ledger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errors) < 50 {
		l.errors = append(l.errors, fmt.Sprintf(format, args...))
	}
}

func (l *ledger) placed(o *order) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.orders[o.path] = o
}

// update changes an order.
func (l *ledger) update(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// given notes a callback URL, and returns it if the partner did not have it before.
func (l *ledger) given(path, url string) *calledURL {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, known := range l.urls[path] {
		if known.url == url {
			return nil
		}
	}
	c := &calledURL{url: url}
	l.urls[path] = append(l.urls[path], c)
	return c
}

// next returns the body of the partner's next call, which no other call has.
func (l *ledger) next(path string, c *calledURL) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	body := fmt.Sprintf("%s call %d", path, len(c.bodies)+1)
	c.bodies = append(c.bodies, body)
	return body
}

// replied notes how a call was answered, and reports whether the partner must call
// again.
func (l *ledger) replied(c *calledURL, body string, status int) (again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case status < 300:
		c.taken = append(c.taken, body)
	case status >= 500:
		return true
	}
	c.ended, c.status = true, status
	return false
}

// did returns an answer of the app, which is different each time.
func (l *ledger) did(path, with string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	answer := fmt.Sprintf("%s done %d with %s", path, len(l.answers[path])+1, with)
	l.answers[path] = append(l.answers[path], answer)
	return answer
}

// delivered notes a delivery. Deliveries with one id are one result.
func (l *ledger) delivered(id, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deliveries[id] = append(l.deliveries[id], body)
}

// read notes a result that was read at its URL. It must be the same each time.
func (l *ledger) read(o *order, result string) {
	padding := paddingOf(o.path)
	result, whole := strings.CutPrefix(result, padding)
	if !whole || padding != "" && !strings.HasPrefix(result, o.path) {
		l.fault("%s has %d bytes as its result, which are not what was sent", o.path, len(result))
	}
	l.mu.Lock()
	before := o.seen
	o.seen = result
	l.mu.Unlock()
	if before != "" && before != result {
		l.fault("%s had the result %q, and has now %q", o.path, before, result)
	}
}

// acknowledged returns the orders whose client got 202.
func (l *ledger) acknowledged() (orders []*order) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.orders {
		if o.parked != nil {
			orders = append(orders, o)
		}
	}
	return orders
}

// acknowledgedSince returns the orders whose client got 202 after a time.
func (l *ledger) acknowledgedSince(when time.Time) []*order {
	return slices.DeleteFunc(l.acknowledged(), func(o *order) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return o.at.Before(when)
	})
}

// totals are what happened, in numbers.
type totals struct{ requests, parked, answered, taken, recalled, delivered, redelivered int }

// plus adds the totals of another load.
func (a totals) plus(b totals) totals {
	return totals{
		a.requests + b.requests, a.parked + b.parked, a.answered + b.answered, a.taken + b.taken, a.recalled + b.recalled,
		a.delivered + b.delivered, a.redelivered + b.redelivered,
	}
}

// String returns them as a sentence.
func (a totals) String() string {
	return fmt.Sprintf("%d requests, %d accepted with 202, %d answered; %d calls taken, %d repeated; %d results delivered, %d repeated",
		a.requests, a.parked, a.answered, a.taken, a.recalled, a.delivered, a.redelivered)
}

// total counts what happened.
func (l *ledger) total() (n totals) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n.requests, n.delivered = len(l.orders), len(l.deliveries)
	for _, o := range l.orders {
		if o.parked != nil {
			n.parked++
		}
		if o.answered {
			n.answered++
		}
	}
	for _, urls := range l.urls {
		for _, c := range urls {
			n.taken += len(c.taken)
			n.recalled += len(c.bodies) - 1
		}
	}
	for _, bodies := range l.deliveries {
		n.redelivered += len(bodies) - 1
	}
	return n
}

// unfinished says what client and partner still wait for.
func (l *ledger) unfinished() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, o := range l.orders {
		if o.open {
			_, _ = fmt.Fprintf(&b, "%s waits for its result, and was told %+v\n", o.path, o.parked)
		}
		for _, c := range slices.Concat(l.urls[o.path], l.urls["/inner"+o.path]) {
			if o.open || !c.ended {
				_, _ = fmt.Fprintf(&b, "%s was given to the partner, which has called it with %q, was thanked for %q, and got %d at last\n", o.path, c.bodies, c.taken, c.status)
			}
		}
	}
	return b.String()
}

// audit checks that every promise was kept, once everything has ended.
func (l *ledger) audit(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, fault := range l.errors {
		t.Error(fault)
	}
	for path, urls := range l.urls {
		for _, c := range urls {
			if len(c.taken) > 1 {
				t.Errorf("%s has taken calls that differ: %q", path, c.taken)
			}
		}
	}
	for _, o := range l.orders {
		l.auditOrder(t, o)
	}
	for id, bodies := range l.deliveries {
		if len(slices.Compact(slices.Sorted(slices.Values(bodies)))) > 1 {
			t.Errorf("%s was delivered with results that differ: %q", id, bodies)
		}
	}
}

// auditOrder checks what became of one order.
func (l *ledger) auditOrder(t *testing.T, o *order) {
	t.Helper()
	kind := kinds[o.kind]
	if kind.durable && len(l.urls[o.path]) > 1 {
		t.Errorf("%s has given the partner %d callback URLs", o.path, len(l.urls[o.path]))
	}
	if kind.durable || l.durable {
		for _, c := range slices.Concat(l.urls[o.path], l.urls["/inner"+o.path]) {
			if c.status == http.StatusNotFound {
				t.Errorf("%s has given the partner a URL that is not known", o.path)
			}
		}
	}
	switch {
	case o.answered:
		l.auditResult(t, o, o.answer)
	case o.parked != nil && o.seen == "":
		t.Errorf("%s was acknowledged, and has no result", o.path)
	case o.parked != nil:
		l.auditResult(t, o, o.seen)
		if sent := l.deliveries[o.parked.ID]; kind.delivers && (len(sent) == 0 || sent[0] != o.seen) {
			t.Errorf("%s has the result %q, and was delivered as %q", o.path, o.seen, sent)
		}
	}
}

// auditResult checks that a result comes from the call that was answered with 2xx, or
// from the app's answer if that is the result.
func (l *ledger) auditResult(t *testing.T, o *order, result string) {
	t.Helper()
	from := o.path
	if o.kind == "steps" {
		from = "/inner" + o.path
	}
	if kinds[o.kind].answers && !slices.Contains(l.answers[o.path], result) {
		t.Errorf("%s has the result %q, which the app has not given: %q", o.path, result, l.answers[o.path])
	}
	for _, c := range l.urls[from] {
		if !slices.ContainsFunc(c.bodies, func(body string) bool { return strings.HasSuffix(result, body) }) {
			t.Errorf("%s has the result %q, which is none of the calls %q", o.path, result, c.bodies)
		}
		// A plain hold ends the moment that the call is decided. The partner does not
		// know that yet, and calls again after a crash.
		if (o.kind != "hold" || l.durable) && len(c.taken) > 0 && !strings.HasSuffix(result, c.taken[0]) {
			t.Errorf("%s has the result %q, and the partner was thanked for %q", o.path, result, c.taken[0])
		}
	}
}

// settle waits until all that was acknowledged has ended, and reads the results.
func (l *ledger) settle(t *testing.T, s *stage) {
	t.Helper()
	for _, o := range l.acknowledged() {
		harness.Eventually(t, o.path+" ends", func() bool {
			got := s.fetch(t, o.parked.StatusURL)
			if got.Status != http.StatusOK {
				t.Fatalf("%s was acknowledged, and its status is %d %s", o.path, got.Status, short(got.Body))
			}
			text := string(got.Body)
			return !strings.Contains(text, `"waiting"`) && !strings.Contains(text, `"pending"`)
		})
		got := s.fetch(t, o.parked.ResultURL)
		wantStatus(t, got, http.StatusOK)
		l.read(o, string(got.Body))
	}
}
