package integration

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

const (
	eventStream  = "text/event-stream"
	lastEventID  = "Last-Event-ID"
	withProgress = "progress header X-Step\n"
)

// told is an event as a client gets it.
type told struct{ name, data, id string }

// listener is a client that is told of events.
type listener struct {
	*exchange
	response *http.Response
	events   chan told
	comments chan struct{}
	// last is the id with which the client comes back, once the stream has ended.
	last  string
	ended chan struct{}
	leave context.CancelFunc
}

// eventIDForm is the form of the ids of events after which a client can come back, and endForm
// that of the last.
var (
	eventIDForm = regexp.MustCompile(`^` + uuid + `\.\d+\.` + uuid + `$`)
	endForm     = regexp.MustCompile(`^` + uuid + `\.end$`)
)

// askingEvents returns a request that takes events.
func askingEvents(t *testing.T, p harness.Protocol, path string, lines ...string) *http.Request {
	t.Helper()
	req := harness.NewRequest(t, http.MethodGet, p.URL(path), "", "")
	req.Header.Set("Accept", eventStream)
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	return req
}

// open sends a request that is answered with a stream.
func (s *stage) open(t *testing.T, p harness.Protocol, req *http.Request) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := s.Client(t, p).Do(req.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{response: resp, events: make(chan told, 1000), comments: make(chan struct{}, 1000), ended: make(chan struct{}), leave: cancel}
	go l.read()
	t.Cleanup(cancel)
	wantStatus(t, &harness.Response{Status: resp.StatusCode, Header: resp.Header}, http.StatusOK)
	for name, value := range map[string]string{"Content-Type": eventStream, "Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"} {
		wantHeader(t, resp.Header, name, value)
	}
	return l
}

// subscribe sends a request that takes events, and waits until the partner has it and the client
// its stream.
func (s *stage) subscribe(t *testing.T, p harness.Protocol, lines ...string) *listener {
	t.Helper()
	req := askingEvents(t, p, s.path(), lines...)
	l := s.open(t, p, req)
	received := s.partner.Received(t, req.URL.Path)
	l.exchange = &exchange{stage: s, received: received, url: received.Header.Get(callbackHeader)}
	s.NeverLog(l.state())
	return l
}

// read reads the stream as the HTML standard says it.
func (l *listener) read() {
	defer close(l.ended)
	defer close(l.events)
	defer func() { _ = l.response.Body.Close() }()
	var e told
	var data strings.Builder
	for r := bufio.NewReader(l.response.Body); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			data.WriteString(value + "\n")
		case ":":
			l.comments <- struct{}{}
		case "":
			l.last = e.id
			if data.Len() > 0 {
				e.data = strings.TrimSuffix(data.String(), "\n")
				l.events <- e
			}
			e.name = ""
			data.Reset()
		}
	}
}

// next waits for the next event.
func (l *listener) next(t *testing.T, name string) told {
	t.Helper()
	e := harness.Receive(t, "the client gets "+name, l.events)
	if e.name != name {
		t.Fatalf("the client gets %q, want %s", e, name)
	}
	return e
}

// want waits for the next event, after which the stream goes on.
func (l *listener) want(t *testing.T, name, data string) told {
	t.Helper()
	e := l.next(t, name)
	if e.data != data || !eventIDForm.MatchString(e.id) {
		t.Errorf("the client gets %s, want %s; id %s", short([]byte(e.data)), short([]byte(data)), e.id)
	}
	return e
}

// wantEnd waits for the last event.
func (l *listener) wantEnd(t *testing.T, name, data string) {
	t.Helper()
	if e := l.end(t, name); e.data != data || !endForm.MatchString(e.id) {
		t.Errorf("the client gets %s, want %s; id %s", short([]byte(e.data)), short([]byte(data)), e.id)
	}
}

// end waits for the last event and for the end of the stream after it.
func (l *listener) end(t *testing.T, name string) told {
	t.Helper()
	e := l.next(t, name)
	harness.Receive(t, "the stream ends", l.ended)
	for more := range l.events {
		t.Errorf("after the last event the client gets %+v", more)
	}
	return e
}

// wantProblem waits for the last event, which is a problem document of that type.
func (l *listener) wantProblem(t *testing.T, status int, slug string) (problem, told) {
	t.Helper()
	e := l.end(t, "failed")
	var p problem
	if err := json.Unmarshal([]byte(e.data), &p); err != nil {
		t.Fatalf("%v in %s", err, e.data)
	}
	if p.Status != status || !strings.HasSuffix(p.Type, "#"+slug) {
		t.Errorf("the client gets %+v, want %d %s", p, status, slug)
	}
	return p, e
}

// goes leaves, and returns the id with which the client comes back.
func (l *listener) goes(t *testing.T) string {
	t.Helper()
	l.leave()
	harness.Receive(t, "the stream ends", l.ended)
	return l.last
}

