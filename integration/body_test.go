package integration

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// The sizes at and around which a body is kept in a different way.
var bodySizes = []int{0, 1, 64 << 10, 64<<10 + 1, 1 << 20}

// noise returns bytes that no compression makes smaller, the same every time.
func noise(size int) string {
	var seed [32]byte
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(b)
	return string(b)
}

func TestBodyOfAnySizeReachesTheHeldClient(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true})
	for _, protocol := range harness.Protocols {
		for _, size := range bodySizes {
			x := s.send(t, protocol, http.MethodGet, "", "")
			wantAnswer(t, x.call(t, "application/octet-stream", noise(size)), http.StatusOK, "")
			wantAnswer(t, x.Answer(t), http.StatusOK, noise(size))
		}
	}
}

func TestSeveralLargeBodiesAtOnceReachTheirClients(t *testing.T) {
	t.Parallel()
	const held = 16
	s := start(t, harness.Config{})
	client := s.Client(t, harness.H2C)
	exchanges := make([]*exchange, held)
	calls := make([]*harness.Pending, held)
	body := func(i int) string { return strings.Repeat(string(rune('a'+i)), 1<<20) }
	for i := range exchanges {
		exchanges[i] = s.get(t)
	}
	for i, x := range exchanges {
		calls[i] = harness.Send(client, harness.NewRequest(t, http.MethodPost, x.url, "text/plain", body(i)))
	}
	for i, x := range exchanges {
		wantAnswer(t, calls[i].Answer(t), http.StatusOK, "")
		wantAnswer(t, x.Answer(t), http.StatusOK, body(i))
	}
}

func TestBodyOfAnySizeSurvivesACrash(t *testing.T) {
	t.Parallel()
	cfg := harness.Config{Timeout: "500ms"}
	s := start(t, cfg)
	results := make(map[int]string)
	for _, size := range bodySizes {
		x, p := s.timedOut(t)
		wantStatus(t, x.call(t, "application/octet-stream", noise(size)), http.StatusOK)
		results[size] = p.ResultURL
	}
	s.Kill(t)
	s.Start(t, cfg)
	for size, url := range results {
		result := s.fetch(t, url)
		wantStatus(t, result, http.StatusOK)
		if !bytes.Equal(result.Body, []byte(noise(size))) {
			t.Errorf("of %d bytes came %d, or others", size, len(result.Body))
		}
		wantHeader(t, result.Header, "Content-Type", "application/octet-stream")
	}
}

func TestLargeCallAgainGetsTheSameReply(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.get(t)
	x.resolve(t, noise(1<<20))
	x.resolve(t, noise(1<<20))
	wantProblem(t, x.call(t, "text/plain", noise(1<<20-1)), http.StatusConflict, "already-resolved")
	wantAnswer(t, x.Answer(t), http.StatusOK, noise(1<<20))
}

func TestLargeRequestReachesTheUpstream(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{TLS: true})
	for _, protocol := range harness.Protocols {
		x := s.send(t, protocol, http.MethodPost, "application/octet-stream", noise(4<<20))
		if string(x.received.Body) != noise(4<<20) {
			t.Errorf("over %s the partner got %d bytes, or others", protocol, len(x.received.Body))
		}
		x.stillWaits(t)
	}
}
