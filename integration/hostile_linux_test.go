package integration

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// annoyances are what hostile or broken clients send before they stop, leaving their
// connections open.
func annoyances(state string) map[string]string {
	head := "POST /cb/" + state + " HTTP/1.1\r\nHost: callbacks.test\r\nContent-Type: text/plain\r\n"
	unknown := "POST /cb/00000000-0000-4000-8000-000000000000 HTTP/1.1\r\nHost: callbacks.test\r\n"
	return map[string]string{
		"nothing at all":               "",
		"half a line":                  "POST /cb/" + state[:8],
		"half a header":                head + "X-Note: ab",
		"no body of the one announced": head + "Content-Length: 1000000\r\n\r\n",
		"half of the body announced":   head + "Content-Length: 200000\r\n\r\n" + strings.Repeat("a", 100_000),
		"a chunk without end":          head + "Transfer-Encoding: chunked\r\n\r\nfffff\r\n" + strings.Repeat("a", 100_000),
		"a body that nobody asked for": unknown + "Content-Length: 1000000\r\n\r\n" + strings.Repeat("a", 100_000),
		"a body with a GET":            "GET /cb/" + state + " HTTP/1.1\r\nHost: callbacks.test\r\nContent-Length: 1000\r\n\r\na",
	}
}

func TestThousandConnectionsThatGoNowhereHarmNobody(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	victim := s.get(t)
	before := s.Memory(t)
	const each = 125
	opened := 0
	for _, message := range annoyances(victim.state()) {
		for range each {
			conn := s.dial(t, "callbacks")
			opened++
			go func() { _, _ = io.WriteString(conn, message) }()
		}
	}
	for i := range 20 {
		x := s.post(t, "text/plain", "an order")
		x.resolve(t, fmt.Sprint("answer ", i))
		wantAnswer(t, x.Answer(t), http.StatusOK, fmt.Sprint("answer ", i))
	}
	victim.stillWaits(t)
	if grown := s.Memory(t) - before; grown > int64(opened)*(256<<10)*harness.MemoryFactor {
		t.Errorf("%d connections take %d MiB", opened, grown>>20)
	}
}

// A client that gets its answer before it has sent its whole request is not waited
// for, whichever of ack and call comes first.
func TestAnswerDoesNotWaitForTheRequestsBody(t *testing.T) {
	t.Parallel()
	for name, callFirst := range map[string]bool{"the ack comes first": false, "the call comes first": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			urls, called := make(chan string, 1), make(chan struct{})
			s.partner.HandleEvery(func(w http.ResponseWriter, r *http.Request) {
				urls <- r.Header.Get(callbackHeader)
				if callFirst {
					<-called
				}
				// Otherwise the partner's server would first read what the client
				// does not send.
				w.Header().Set("Connection", "close")
				w.WriteHeader(http.StatusAccepted)
			})
			s.Start(t, harness.Config{Private: "log\n" + harness.Hold("", "", "") + s.toPartner()})
			conn := s.rawTo(t, "app", "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000\r\n\r\nhalf")
			url := harness.Receive(t, "the partner is asked", urls)
			s.NeverLog(anyUUID.FindString(url))
			wantStatus(t, s.partner.Call(t, http.MethodPost, url, "text/plain", "an answer"), http.StatusOK)
			close(called)
			// Caddy would give the client a minute to send something.
			if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "an answer" {
				t.Errorf("answered with %q, %v", body, err)
			}
		})
	}
}

// An upstream that sends endlessly to a client that does not read is slowed down, and
// what it sends is not buffered.
func TestUpstreamThatFloodsIsNotBuffered(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	path := s.path()
	flooding := make(chan struct{}, 100)
	block := make([]byte, 64<<10)
	s.partner.Handle(path, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusConflict)
		flooding <- struct{}{}
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	before := s.Memory(t)
	const floods = 50
	for range floods {
		s.rawTo(t, "app", "POST "+path+" HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n")
		harness.Receive(t, "the flood begins", flooding)
	}
	for range 20 {
		s.get(t).resolve(t, "calm")
	}
	if grown := s.Memory(t) - before; grown > floods<<20*harness.MemoryFactor {
		t.Errorf("%d floods take %d MiB", floods, grown>>20)
	}
}