// progress makes a call that is not the answer.
func (x *exchange) progress(t *testing.T, body string) {
	t.Helper()
	wantStatus(t, x.callWith(t, "X-Step", "working", body), http.StatusOK)
}

// back sends a request as a browser does that was cut off.
func (s *stage) back(t *testing.T, id string, lines ...string) *http.Request {
	t.Helper()
	if eventIDForm.MatchString(id) {
		// It opens the stream.
		s.NeverLog(id[strings.LastIndexByte(id, '.'):])
	}
	return askingEvents(t, harness.HTTP1, "/orders/again", append([]string{lastEventID, id}, lines...)...)
}

func TestHeldClientIsToldOfProgressAndOfTheResult(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true, Hold: withProgress})
	for _, protocol := range harness.Protocols {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			l := s.subscribe(t, protocol)
			wantHeader(t, l.received.Header, "Accept", eventStream)
			wantHeader(t, l.response.Header, "Vary", "Prefer", "Accept")
			l.progress(t, `{"percent":50}`)
			first := l.want(t, "progress", `{"percent":50}`)
			l.progress(t, "one\ntwo")
			if second := l.want(t, "progress", "one\ntwo"); second.id == first.id {
				t.Errorf("both events have the id %s", first.id)
			}
			l.resolve(t, "done\n")
			l.wantEnd(t, "result", "done\n")
			if l.response.Trailer != nil {
				t.Errorf("there are trailers: %v", l.response.Trailer)
			}
		})
	}
}

func TestOthersAreToldNothingOnTheWay(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: withProgress})
	for name, accept := range map[string]string{"nothing": "", "anything": "*/*", "text": "text/*", "no events": "text/event-stream;q=0, */*"} {
		req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(s.path()), "", "")
		if accept != "" {
			req.Header.Set("Accept", accept)
		}
		x := s.forward(t, harness.HTTP1, req)
		x.progress(t, "half")
		x.resolve(t, name)
		got := x.Answer(t)
		wantAnswer(t, got, http.StatusOK, name)
		wantHeader(t, got.Header, "Vary", "Prefer")
	}
	head := askingEvents(t, harness.HTTP1, s.path())
	head.Method = http.MethodHead
	x := s.forward(t, harness.HTTP1, head)
	x.resolve(t, "for the others")
	wantHeader(t, x.Answer(t).Header, "Content-Type", "text/plain")
	x = s.forward(t, harness.HTTP1, askingEvents(t, harness.HTTP1, s.path(), "Prefer", "respond-async"))
	s.wantParked(t, x.Answer(t))
}

// The client's own request goes on after the callback of a step: its answer is what the client
// gets.
func TestStepHasNoStream(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "callback hold {\n" + withProgress + "call {\n" + s.toPartner() + "}\n}\nrespond \"went on\"\n"})
	x := s.forward(t, harness.HTTP1, askingEvents(t, harness.HTTP1, s.path()))
	x.progress(t, "half")
	x.resolve(t, "yes")
	wantAnswer(t, x.Answer(t), http.StatusOK, "went on")
}

// Before the ack there is no stream, and statuses say what they say to everybody.
func TestWhatIsNoAckIsAnsweredAsEver(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "1s", Hold: "ack 202"})
	ownStream := "id: 17\ndata: of the app\n\n"
	for name, c := range map[string]struct {
		status int
		header http.Header
		body   string
	}{
		"an error":      {http.StatusTeapot, http.Header{"Content-Type": {"text/plain"}}, "no tea"},
		"a stream":      {http.StatusOK, http.Header{"Content-Type": {eventStream}}, ownStream},
		"nothing":       {http.StatusNoContent, nil, ""},
		"another error": {http.StatusInternalServerError, nil, "oh"},
	} {
		path := s.path()
		s.partner.Handle(path, harness.Ack(c.status, c.header, c.body))
		// The ids of other streams are the upstream's.
		got := s.public(t, askingEvents(t, harness.HTTP1, path, lastEventID, "17"))
		wantAnswer(t, got, c.status, c.body)
		if type_ := c.header.Get("Content-Type"); type_ != "" {
			wantHeader(t, got.Header, "Content-Type", type_)
		}
		wantHeader(t, got.Header, "X-Accel-Buffering")
		if received := s.partner.Received(t, path); received.Header.Get(lastEventID) != "17" {
			t.Errorf("%s: the upstream gets %v", name, received.Header)
		}
	}
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusBadGateway, nil, ""))
	wantPickUp(t, wantProblem(t, s.public(t, askingEvents(t, harness.HTTP1, path)), http.StatusBadGateway, "upstream-unknown"))
	path = s.path()
	s.partner.Handle(path, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	wantPickUp(t, wantProblem(t, s.public(t, askingEvents(t, harness.HTTP1, path)), http.StatusGatewayTimeout, "timeout"))
}

