package integration

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// startKeyed returns nodes that know a partner's key.
func startKeyed(t *testing.T, n int, private func(node *stage) string) []*stage {
	t.Helper()
	return startNodesWith(t, n, func(node *stage) harness.Config {
		node.Setenv("CB_KEY", envKey)
		node.NeverLog(envKey)
		return harness.Config{Callback: "key env {env.CB_KEY} send", Private: private(node)}
	})
}

// calling calls the fixed URL without waiting for the reply.
func (s *stage) calling(t *testing.T, id, body string) *harness.Pending {
	t.Helper()
	req := harness.NewRequest(t, http.MethodPost, fixedURL, "text/plain", body)
	req.Header.Set(correlationHeader, id)
	req.Header.Set("Authorization", "Bearer "+envKey)
	return harness.Send(s.Client(t, harness.HTTP1), req)
}

func TestFixedURLOfAnyNodeFindsTheCallbacksOfAll(t *testing.T) {
	t.Parallel()
	nodes := startKeyed(t, 3, func(node *stage) string {
		return harness.Hold("/ours*", "", "key env") + harness.Hold("/asked*", "", "key env\ncorrelation_id request header X-Order") +
			node.HoldAndForward("/acked*", "", "key env\ncorrelation_id ack json jobId")
	})
	a, b, c := nodes[0], nodes[1], nodes[2]
	for prefix, id := range map[string]func(x *exchange) string{
		"/ours":  func(x *exchange) string { return x.received.Header.Get(correlationHeader) },
		"/asked": func(*exchange) string { return "order-7" },
		"/acked": func(*exchange) string { return "job-7" },
	} {
		t.Run(prefix[1:], func(t *testing.T) {
			t.Parallel()
			path := prefix + a.path()
			a.partner.Handle(path, harness.Ack(http.StatusAccepted, http.Header{"Content-Type": {jsonType}}, `{"jobId":"job-7"}`))
			x := a.getOrder(t, path, "order-7")
			for _, node := range []*stage{b, c} {
				wantAnswer(t, node.callFixed(t, id(x), "done", bearer(envKey)...), http.StatusOK, "")
			}
			wantAnswer(t, x.Answer(t), http.StatusOK, "done")
			wantProblem(t, c.callFixed(t, id(x), "another", bearer(envKey)...), http.StatusConflict, "already-resolved")
		})
	}
	t.Run("an id is taken at all nodes", func(t *testing.T) {
		t.Parallel()
		x := a.getOrder(t, "/asked"+a.path(), "order-8")
		req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL("/asked/again"), "", "")
		req.Header.Set("X-Order", "order-8")
		wantProblem(t, b.public(t, req), http.StatusConflict, "correlation-taken")
		wantAnswer(t, c.callFixed(t, "order-8", "done", bearer(envKey)...), http.StatusOK, "")
		wantAnswer(t, x.Answer(t), http.StatusOK, "done")
	})
}

// The partner calls another node before it has answered.
func TestCallThatOvertakesTheAckIsTakenAtAnyNode(t *testing.T) {
	t.Parallel()
	nodes := startKeyed(t, 3, func(node *stage) string {
		return harness.Hold("/hold*", "", "key env\ncorrelation_id ack json jobId") +
			"callback /park* park {\nname parked\nkey env\ncorrelation_id ack json jobId\ncall {\n" + node.toPartner() + "}\n}\n" +
			harness.Hold("/url*", "", "") + harness.Hold("/asked*", "", "key env\ncorrelation_id request header X-Order") + node.toPartner()
	})
	a, b, c := nodes[0], nodes[1], nodes[2]
	for _, prefix := range []string{"/hold", "/park"} {
		t.Run("the ack of "+prefix[1:]+" names the id", func(t *testing.T) {
			t.Parallel()
			path := prefix + a.path()
			release := a.hang(path, harness.Ack(http.StatusAccepted, http.Header{"Content-Type": {jsonType}}, `{"jobId":"`+path+`"}`))
			defer release()
			x := a.getOrder(t, path, "")
			early := []*harness.Pending{b.calling(t, path, "early"), c.calling(t, path, "early")}
			for _, node := range []*stage{b, c} {
				harness.Eventually(t, "the call waits", func() bool { return node.GoroutinesIn(t, "engine.(*Engine).receiveAwaited") >= 1 })
			}
			release()
			released := time.Now()
			for _, call := range early {
				wantAnswer(t, call.Answer(t), http.StatusOK, "")
			}
			if took := time.Since(released); took > tellsWithin {
				t.Errorf("the call is answered %v after the ack", took)
			}
			answer := x.Answer(t)
			if prefix == "/park" {
				p := a.wantParked(t, answer)
				answer = c.fetch(t, p.ResultURL)
			}
			wantAnswer(t, answer, http.StatusOK, "early")
		})
	}
	for prefix, call := range map[string]func(t *testing.T, r *http.Request) *harness.Response{
		"/url": func(t *testing.T, r *http.Request) *harness.Response {
			return b.callURL(t, http.MethodPost, r.Header.Get(callbackHeader), "early")
		},
		"/asked": func(t *testing.T, r *http.Request) *harness.Response {
			return b.callFixed(t, r.Header.Get(correlationHeader), "early", bearer(envKey)...)
		},
	} {
		t.Run("known before the ack: "+prefix[1:], func(t *testing.T) {
			t.Parallel()
			for range 20 {
				path := prefix + a.path()
				reply := make(chan *harness.Response, 1)
				a.partner.Handle(path, func(w http.ResponseWriter, r *http.Request) {
					reply <- call(t, r)
					w.WriteHeader(http.StatusAccepted)
				})
				req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "x")
				req.Header.Set("X-Order", path)
				held := harness.Send(a.Client(t, harness.HTTP1), req)
				wantStatus(t, harness.Receive(t, "a reply", reply), http.StatusOK)
				wantAnswer(t, held.Answer(t), http.StatusOK, "early")
			}
		})
	}
}

func TestCallOfNobodyWaitsOnlyForAcksAtAnyNode(t *testing.T) {
	t.Parallel()
	nodes := startKeyed(t, 2, func(node *stage) string {
		return node.HoldAndForward("/hold*", "", "key env\ncorrelation_id ack json jobId")
	})
	a, b := nodes[0], nodes[1]
	begun := time.Now()
	wantProblem(t, b.calling(t, "nobody's", "no").Answer(t), http.StatusNotFound, "unknown-state")
	if took := time.Since(begun); took > tellsWithin {
		t.Errorf("with no ack awaited it takes %v", took)
	}
	for name, ack := range map[string]http.HandlerFunc{
		"ack":    harness.Ack(http.StatusAccepted, http.Header{"Content-Type": {jsonType}}, `{"jobId":"another"}`),
		"no-ack": harness.Ack(http.StatusBadRequest, nil, "no"),
	} {
		path := "/hold/" + name
		release := a.hang(path, ack)
		x := a.getOrder(t, path, "")
		call := b.calling(t, "nobody's", "no")
		harness.Eventually(t, "the call waits", func() bool { return b.GoroutinesIn(t, "engine.(*Engine).receiveAwaited") == 1 })
		release()
		released := time.Now()
		wantProblem(t, call.Answer(t), http.StatusNotFound, "unknown-state")
		if took := time.Since(released); took > 2*tellsWithin {
			t.Errorf("%s: the call is answered %v after it", name, took)
		}
		if name == "ack" {
			wantAnswer(t, b.callFixed(t, "another", "done", bearer(envKey)...), http.StatusOK, "")
		}
		x.Answer(t)
	}
}
