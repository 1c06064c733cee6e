package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// annoyances are what strangers and partners of bad manners send, and then leave at
// that: their connections stay open.
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
	for name, message := range annoyances(victim.state()) {
		for range each {
			conn, err := net.Dial("unix", s.Path("callbacks.sock"))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			t.Cleanup(func() { _ = conn.Close() })
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

// An upstream that sends without end to a client that does not read is held back, and
// what it sends is not gathered.
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
		conn, err := net.Dial("unix", s.Path("app.sock"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		harness.Receive(t, "the flood begins", flooding)
	}
	for range 20 {
		s.get(t).resolve(t, "calm")
	}
	if grown := s.Memory(t) - before; grown > floods<<20*harness.MemoryFactor {
		t.Errorf("%d floods take %d MiB", floods, grown>>20)
	}
}
