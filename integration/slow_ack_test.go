package integration

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// slowAck is an upstream that takes its time, before its ack or in the middle of it.
type slowAck struct {
	goOn  chan struct{}
	ended chan error
}

// slowly makes the partner answer requests for the path with status and the beginning of a
// body, if there is one, and end its answer when it is told to.
func (s *stage) slowly(t *testing.T, path string, begun bool, body string) *slowAck {
	t.Helper()
	// The partner must not go before its last answer has arrived.
	t.Cleanup(func() { s.Acknowledged(t) })
	a := &slowAck{goOn: make(chan struct{}), ended: make(chan error, 16)}
	ack := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, body)
		flush(w)
	}
	s.partner.Handle(path, func(w http.ResponseWriter, r *http.Request) {
		if begun {
			ack(w)
		}
		select {
		case <-a.goOn:
		case <-r.Context().Done():
			a.ended <- r.Context().Err()
			return
		}
		if !begun {
			ack(w)
		}
		_, err := io.WriteString(w, "the rest")
		a.ended <- err
	})
	return a
}

// end lets the upstream end its answer. Nobody has cut it off meanwhile.
func (a *slowAck) end(t *testing.T) {
	t.Helper()
	close(a.goOn)
	if err := harness.Receive(t, "the upstream ends its answer", a.ended); err != nil {
		t.Errorf("the upstream was cut off: %v", err)
	}
}

// eachMode starts a stage that holds below /held and parks below /parked.
func eachMode(t *testing.T, lines string) *stage {
	t.Helper()
	s := newStage(t)
	s.Start(t, harness.Config{TLS: true, Private: "handle /held* {\n" + s.HoldAndForward("", "", lines) + "}\nhandle {\n" + s.parks(lines) + "}\n"})
	return s
}

func TestClientDoesNotWaitForTheEndOfTheAck(t *testing.T) {
	t.Parallel()
	s := eachMode(t, "")
	for _, protocol := range harness.Protocols {
		for _, mode := range []string{"held", "parked", "async"} {
			t.Run(string(protocol)+" "+mode, func(t *testing.T) {
				t.Parallel()
				path := "/" + mode + s.path()
				if mode == "async" {
					path = "/held" + path
				}
				a := s.slowly(t, path, true, "the beginning of ")
				req := harness.NewRequest(t, http.MethodPost, protocol.URL(path), "text/plain", "order")
				if mode == "async" {
					req.Header.Set("Prefer", "respond-async")
				}
				x := s.forward(t, protocol, req)
				if mode == "held" {
					x.resolve(t, "the result")
					wantAnswer(t, x.Answer(t), http.StatusOK, "the result")
				} else {
					p := s.wantParked(t, x.Answer(t))
					x.resolve(t, "the result")
					wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "the result")
				}
				a.end(t)
				// The connection is good for another request.
				next := s.send(t, protocol, http.MethodPost, "text/plain", "another")
				s.wantParked(t, next.Answer(t))
			})
		}
	}
}

func TestCallThatComesBeforeTheAckDecidesAtOnce(t *testing.T) {
	t.Parallel()
	s := eachMode(t, "")
	for _, protocol := range harness.Protocols {
		for _, mode := range []string{"held", "parked"} {
			for _, status := range []string{"Ok", "Failed"} {
				t.Run(string(protocol)+" "+mode+" "+status, func(t *testing.T) {
					t.Parallel()
					path := "/" + mode + s.path()
					a := s.slowly(t, path, false, "")
					x := s.forward(t, protocol, harness.NewRequest(t, http.MethodPost, protocol.URL(path), "text/plain", "order"))
					wantStatus(t, x.callWith(t, statusHeader, status, "the result"), http.StatusOK)
					switch answer := x.Answer(t); {
					case mode == "parked":
						s.wantParked(t, answer)
					case status == "Failed":
						wantProblem(t, answer, http.StatusFailedDependency, "failed")
					default:
						wantAnswer(t, answer, http.StatusOK, "the result")
					}
					a.end(t)
				})
			}
		}
	}
}

func TestKeyDoesNotMakeAClientWaitForTheEndOfTheAck(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	for name, begun := range map[string]bool{"in the middle of the ack": true, "before the ack": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := s.path()
			a := s.slowly(t, path, begun, "")
			x := s.forward(t, harness.HTTP1, withKey(t, path, path, "order"))
			again := s.again(t, withKey(t, path, path, "order"))
			x.resolve(t, "the result")
			wantAnswer(t, x.Answer(t), http.StatusOK, "the result")
			wantAnswer(t, again.Answer(t), http.StatusOK, "the result")
			wantAnswer(t, s.public(t, withKey(t, path, path, "order")), http.StatusOK, "the result")
			s.wantArrivals(t, path, 0)
			a.end(t)
		})
	}
}