// callsFirst makes the partner call back before it acks.
func (s *stage) callsFirst(t *testing.T, path string, call func(url string)) {
	t.Helper()
	s.partner.Handle(path, func(w http.ResponseWriter, r *http.Request) {
		call(r.Header.Get(callbackHeader))
		w.WriteHeader(http.StatusAccepted)
	})
}

func TestCallsThatOvertakeTheAckAreTold(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: withProgress})
	path := s.path()
	s.callsFirst(t, path, func(url string) {
		for _, body := range []string{"early", "later"} {
			req := harness.NewRequest(t, http.MethodPost, url, "text/plain", body)
			req.Header.Set("X-Step", "working")
			wantStatus(t, s.public(t, req), http.StatusOK)
		}
	})
	l := s.open(t, harness.HTTP1, askingEvents(t, harness.HTTP1, path))
	l.want(t, "progress", "later")
	url := s.partner.Received(t, path).Header.Get(callbackHeader)
	wantStatus(t, s.partner.Call(t, http.MethodPost, url, "text/plain", "done"), http.StatusOK)
	l.wantEnd(t, "result", "done")

	path = s.path()
	s.callsFirst(t, path, func(url string) {
		wantStatus(t, s.partner.Call(t, http.MethodPost, url, "text/plain", "done already"), http.StatusOK)
	})
	s.open(t, harness.HTTP1, askingEvents(t, harness.HTTP1, path)).wantEnd(t, "result", "done already")
}

func TestStreamGoesOnOverReloads(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: withProgress})
	l := s.subscribe(t, harness.HTTP1)
	s.MustReload(t, harness.Config{Hold: "name second"})
	l.goesOn(t)
	s.MustReload(t, harness.Config{Private: `respond "nothing is held"`})
	l.goesOn(t)
	l.resolve(t, "done")
	l.wantEnd(t, "result", "done")
}

// Of progress that comes faster than it is told the latest is told, and never an earlier one
// after it.
func TestLatestProgressIsToldInOrder(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: withProgress})
	l := s.subscribe(t, harness.HTTP1)
	const calls = 200
	for i := range calls {
		l.progress(t, fmt.Sprint(i))
	}
	before, seen := -1, 0
	for before < calls-1 {
		var n int
		e := l.next(t, "progress")
		if _, err := fmt.Sscan(e.data, &n); err != nil || n <= before {
			t.Fatalf("after %d comes %+v", before, e)
		}
		before = n
		seen++
	}
	t.Logf("%d of %d were told", seen, calls)
	l.resolve(t, "done")
	l.wantEnd(t, "result", "done")
}

func TestStreamHasTheFirstOfManyResults(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: withProgress + "multiple on"})
	for range 10 {
		l := s.subscribe(t, harness.HTTP1)
		l.progress(t, "half")
		l.resolve(t, "first")
		l.resolve(t, "second")
		e := harness.Receive(t, "the client gets an event", l.events)
		for e.name == "progress" {
			e = harness.Receive(t, "the client gets an event", l.events)
		}
		if e.name != "result" || e.data != "first" {
			t.Errorf("the client gets %+v", e)
		}
	}
}

func TestQuietStreamHasComments(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	l := s.subscribe(t, harness.HTTP1)
	harness.Receive(t, "a comment comes", l.comments)
	l.resolve(t, "done")
	l.wantEnd(t, "result", "done")
}

// What Caddy packs on its way comes as soon as it would otherwise.
func TestEventsComeThroughCompression(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "encode gzip\n" + s.HoldAndForward("", "", withProgress)})
	req := askingEvents(t, harness.HTTP1, s.path(), "Accept-Encoding", "gzip")
	resp, err := s.Client(t, harness.HTTP1).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	wantHeader(t, resp.Header, "Content-Encoding", "gzip")
	wantHeader(t, resp.Header, "Content-Type", eventStream)
	l := &listener{response: unzipped(t, resp), events: make(chan told, 10), comments: make(chan struct{}, 10), ended: make(chan struct{})}
	go l.read()
	received := s.partner.Received(t, req.URL.Path)
	l.exchange = &exchange{stage: s, received: received, url: received.Header.Get(callbackHeader)}
	l.progress(t, "half")
	l.want(t, "progress", "half")
	long := strings.Repeat("a long result\n", 1000)
	l.resolve(t, long)
	l.wantEnd(t, "result", long)
}

// unzipped returns the response with its body unpacked as it comes.
func unzipped(t *testing.T, resp *http.Response) *http.Response {
	t.Helper()
	pipe, to := io.Pipe()
	from := resp.Body
	go func() {
		z, err := gzip.NewReader(from)
		if err == nil {
			_, err = io.Copy(to, z)
		}
		_ = to.CloseWithError(err)
	}()
	resp.Body = pipe
	t.Cleanup(func() { _ = from.Close() })
	return resp
}
