package integration

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestAnswerThatIsNoAckPassesThrough(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true})
	header := http.Header{
		"Content-Type": {"application/x-own"},
		"Set-Cookie":   {"a=1", "b=2"},
		"Etag":         {`"v1"`},
		"Location":     {"/elsewhere"},
	}
	for _, test := range []struct {
		method string
		status int
	}{
		{http.MethodGet, 200},
		{"QUERY", 200},
		{http.MethodGet, 301},
		{http.MethodPost, 302},
		{http.MethodPost, 400},
		{http.MethodPost, 404},
		{http.MethodPost, 429},
		{http.MethodPost, 500},
		{http.MethodPost, 503},
	} {
		for _, protocol := range harness.Protocols {
			t.Run(fmt.Sprint(test.method, " ", test.status, " ", protocol), func(t *testing.T) {
				t.Parallel()
				path := s.path()
				s.partner.Handle(path, harness.Ack(test.status, header, "own words"))
				x := s.forward(t, protocol, harness.NewRequest(t, test.method, protocol.URL(path), "", ""))
				answer := x.Answer(t)
				wantAnswer(t, answer, test.status, "own words")
				for name, values := range header {
					wantHeader(t, answer.Header, name, values...)
				}
				x.closed(t)
			})
		}
	}
}

func TestHeadAndOptionsPassThrough(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	for _, method := range []string{http.MethodHead, http.MethodOptions} {
		path := s.path()
		s.partner.Handle(path, harness.Ack(http.StatusOK, http.Header{"Allow": {"GET, POST"}}, ""))
		answer := s.forward(t, harness.HTTP1, harness.NewRequest(t, method, harness.HTTP1.URL(path), "", "")).Answer(t)
		wantAnswer(t, answer, http.StatusOK, "")
		wantHeader(t, answer.Header, "Allow", "GET, POST")
	}
}

func TestTrailersPassThrough(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true})
	for _, protocol := range harness.Protocols {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			path := s.path()
			s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Trailer", "X-Sum")
				_, _ = io.WriteString(w, "a part")
				flush(w)
				w.Header().Set("X-Sum", "17")
			})
			answer := s.forward(t, protocol, harness.NewRequest(t, http.MethodGet, protocol.URL(path), "", "")).Answer(t)
			wantAnswer(t, answer, http.StatusOK, "a part")
			wantHeader(t, answer.Trailer, "X-Sum", "17")
		})
	}
}

func TestInterimAnswersPassThrough(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	for _, final := range []int{http.StatusOK, http.StatusAccepted} {
		t.Run(fmt.Sprint("before ", final), func(t *testing.T) {
			t.Parallel()
			path := s.path()
			s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", "</style.css>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints)
				w.Header().Del("Link")
				w.WriteHeader(final)
			})
			hints := make(chan string, 1)
			req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path), "", "")
			req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
					hints <- fmt.Sprint(code, " ", header.Get("Link"))
					return nil
				},
			}))
			x := s.forward(t, harness.HTTP1, req)
			if got := harness.Receive(t, "early hints", hints); got != "103 </style.css>; rel=preload" {
				t.Errorf("the interim answer is %q", got)
			}
			if final == http.StatusAccepted {
				x.stillWaits(t)
				return
			}
			answer := x.Answer(t)
			wantAnswer(t, answer, final, "")
			wantHeader(t, answer.Header, "Link")
		})
	}
}

func TestStreamArrivesWhileItIsStillBeingSent(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true})
	for _, protocol := range harness.Protocols {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			path := s.path()
			read := make(chan struct{}, 2)
			s.partner.Handle(path, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				for _, part := range []string{"first", "second"} {
					_, _ = io.WriteString(w, part)
					flush(w)
					select {
					case <-read:
					case <-r.Context().Done():
						return
					}
				}
				_, _ = io.WriteString(w, "last")
			})
			resp, err := s.Client(t, protocol).Get(protocol.URL(path))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			for _, part := range []string{"first", "second"} {
				buffer := make([]byte, len(part))
				if _, err := io.ReadFull(resp.Body, buffer); err != nil || string(buffer) != part {
					t.Fatalf("read %q, %v", buffer, err)
				}
				read <- struct{}{}
			}
			if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "last" {
				t.Fatalf("read %q, %v", rest, err)
			}
		})
	}
}

func TestLargeAnswerPassesThrough(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "max_body_size 4KiB"})
	path := s.path()
	large := strings.Repeat("0123456789abcdef", 1<<18)
	s.partner.Handle(path, harness.Ack(http.StatusOK, nil, large))
	wantAnswer(t, s.fetch(t, harness.HTTP1.URL(path)), http.StatusOK, large)
}

func TestAnswerThatBreaksOffBreaksOffForTheClient(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	path := s.path()
	s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "a part")
		flush(w)
		panic(http.ErrAbortHandler)
	})
	// Not s.forward: the proxy logs such a request with all of its headers.
	broken := harness.Send(s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path), "", ""))
	if answer, err := broken.Outcome(); err == nil {
		t.Errorf("the client takes %+v for the whole answer", answer)
	}
}

