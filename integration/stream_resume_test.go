package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// resumed lets a client come back with an id.
func (s *stage) resumed(t *testing.T, x *exchange, id string, lines ...string) *listener {
	t.Helper()
	l := s.open(t, harness.HTTP1, s.back(t, id, lines...))
	l.exchange = x
	return l
}

// endsReading checks that a client that comes back is told that there is nothing more, and that the
// partner gets nothing.
func (s *stage) endsReading(t *testing.T, id string, lines ...string) {
	t.Helper()
	got := s.public(t, s.back(t, id, lines...))
	wantAnswer(t, got, http.StatusNoContent, "")
	wantNotStored(t, got.Header)
	s.wantArrivals(t, "/orders/again", 0)
}

func TestClientThatComesBackGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Hold: withProgress, Private: "log {\noutput file " + s.Path("log-access") + "\n}\n" + s.HoldAndForward("", "", withProgress)})
	l := s.subscribe(t, harness.HTTP1)
	// It was told an id before any event.
	id := l.goes(t)
	if !eventIDForm.MatchString(id) {
		t.Fatalf("the client comes back with %q", id)
	}
	l.progress(t, "half")
	again := s.resumed(t, l.exchange, id)
	half := again.want(t, "progress", "half").id
	again.goes(t)
	third := s.resumed(t, l.exchange, half)
	// What it knows already does not come again.
	l.progress(t, "more")
	id = third.want(t, "progress", "more").id
	third.goes(t)
	// The callback ends while nobody is there.
	l.resolve(t, "done")
	last := s.resumed(t, l.exchange, id).end(t, "result")
	if last.data != "done" || !endForm.MatchString(last.id) {
		t.Errorf("the client gets %+v", last)
	}
	// And again, if that was lost on its way.
	s.resumed(t, l.exchange, id).wantEnd(t, "result", "done")
	s.endsReading(t, last.id)
}

func TestClientsThatComeBackTogetherAreAllTold(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: withProgress + "on_disconnect close"})
	l := s.subscribe(t, harness.HTTP1)
	id := l.goesOn(t)
	second := s.resumed(t, l.exchange, id)
	l.goes(t)
	// The callback is closed when the last of them has left.
	l.progress(t, "half")
	second.want(t, "progress", "half")
	second.goes(t)
	l.closed(t)
	s.resumed(t, l.exchange, id).wantProblem(t, http.StatusGone, "closed")
}

func TestOnlyWhoWasToldComesBack(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: withProgress})
	req := askingEvents(t, harness.HTTP1, s.path(), "Authorization", "Bearer mine")
	l := s.open(t, harness.HTTP1, req)
	l.exchange = &exchange{stage: s, received: s.partner.Received(t, req.URL.Path)}
	l.url = l.received.Header.Get(callbackHeader)
	id := l.goesOn(t)
	parts := strings.Split(id, ".")
	const nobody = "00000000-0000-4000-8000-000000000000"
	s.endsReading(t, id)
	s.endsReading(t, id, "Authorization", "Bearer theirs")
	for _, forged := range []string{parts[0] + ".0." + nobody, nobody + ".0." + parts[2], parts[0] + ".0." + parts[0], parts[0] + ".end", nobody + ".end"} {
		s.endsReading(t, forged, "Authorization", "Bearer mine")
	}
	// The id of a callback is known to many.
	s.endsReading(t, parts[0]+".0."+l.state(), "Authorization", "Bearer mine")
	s.resumed(t, l.exchange, id, "Authorization", "Bearer mine").goes(t)
	l.resolve(t, "done")
	l.wantEnd(t, "result", "done")
	s.endsReading(t, id)
}

// A server that exits says so, and the client finds its callback when it is back.
func TestStreamGoesOnAfterExitAndCrash(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true, Hold: withProgress})
	var all []*listener
	for _, protocol := range harness.Protocols {
		l := s.subscribe(t, protocol)
		l.progress(t, "half")
		l.want(t, "progress", "half")
		all = append(all, l)
	}
	s.Acknowledged(t)
	s.Terminate(t)
	var ids []string
	for _, l := range all {
		p, e := l.wantProblem(t, http.StatusGatewayTimeout, "shutting-down")
		wantPickUp(t, p)
		if !eventIDForm.MatchString(e.id) || l.last != e.id {
			t.Errorf("the client comes back with %q after %q", l.last, e.id)
		}
		ids = append(ids, e.id)
	}
	s.Exited(t, exitWithin)
	s.Start(t, harness.Config{Hold: withProgress})
	for i, l := range all {
		again := s.resumed(t, l.exchange, ids[i])
		again.progress(t, "more")
		ids[i] = again.want(t, "progress", "more").id
	}
	s.Kill(t)
	s.Start(t, harness.Config{Hold: withProgress})
	for i, l := range all {
		again := s.resumed(t, l.exchange, ids[i])
		again.resolve(t, "done")
		again.wantEnd(t, "result", "done")
	}
	s.wantArrivals(t, "/orders/again", 0)
}

func TestRequestsWithOneKeyAreToldTogether(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: withProgress})
	path := s.path()
	keyed := func() *http.Request {
		req := withKey(t, path, "k-1", "order")
		req.Header.Set("Accept", eventStream)
		return req
	}
	first := s.open(t, harness.HTTP1, keyed())
	first.exchange = &exchange{stage: s, received: s.partner.Received(t, path)}
	first.url = first.received.Header.Get(callbackHeader)
	first.goesOn(t)
	second := s.open(t, harness.HTTP1, keyed())
	second.exchange = first.exchange
	// The latest call came before it, and nobody knows what it was told of.
	second.want(t, "progress", "on")
	plain := s.again(t, withKey(t, path, "k-1", "order"))
	first.progress(t, "more")
	first.want(t, "progress", "more")
	second.want(t, "progress", "more")
	first.resolve(t, "done")
	first.wantEnd(t, "result", "done")
	second.wantEnd(t, "result", "done")
	wantAnswer(t, plain.Answer(t), http.StatusOK, "done")
	replayed := s.open(t, harness.HTTP1, keyed())
	wantHeader(t, replayed.response.Header, "Idempotency-Replayed", "true")
	replayed.wantEnd(t, "result", "done")
	s.wantArrivals(t, path, 0)
}

func TestClientIsToldAtOneNodeOfCallsAtAnother(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 3, harness.Config{Hold: withProgress})
	a, b, c := nodes[0], nodes[1], nodes[2]
	l := a.subscribe(t, harness.HTTP1)
	at := func(node *stage) *exchange { return l.at(node) }
	at(b).progress(t, "half")
	l.want(t, "progress", "half")
	at(c).progress(t, "more")
	id := l.want(t, "progress", "more").id
	l.goes(t)
	again := c.resumed(t, l.exchange, id)
	large := strings.Repeat("a large one\n", 20_000)
	at(b).progress(t, large)
	again.want(t, "progress", large)
	at(a).resolve(t, large)
	again.wantEnd(t, "result", large)
}
