package integration

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// saysYes are the lines by which an ack is known in these tests.
const saysYes = "ack 200 202\nack json status accepted queued\nack header X-Job"

// jobHeader is the header of an ack in these tests.
func jobHeader(more ...string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "X-Job": {"7"}}
	for i := 0; i < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	return h
}

func TestAckIsKnownByWhatItSays(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{TLS: true, Private: s.HoldAndForward("", "", saysYes)})
	for _, protocol := range harness.Protocols {
		for _, more := range []string{"", "\n", `{"status":"done"}`} {
			path := s.path()
			s.partner.Handle(path, harness.Ack(http.StatusOK, jobHeader(), `{"status":"queued"}`+more))
			s.forward(t, protocol, harness.NewRequest(t, http.MethodGet, protocol.URL(path), "", "")).stillWaits(t)
		}
	}
}

func TestAnswerThatDoesNotSaySoPassesByteForByte(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{TLS: true, Private: s.HoldAndForward("", "", saysYes)})
	long := `{"status":"rejected","why":"` + strings.Repeat("no stock, ", 20_000) + `"}`
	for name, answer := range map[string]struct {
		status int
		header http.Header
		body   string
	}{
		"another value":  {http.StatusOK, jobHeader("Etag", `"1"`, "Set-Cookie", "a=b"), `{ "status" : "rejected" }` + "\n"},
		"another status": {http.StatusCreated, jobHeader(), `{"status":"accepted"}`},
		"no header":      {http.StatusAccepted, http.Header{"Content-Type": {"application/json"}}, `{"status":"accepted"}`},
		"no member":      {http.StatusAccepted, jobHeader(), `[]`},
		"no body":        {http.StatusOK, jobHeader(), ""},
		"long":           {http.StatusOK, jobHeader(), long},
	} {
		answer.header.Set("Content-Length", strconv.Itoa(len(answer.body)))
		for _, protocol := range harness.Protocols {
			t.Run(name+" "+string(protocol), func(t *testing.T) {
				t.Parallel()
				path := s.path()
				s.partner.Handle(path, harness.Ack(answer.status, answer.header.Clone(), answer.body))
				x := s.forward(t, protocol, harness.NewRequest(t, http.MethodPost, protocol.URL(path), "text/plain", "order"))
				got := x.Answer(t)
				wantAnswer(t, got, answer.status, answer.body)
				for header, values := range answer.header {
					wantHeader(t, got.Header, header, values...)
				}
				x.closed(t)
			})
		}
	}
}

func TestTrailersOfAnAnswerThatDoesNotSaySoPass(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{TLS: true, Private: s.HoldAndForward("", "", "ack json status accepted")})
	for _, protocol := range harness.Protocols {
		for name, body := range map[string]string{"JSON": `{"status":"no"}`, "a number": "12"} {
			path := s.path()
			s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Trailer", "X-Sum")
				_, _ = io.WriteString(w, body[:1])
				flush(w)
				_, _ = io.WriteString(w, body[1:])
				w.Header().Set("X-Sum", "7")
			})
			answer := s.forward(t, protocol, harness.NewRequest(t, http.MethodPost, protocol.URL(path), "text/plain", "order")).Answer(t)
			wantAnswer(t, answer, http.StatusOK, body)
			if got := answer.Trailer.Get("X-Sum"); got != "7" {
				t.Errorf("%s, %s: the trailer is %q", protocol, name, got)
			}
		}
	}
}

func TestAnswerThatCannotBeReadPassesAndMayBeAnAck(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Callback: "max_body_size 1KiB", Private: s.HoldAndForward("", "", "ack json status accepted")})
	packed := packings["gzip"].of(t, `{"status":"accepted"}`)
	for name, answer := range map[string]struct {
		header http.Header
		body   string
	}{
		"no JSON":        {http.Header{"Content-Type": {"text/html"}}, "<html>accepted</html>"},
		"cut short":      {http.Header{}, `{"status":"accepted"`},
		"a member twice": {http.Header{}, `{"status":"accepted","status":"rejected"}`},
		"packed":         {http.Header{"Content-Encoding": {"br"}}, packed},
		"packed twice":   {http.Header{"Content-Encoding": {"gzip, gzip"}}, packings["gzip"].of(t, packed)},
		"packed and cut": {http.Header{"Content-Encoding": {"gzip"}}, packed[:len(packed)-4]},
		"too large":      {http.Header{}, `{"status":"accepted","x":"` + strings.Repeat("x", 2<<10) + `"}`},
	} {
		path := s.path()
		s.partner.Handle(path, harness.Ack(http.StatusOK, answer.header, answer.body))
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order")
		// The proxy unpacks what it has asked for itself.
		req.Header.Set("Accept-Encoding", "gzip")
		x := s.forward(t, harness.HTTP1, req)
		got := x.Answer(t)
		wantAnswer(t, got, http.StatusOK, answer.body)
		wantHeader(t, got.Header, "Content-Encoding", answer.header.Values("Content-Encoding")...)
		if got := x.call(t, "text/plain", "it was"); got.Status != http.StatusOK {
			t.Errorf("%s: the callback does not wait: %d", name, got.Status)
		}
	}
}

func TestParkedAckIsKnownByWhatItSays(t *testing.T) {
	t.Parallel()
	s := startParked(t, saysYes)
	for body, acked := range map[string]bool{`{"status":"accepted"}`: true, `{"status":"no"}`: false} {
		path := s.path()
		s.partner.Handle(path, harness.Ack(http.StatusOK, jobHeader(), body))
		x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
		if acked {
			s.wantParked(t, x.Answer(t))
			continue
		}
		wantAnswer(t, x.Answer(t), http.StatusOK, body)
		x.closed(t)
	}
}

