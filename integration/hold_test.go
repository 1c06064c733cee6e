package integration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// shape is a way to send a request.
type shape struct {
	name   string
	method string
	body   string
	// unsized sends a body whose length is not announced.
	unsized bool
	// asks sends the body only when the server asks for it.
	asks bool
}

var shapes = []shape{
	{name: "GET", method: http.MethodGet},
	{name: "body", method: http.MethodPost, body: "an order"},
	{name: "body of unknown length", method: http.MethodPut, body: strings.Repeat("many orders ", 10_000), unsized: true},
	{name: "body on request", method: http.MethodPost, body: "an order, if you want it", asks: true},
}

// speaks reports whether the protocol's client can send the shape: that for h3
// never waits to be asked for a body.
func (s shape) speaks(p harness.Protocol) bool { return !s.asks || p != harness.H3 }

// request returns a request of the shape and a flag that tells whether the
// server has asked for the body.
func (s shape) request(t *testing.T, url string) (*http.Request, *atomic.Bool) {
	t.Helper()
	req := harness.NewRequest(t, s.method, url, "", s.body)
	if s.unsized {
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(s.body)), -1
		req.GetBody = nil
	}
	asked := new(atomic.Bool)
	if s.asks {
		req.Header.Set("Expect", "100-continue")
		req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got100Continue: func() { asked.Store(true) },
		}))
	}
	return req, asked
}

func TestHeldRequestIsAnsweredByTheCallback(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true})
	for _, protocol := range harness.Protocols {
		for _, shape := range shapes {
			if !shape.speaks(protocol) {
				continue
			}
			t.Run(string(protocol)+" "+shape.name, func(t *testing.T) {
				t.Parallel()
				heldAndAnswered(t, s, protocol, shape)
			})
		}
	}
}

func heldAndAnswered(t *testing.T, s *stage, protocol harness.Protocol, shape shape) {
	t.Helper()
	req, asked := shape.request(t, protocol.URL(s.path()))
	x := s.forward(t, protocol, req)
	if x.received.Method != shape.method || string(x.received.Body) != shape.body {
		t.Errorf("the partner got %s with %s", x.received.Method, short(x.received.Body))
	}
	if asked.Load() != shape.asks {
		t.Errorf("the client was asked for its body: %v", asked.Load())
	}
	correlationID := x.received.Header.Get(correlationHeader)
	if !wholeUUID.MatchString(correlationID) {
		t.Errorf("%s is %q", correlationHeader, correlationID)
	}
	if !callbackURLForm.MatchString(x.url) {
		t.Errorf("%s is %q", callbackHeader, x.url)
	}

	reply := x.call(t, "application/json; charset=utf-8", `{"for": "`+correlationID+`"}`)
	wantAnswer(t, reply, http.StatusOK, "")

	answer := x.Answer(t)
	wantAnswer(t, answer, http.StatusOK, `{"for": "`+correlationID+`"}`)
	wantHeader(t, answer.Header, "Content-Type", "application/json; charset=utf-8")
	wantHeader(t, answer.Header, correlationHeader, correlationID)
	wantHeader(t, answer.Header, statusHeader, "Ok")
}

func TestTwoThousandHeldAtOnceGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	const held = 2000 / harness.TimeFactor
	s := start(t, harness.Config{})
	urls := make(chan [2]string, held)
	s.partner.HandleEvery(func(w http.ResponseWriter, r *http.Request) {
		urls <- [2]string{r.URL.Path, r.Header.Get(callbackHeader)}
		w.WriteHeader(http.StatusAccepted)
	})
	client := s.Client(t, harness.H2C)
	pending := make(map[string]*harness.Pending, held)
	for i := range held {
		path := fmt.Sprintf("/orders/%d", i)
		pending[path] = harness.Send(client, harness.NewRequest(t, http.MethodGet, harness.H2C.URL(path), "", ""))
	}
	// No request is answered before all are held.
	waiting := make([][2]string, held)
	for i := range held {
		waiting[i] = harness.Receive(t, "every request is with the partner", urls)
	}
	concurrently(held, 32, func(i int) {
		path, url := waiting[i][0], waiting[i][1]
		reply, err := harness.Send(client, harness.NewRequest(t, http.MethodPost, url, "text/plain", "answer to "+path)).Outcome()
		if err != nil || reply.Status != http.StatusOK {
			t.Errorf("call for %s: %+v, %v", path, reply, err)
		}
	})
	for path, p := range pending {
		wantAnswer(t, p.Answer(t), http.StatusOK, "answer to "+path)
	}
}

// concurrently calls do for every number below n, in that many goroutines.
func concurrently(n, workers int, do func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	wg.Wait()
}