func TestUnreachableUpstreamEndsTheCallback(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	refused := s.Path("nobody.sock")
	s.Start(t, harness.Config{Private: harness.Hold("", "", "inject header X-Reply-To {http.callback.url}") +
		"reverse_proxy unix/" + refused + `
handle_errors {
	respond "{http.error.status_code}" 502
}`})
	answer := s.fetch(t, harness.HTTP1.URL(s.path()))
	wantAnswer(t, answer, http.StatusBadGateway, "502")
	wantHeader(t, answer.Header, correlationHeader)
}

func TestLostConnectionLeavesTheCallbackOpen(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true})
	for _, protocol := range harness.Protocols {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			path := s.path()
			s.partner.Handle(path, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			x := s.forward(t, protocol, harness.NewRequest(t, http.MethodPost, protocol.URL(path), "text/plain", "an order"))
			perhapsAccepted(t, x, http.StatusBadGateway)
		})
	}
}

func TestGatewayErrorOfTheUpstreamLeavesTheCallbackOpen(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	for _, status := range []int{http.StatusBadGateway, http.StatusGatewayTimeout} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			path := s.path()
			s.partner.Handle(path, harness.Ack(status, nil, "a proxy on the way"))
			x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "an order"))
			perhapsAccepted(t, x, status)
		})
	}
}

func TestUpstreamThatIsTooSlowLeavesTheCallbackOpen(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: harness.Hold("", "", "") + `reverse_proxy unix/` + s.Path("partner.sock") + ` {
	transport http {
		response_header_timeout 100ms
	}
}`})
	path := s.path()
	s.partner.Handle(path, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "an order"))
	perhapsAccepted(t, x, http.StatusGatewayTimeout)
}

// perhapsAccepted checks the answer to a request that the upstream may or may not
// have, and that the callback can still come.
func perhapsAccepted(t *testing.T, x *exchange, status int) {
	t.Helper()
	p := wantProblem(t, x.Answer(t), status, "upstream-unknown")
	wantPickUp(t, p)
	if got := x.stage.status(t, p.StatusURL).Phase; got != "waiting" {
		t.Errorf("phase is %q", got)
	}
	x.resolve(t, "it had the request")
	wantAnswer(t, x.stage.fetch(t, p.ResultURL), http.StatusOK, "it had the request")
}

func TestCallBeforeTheAckIsTheAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	for name, ack := range map[string]http.HandlerFunc{
		"ack":        harness.Ack(http.StatusAccepted, nil, ""),
		"error":      harness.Ack(http.StatusInternalServerError, nil, "too late"),
		"success":    harness.Ack(http.StatusOK, nil, "too late"),
		"connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := s.path()
			called := make(chan struct{})
			s.partner.Handle(path, func(w http.ResponseWriter, r *http.Request) {
				<-called
				ack(w, r)
			})
			x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path), "", ""))
			x.resolve(t, "early")
			close(called)
			wantAnswer(t, x.Answer(t), http.StatusOK, "early")
		})
	}
}

func TestRequestIsSentToTheUpstreamOnce(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	var requests atomic.Int64
	path := s.path()
	s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusAccepted)
	})
	s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path), "", "")).stillWaits(t)
	if got := requests.Load(); got != 1 {
		t.Errorf("the partner got %d requests", got)
	}
}

func TestUpgradeIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	path := s.path()
	req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path), "", "")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	wantProblem(t, s.public(t, req), http.StatusBadRequest, "upgrade")
	if s.partner.Arrived(path) != 0 {
		t.Error("the partner got the request")
	}
}

func TestOfferToUpgradeIsIgnored(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "handle /held* {\n" + s.HoldAndForward("", "", "") + "}\nhandle /parked* {\n" + s.parks("") +
		"}\nhandle /deferred* {\n" + s.deferred("later", "") + "}\nhandle /stored* {\ncallback park {\nname stored\ncall {\n" + s.toPartner() + "}\n}\n}\n"})
	for _, mode := range []string{"held", "parked", "deferred", "stored"} {
		for _, offer := range []struct{ connection, upgrade, settings string }{
			{"Upgrade, HTTP2-Settings", "h2c", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"},
			{"keep-alive, upgrade", "TLS/1.0, IRC/6.9", ""},
			{"upgrade", "", ""},
		} {
			req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/"+mode+s.path()), "text/plain", "order")
			req.Header.Set("Connection", offer.connection)
			for name, value := range map[string]string{"Upgrade": offer.upgrade, "Http2-Settings": offer.settings} {
				if value != "" {
					req.Header.Set(name, value)
				}
			}
			x := s.forward(t, harness.HTTP1, req)
			for _, name := range []string{"Connection", "Upgrade", "Http2-Settings"} {
				wantHeader(t, x.received.Header, name)
			}
			if mode == "held" {
				x.resolve(t, "the result")
				wantAnswer(t, x.Answer(t), http.StatusOK, "the result")
				continue
			}
			wantStatus(t, x.Answer(t), http.StatusAccepted)
		}
	}
}

// flush sends what was written so far. It ignores that the client has left.
func flush(w http.ResponseWriter) {
	if err := http.NewResponseController(w).Flush(); errors.Is(err, http.ErrNotSupported) {
		panic(err)
	}
}