// A body that unpacks to a great deal costs little, whoever has sent it: where something
// depends on it, it is refused, and else it is handed on as it came.
func TestWhatUnpacksToAGreatDealCostsLittle(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("GOGC", wayGOGC)
	s.Start(t, harness.Config{
		Callback: "max_body_size 2MiB",
		Private: "callback /ack/* hold {\nuse_body off\nack json status accepted\n}\n" + harness.Hold("/judged/*", "", "failed json status failed") +
			harness.Hold("/orders/*", "", "respond \"{http.callback.call.body.note}\"\ncopy_headers Content-Encoding") + s.toPartner(),
	})
	zeros := packed(t, 100<<20)
	window := "\x28\xb5\x2f\xfd\x00\x68"
	bombs := map[string][2]string{
		"zeros":                     {"gzip", string(zeros)},
		"zeros twice packed":        {"gzip", packings["gzip"].of(t, string(zeros))},
		"members":                   {"gzip", string(bytes.Repeat(packed(t, 1<<20), 1500))},
		"zeros in deflate":          {"deflate", packings["deflate"].of(t, string(make([]byte, 50<<20)))},
		"a byte in zstd many times": {"zstd", window + strings.Repeat("\x02\x00\x10x", 400_000) + "\x01\x00\x00"},
		"frames that are skipped":   {"zstd", strings.Repeat("\x50\x2a\x4d\x18\x00\x00\x00\x00", 200_000)},
		"a window of 3 TiB":         {"zstd", "\x28\xb5\x2f\xfd\x00\xff\x09\x00\x00x"},
	}
	before := s.Memory(t)
	for name, bomb := range bombs {
		judged := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL("/judged"+s.path()), "", ""))
		var calls []*harness.Pending
		for range 5 {
			req := harness.NewRequest(t, http.MethodPost, judged.url, jsonType, bomb[1])
			req.Header.Set("Content-Encoding", bomb[0])
			calls = append(calls, harness.Send(s.Client(t, harness.HTTP1), req))
		}
		for _, call := range calls {
			wantProblem(t, call.Answer(t), http.StatusBadRequest, "unreadable")
		}
		wantStatus(t, judged.call(t, jsonType, `{"status":"ok"}`), http.StatusOK)
		wantStatus(t, judged.Answer(t), http.StatusOK)

		x := s.get(t)
		wantStatus(t, s.callURL(t, http.MethodPost, x.url, bomb[1], "Content-Encoding", bomb[0]), http.StatusOK)
		if answer := x.Answer(t); answer.Status != http.StatusOK || string(answer.Body) != bomb[1] {
			t.Errorf("%s: the client got %d with %d bytes, want the %d that were sent", name, answer.Status, len(answer.Body), len(bomb[1]))
		}

		path := "/ack" + s.path()
		s.partner.Handle(path, harness.Ack(http.StatusAccepted, http.Header{"Content-Encoding": {bomb[0]}}, bomb[1]))
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "", "an order")
		req.Header.Set("Accept-Encoding", "gzip")
		y := s.forward(t, harness.HTTP1, req)
		if answer := y.Answer(t); answer.Status != http.StatusAccepted || string(answer.Body) != bomb[1] {
			t.Errorf("%s: an ack that cannot be read came as %d with %d bytes", name, answer.Status, len(answer.Body))
		}
		wantStatus(t, y.call(t, "text/plain", "done"), http.StatusOK)
	}
	if grown := s.Memory(t) - before; grown > wayGarbage*harness.MemoryFactor {
		t.Errorf("memory has grown by %d MiB", grown>>20)
	}
}

// packed returns n zeros, compressed.
func packed(t *testing.T, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.CopyN(w, zeros{}, n); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