func TestAckOfAJobIsKnownByWhatItSays(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "callback park {\nname orders\n" + saysYes + "\ncall {\n" + s.toPartner() + "}\n}\n"})
	for name, c := range map[string]struct {
		body  string
		phase string
	}{
		"yes":    {`{"status":"accepted"}`, "waiting"},
		"no":     {`{"status":"rejected"}`, "resolved"},
		"unread": {`accepted`, "waiting"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := s.path()
			s.partner.Handle(path, harness.Ack(http.StatusOK, jobHeader(), c.body))
			x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
			p := s.wantParked(t, x.Answer(t))
			if c.phase != "waiting" {
				if st := s.ends(t, p.StatusURL); st.Phase != c.phase {
					t.Errorf("the status is %+v", st)
				}
				wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, c.body)
				return
			}
			harness.Eventually(t, "the job is done", func() bool {
				return !strings.Contains(string(s.admin(t, http.MethodGet, "/"+p.ID, "").Body), `"job":`)
			})
			x.resolve(t, "the result")
			wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "the result")
			s.wantArrivals(t, path, 0)
		})
	}
}

func TestStepEndsWithAnAnswerThatIsNoAck(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "callback hold 2m {\n\tack json status accepted\n\tcall {\n\t\trewrite /check\n\t\t" + s.toPartner() + "\t}\n}\n" + s.toPartner()})
	for _, body := range []string{`{"status":"rejected"}`, "accepted"} {
		s.partner.Handle("/check", harness.Ack(http.StatusOK, nil, body))
		path := s.path()
		pending := harness.Send(s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
		url := s.partner.Received(t, "/check").Header.Get(callbackHeader)
		wantAnswer(t, pending.Answer(t), http.StatusOK, body)
		wantProblem(t, s.partner.Call(t, http.MethodPost, url, "text/plain", "late"), http.StatusGone, "closed")
		s.wantArrivals(t, path, 0)
	}
}

func TestKeyOfAnAnswerThatIsWeighed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: s.HoldAndForward("", "", "ack json status accepted")})
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusOK, jobHeader("Etag", `"1"`), `{"status":"rejected"}`))
	x := s.forward(t, harness.HTTP1, withKey(t, path, "rejected", "order"))
	wantAnswer(t, x.Answer(t), http.StatusOK, `{"status":"rejected"}`)
	again := s.public(t, withKey(t, path, "rejected", "order"))
	wantAnswer(t, again, http.StatusOK, `{"status":"rejected"}`)
	wantHeader(t, again.Header, "Idempotency-Replayed", "true")
	wantHeader(t, again.Header, "Etag", `"1"`)
	s.wantArrivals(t, path, 0)

	// An answer that cannot be read leaves the key with its callback.
	s.partner.Handle(path, harness.Ack(http.StatusOK, nil, "accepted"))
	unread := s.forward(t, harness.HTTP1, withKey(t, path, "unread", "order"))
	wantAnswer(t, unread.Answer(t), http.StatusOK, "accepted")
	unread.resolve(t, "it was")
	wantAnswer(t, s.public(t, withKey(t, path, "unread", "order")), http.StatusOK, "it was")
	s.wantArrivals(t, path, 0)
}

func TestAckThatIsWeighedIsTheResultOrNamesTheCorrelationID(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key env\nuse_body off\nack 200\nack json status accepted\ncorrelation_id ack json jobId"})
	path := s.path()
	const ack = `{"jobId":"job-21","status":"accepted"} `
	s.partner.Handle(path, harness.Ack(http.StatusOK, jobHeader(), ack))
	x := s.getOrder(t, path, "")
	wantAnswer(t, s.callFixed(t, "job-21", "done", bearer(envKey)...), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, ack)
}

func TestAckThatIsWeighedNeedNotEnd(t *testing.T) {
	t.Parallel()
	s := eachMode(t, "ack json status accepted")
	for _, protocol := range harness.Protocols {
		for _, mode := range []string{"held", "parked"} {
			path := "/" + mode + s.path()
			a := s.slowly(t, path, true, `{"status":"accepted"}`)
			x := s.forward(t, protocol, harness.NewRequest(t, http.MethodPost, protocol.URL(path), "text/plain", "order"))
			if mode == "parked" {
				s.wantParked(t, x.Answer(t))
			}
			x.resolve(t, "the result")
			if mode == "held" {
				wantAnswer(t, x.Answer(t), http.StatusOK, "the result")
			}
			a.end(t)
		}
	}
}

func TestCallDecidesWhileTheAnswerIsWeighed(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "ack json status accepted"})
	path := s.path()
	a := s.slowly(t, path, true, `{"status":`)
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
	x.resolve(t, "the result")
	wantAnswer(t, x.Answer(t), http.StatusOK, "the result")
	a.end(t)
}

func TestAnswerThatBreaksOffWhileItIsWeighedMayBeAnAck(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "ack json status accepted"})
	path := s.path()
	s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"status":`)
		flush(w)
		panic(http.ErrAbortHandler)
	})
	// The proxy logs such a request, with its header.
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order")
	pending := harness.Send(s.Client(t, harness.HTTP1), req)
	url := s.partner.Received(t, path).Header.Get(callbackHeader)
	wantProblem(t, pending.Answer(t), http.StatusBadGateway, "upstream-unknown")
	wantStatus(t, s.partner.Call(t, http.MethodPost, url, "text/plain", "it was"), http.StatusOK)
}