func TestClientsOwnCopiesOfOurHeadersAreStripped(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	spoofed := []string{
		"X-Link-Callback-Url", "x-link-callback-url", "X-LINK-CALLBACK-URL", "X_Link_Callback_Url", "X-Link.Callback-Url",
		"X-Link-Correlation-Id", "x-LINK-correlation-ID", "X-Link-Status", "X-Link-Document-Status", "X-Link-Technical-Status",
		"X-Link-Error-Code", "x-link-error-text",
	}
	req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(s.path()), "", "")
	for _, name := range spoofed {
		req.Header[name] = []string{"http://evil.test/cb"}
	}
	req.Header.Set("X-Other", "mine")
	x := s.forward(t, harness.HTTP1, req)
	for name, values := range x.received.Header {
		if strings.Contains(strings.Join(values, " "), "evil") {
			t.Errorf("the partner got %s: %q", name, values)
		}
	}
	if got := x.received.Header.Values(callbackHeader); len(got) != 1 || !callbackURLForm.MatchString(got[0]) {
		t.Errorf("%s is %q", callbackHeader, got)
	}
	if got := x.received.Header.Values(correlationHeader); len(got) != 1 || !wholeUUID.MatchString(got[0]) {
		t.Errorf("%s is %q", correlationHeader, got)
	}
	wantHeader(t, x.received.Header, "X-Other", "mine")
	x.stillWaits(t)
}

func TestResultHasTheCopiedHeadersAndNoOthers(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	copied := http.Header{
		"Content-Type":        {"text/csv"},
		"Content-Language":    {"nl"},
		"Content-Disposition": {`attachment; filename="report.csv"`},
		"Content-Encoding":    {"br"},
		"Etag":                {`"v1"`},
		"Last-Modified":       {"Mon, 02 Jan 2006 15:04:05 GMT"},
		"Link":                {"</a>; rel=next", "</b>; rel=prev"},
	}
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusAccepted, http.Header{
		"Set-Cookie": {"from=ack"}, "X-Ack": {"yes"}, "Etag": {`"ack"`}, "Content-Type": {"text/x-ack"},
	}, "on its way"))
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path), "", ""))

	req := harness.NewRequest(t, http.MethodPost, x.url, "", "a;b;c")
	for name, values := range copied {
		req.Header[name] = values
	}
	req.Header.Set("Set-Cookie", "from=call")
	req.Header.Set("X-Other", "private")
	req.Header.Set("Authorization", "Bearer secret")
	wantStatus(t, s.public(t, req), http.StatusOK)

	answer := x.Answer(t)
	wantAnswer(t, answer, http.StatusOK, "a;b;c")
	for name, values := range copied {
		wantHeader(t, answer.Header, name, values...)
	}
	for _, name := range []string{"Set-Cookie", "X-Other", "X-Ack", "Authorization"} {
		wantHeader(t, answer.Header, name)
	}
}

func TestCopyHeadersReplacesTheDefaultList(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "copy_headers X-Invoice content-type"})
	x := s.get(t)
	req := harness.NewRequest(t, http.MethodPost, x.url, "text/csv", "a;b")
	req.Header.Set("X-Invoice", "17")
	req.Header.Set("ETag", `"v1"`)
	wantStatus(t, s.public(t, req), http.StatusOK)
	answer := x.Answer(t)
	wantHeader(t, answer.Header, "X-Invoice", "17")
	wantHeader(t, answer.Header, "Content-Type", "text/csv")
	wantHeader(t, answer.Header, "Etag")
}

func TestEverySuccessIsAnAckToAPost(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	for _, status := range []int{http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			path := s.path()
			s.partner.Handle(path, harness.Ack(status, nil, ""))
			s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "", "x")).stillWaits(t)
		})
	}
}

func TestCallCanUseEveryMethodThatCarriesAnAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			x := s.get(t)
			wantAnswer(t, s.partner.Call(t, method, x.url, "text/plain", "by "+method), http.StatusOK, "")
			wantAnswer(t, x.Answer(t), http.StatusOK, "by "+method)
		})
	}
}

func TestSlashAtTheEndIsAccepted(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.get(t)
	wantStatus(t, s.partner.Call(t, http.MethodPost, x.url+"/", "text/plain", "with a slash"), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "with a slash")
}

func TestOnlyMatchingRequestsAreHeld(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.HoldAndForward("/orders/*", "", "")})
	s.get(t).stillWaits(t)

	answer := s.fetch(t, harness.HTTP1.URL("/health"))
	wantAnswer(t, answer, http.StatusAccepted, "")
	wantHeader(t, s.partner.Received(t, "/health").Header, callbackHeader)
}
