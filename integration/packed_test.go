package integration

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// packing is a way to pack bodies that is known.
type packing struct {
	coding string
	pack   func(io.Writer) (io.WriteCloser, error)
}

var packings = map[string]packing{
	"gzip":        {"gzip", func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }},
	"deflate":     {"deflate", func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil }},
	"raw deflate": {"deflate", func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) }},
	"zstd":        {"zstd", func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }},
}

// of returns text packed.
func (p packing) of(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := p.pack(&b)
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// ack returns the partner's answer to a request, packed.
func (p packing) ack(t *testing.T, text string) http.HandlerFunc {
	return harness.Ack(http.StatusAccepted, http.Header{"Content-Type": {jsonType}, "Content-Encoding": {p.coding}}, p.of(t, text))
}

// callPacked calls back with a packed body.
func (x *exchange) callPacked(t *testing.T, p packing, text string, lines ...string) *harness.Response {
	t.Helper()
	return x.stage.callURL(t, http.MethodPost, x.url, p.of(t, text), append(lines, "Content-Type", jsonType, "Content-Encoding", p.coding)...)
}

func TestRulesLookIntoPackedBodies(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "failed json status failed\nprogress json status running\nsucceeded json status ok\nerror_text json why\nrespond {http.callback.call.body.challenge}"})
	for name, p := range packings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := s.get(t)
			wantAnswer(t, x.callPacked(t, p, `{"status":"running","challenge":"xyz"}`), http.StatusOK, "xyz")
			wantStatus(t, x.callPacked(t, p, `{"status":"failed","why":"too late"}`), http.StatusOK)
			answer := x.Answer(t)
			wantProblem(t, answer, http.StatusFailedDependency, "failed")
			wantHeader(t, answer.Header, "X-Link-Error-Text", "too late")

			// It is handed on as it came.
			req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(s.path()), "", "")
			req.Header.Set("Accept-Encoding", p.coding)
			x = s.forward(t, harness.HTTP1, req)
			wantStatus(t, x.callPacked(t, p, `{"status":"ok"}`), http.StatusOK)
			wantAnswer(t, x.Answer(t), http.StatusOK, p.of(t, `{"status":"ok"}`))
		})
	}
}

func TestPackedAckIsKnownByWhatItSays(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key env\nack json status accepted\ncorrelation_id ack json job.id"})
	for name, p := range packings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := "job-" + strings.ReplaceAll(name, " ", "-")
			for _, says := range []string{"accepted", "rejected"} {
				path := s.path()
				body := `{"status":"` + says + `","text":"` + strings.Repeat("and so on ", 2000) + `","job":{"id":"` + id + `"}}`
				s.partner.Handle(path, p.ack(t, body))
				req := harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL(path), "", "")
				// The proxy unpacks what it has asked for itself.
				req.Header.Set("Accept-Encoding", "gzip")
				x := s.forward(t, harness.HTTP1, req)
				if says == "rejected" {
					wantAnswer(t, x.Answer(t), http.StatusAccepted, p.of(t, body))
					continue
				}
				wantAnswer(t, s.callFixed(t, id, "done", bearer(envKey)...), http.StatusOK, "")
				wantAnswer(t, x.Answer(t), http.StatusOK, "done")
			}
		})
	}
}