func TestStepDoesNotWaitForTheEndOfTheAck(t *testing.T) {
	t.Parallel()
	for name, begun := range map[string]bool{"in the middle of the ack": true, "before the ack": false} {
		s := newStage(t)
		s.Start(t, harness.Config{Private: "callback hold 2m {\n\tcall {\n\t\trewrite /check\n\t\t" + s.toPartner() + "\t}\n}\n" + s.toPartner()})
		a := s.slowly(t, "/check", begun, "")
		s.partner.Handle("/orders", harness.Ack(http.StatusCreated, nil, "made"))
		pending := harness.Send(s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/orders"), "text/plain", "order"))
		url := s.partner.Received(t, "/check").Header.Get(callbackHeader)
		wantStatus(t, s.partner.Call(t, http.MethodPost, url, "text/plain", "checked"), http.StatusOK)
		if received := s.partner.Received(t, "/orders"); string(received.Body) != "checked" {
			t.Errorf("%s: the app got %s", name, received.Body)
		}
		wantAnswer(t, pending.Answer(t), http.StatusCreated, "made")
		a.end(t)
	}
}

func TestAckIsWaitedForWhereItIsTheResult(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "use_body off"})
	for _, begun := range []bool{true, false} {
		path := s.path()
		a := s.slowly(t, path, begun, "the beginning, ")
		x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
		x.resolve(t, "only says yes")
		a.end(t)
		wantAnswer(t, x.Answer(t), http.StatusAccepted, "the beginning, the rest")
	}
}

func TestAckIsReadUpToTheEndOfItsJSON(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key env\ncorrelation_id ack json jobId"})
	path := s.path()
	a := s.slowly(t, path, true, `{"jobId":"job-17"}`)
	x := s.getOrder(t, path, "")
	wantAnswer(t, s.callFixed(t, "job-17", "done", bearer(envKey)...), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, "done")
	a.end(t)
}

func TestJobIsAckedByTheStatus(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "callback park {\n\tname orders\n\tattempt_timeout 500ms\n\tcall {\n\t\t" + s.toPartner() + "\t}\n}\n"})
	path := s.path()
	a := s.slowly(t, path, true, "")
	// A GET would be made again if its answer had not come in time.
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path), "", ""))
	p := s.wantParked(t, x.Answer(t))
	harness.Eventually(t, "the job is done", func() bool {
		return !strings.Contains(string(s.admin(t, http.MethodGet, "/"+p.ID, "").Body), `"job":`)
	})
	x.resolve(t, "the result")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "the result")
	a.end(t)
	s.wantArrivals(t, path, 0)
}

// listen makes handler take requests at an address that is returned, whose bodies it reads
// itself.
func (s *stage) listen(t *testing.T, handler http.HandlerFunc) (address string) {
	t.Helper()
	address = s.Path("other.sock")
	listener, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "unix/" + address
}

// An upstream that acks before it has read the request gets the rest of it.
func TestJobSendsItsRequestToTheEnd(t *testing.T) {
	t.Parallel()
	for name, inject := range map[string]string{"stored": "", "changed": "inject json a b\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			goOn, read := make(chan struct{}), make(chan error, 1)
			upstream := s.listen(t, func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex()
				w.WriteHeader(http.StatusAccepted)
				flush(w)
				<-goOn
				_, err := io.Copy(io.Discard, r.Body)
				read <- err
			})
			s.Start(t, harness.Config{Private: "callback park {\n\tname orders\n" + inject + "\tcall {\n\t\treverse_proxy " + upstream + "\n\t}\n}\n"})
			body := `{"order":"` + strings.Repeat("x", 8<<20) + `"}`
			p := s.wantParked(t, s.again(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(s.path()), jsonType, body)).Answer(t))
			harness.Eventually(t, "the job is done", func() bool {
				return !strings.Contains(string(s.admin(t, http.MethodGet, "/"+p.ID, "").Body), `"job":`)
			})
			close(goOn)
			if err := harness.Receive(t, "the request is read", read); err != nil {
				t.Error(err)
			}
			s.wantBodyFiles(t, "in the end", 0)
		})
	}
}

func TestClientThatLeavesDoesNotEndTheAck(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	path := s.path()
	a := s.slowly(t, path, true, "")
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
	x.Leave(t)
	x.resolve(t, "nobody is there")
	a.end(t)
}