func TestFixedURLFindsTheCorrelationIDInAPackedBody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", envKey)
	s.Start(t, harness.Config{
		Callback: "key env {env.CB_KEY} send\n",
		Hold:     "key env\ncorrelation_id request header X-Order\n",
		Sites: s.Site("ok", "callback_server {\n\tcorrelation_id json id\n\tunmatched 200\n}") +
			s.Site("next", "callback_server {\n\tcorrelation_id json id\n\tunmatched next\n}\nrespond \"the site\" 418"),
	})
	lines := func(coding string) []string {
		return append(bearer(envKey), "Content-Type", jsonType, "Content-Encoding", coding)
	}
	for name, p := range packings {
		id := strings.ReplaceAll(name, " ", "-")
		x := s.getOrder(t, s.path(), id)
		for _, c := range []struct{ coding, body string }{{p.coding, "garbage"}, {p.coding, p.of(t, strings.Repeat(" ", 1<<20)+`{"id":"`+id+`"}`)}} {
			wantProblem(t, s.callURL(t, http.MethodPost, "http://ok.test/cb", c.body, lines(c.coding)...), http.StatusBadRequest, "unreadable")
			wantAnswer(t, s.callURL(t, http.MethodPost, "http://next.test/cb", c.body, lines(c.coding)...), http.StatusTeapot, "the site")
		}
		// It may be somebody's.
		wantProblem(t, s.callURL(t, http.MethodPost, "http://ok.test/cb", "br", lines("br")...), http.StatusUnsupportedMediaType, "unreadable")
		wantAnswer(t, s.callURL(t, http.MethodPost, "http://ok.test/cb", p.of(t, `{"id":"nobody's"}`), lines(p.coding)...), http.StatusOK, "")
		body := `{"id":"` + id + `"}`
		wantAnswer(t, s.callURL(t, http.MethodPost, "http://ok.test/cb", p.of(t, body), lines(p.coding)...), http.StatusOK, "")
		wantAnswer(t, x.Answer(t), http.StatusOK, body)
	}
}

func TestStateInAPackedFormIsFoundAndNotHandedOn(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "state_query state\nfailed form a 0"})
	for _, p := range packings {
		x := s.get(t)
		url, state := harness.BaseURL+"/cbq/state", x.state()
		lines := []string{"Content-Type", "application/x-www-form-urlencoded", "Content-Encoding", p.coding, "Sec-Fetch-Mode", "no-cors"}
		wantProblem(t, s.callURL(t, http.MethodPost, url, "garbage", lines...), http.StatusBadRequest, "unreadable")
		wantProblem(t, s.callURL(t, http.MethodPost, url, p.of(t, "a=1"), lines...), http.StatusNotFound, "unknown-state")
		wantStatus(t, s.callURL(t, http.MethodPost, url, p.of(t, "a=1&state="+state), lines...), http.StatusOK)
		answer := x.Answer(t)
		wantAnswer(t, answer, http.StatusOK, "a=1")
		wantHeader(t, answer.Header, "Content-Encoding")
	}
}

func TestHandlersAfterACallReadItsPackedBody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "callback park {\nname job\ncall {\n" + s.toPartner() + "}\nthen {\nrespond \"total is {http.callback.job.call.body.total}\"\n}\n}\n"})
	for _, text := range []string{`{"total":17}`, fmt.Sprintf(`{"total":17,"noise":"%x"}`, noise(100_000))} {
		for _, p := range packings {
			path := s.path()
			s.partner.Handle(path, harness.Ack(http.StatusAccepted, nil, ""))
			x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
			parked := s.wantParked(t, x.Answer(t))
			wantStatus(t, x.callPacked(t, p, text), http.StatusOK)
			harness.Eventually(t, "the job has ended", func() bool { return s.status(t, parked.StatusURL).Phase == "resolved" })
			wantAnswer(t, s.fetch(t, parked.ResultURL), http.StatusOK, "total is 17")
		}
	}
}

func TestCorrelationIDIsFoundInAPackedRequest(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "correlation_id request json order"})
	for _, p := range packings {
		body := p.of(t, `{"order":"17"}`)
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(s.path()), jsonType, body)
		req.Header.Set("Content-Encoding", p.coding)
		x := s.forward(t, harness.HTTP1, req)
		wantHeader(t, x.received.Header, correlationHeader, "17")
		if string(x.received.Body) != body {
			t.Errorf("the partner got %s", short(x.received.Body))
		}
		x.stillWaits(t)
		req = harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(s.path()), jsonType, body[:len(body)-1])
		req.Header.Set("Content-Encoding", p.coding)
		wantProblem(t, s.public(t, req), http.StatusBadRequest, "invalid-correlation-id")
	}
}
