package deliver_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/deliver"
)

// impatient is plain with a short timeout.
func impatient(t *testing.T) deliver.Options {
	t.Helper()
	o := plain(t)
	o.Timeout = 100 * time.Millisecond
	return o
}

// flood writes until the other side closes the connection.
func flood(c net.Conn, text string) {
	b := bytes.Repeat([]byte(text), 1+4096/len(text))
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// trickle writes a byte at a time until the other side closes the connection.
func trickle(c net.Conn, text string) {
	next := time.NewTicker(time.Millisecond)
	defer next.Stop()
	for i := 0; ; i = (i + 1) % len(text) {
		<-next.C
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
	}
}

func TestATargetThatDoesNotAnswerTimesOut(t *testing.T) {
	for name, act := range map[string]func(c net.Conn){
		"says nothing":                   untilClosed,
		"trickles a status line":         func(c net.Conn) { trickle(c, "HTTP/1.1 200 "+strings.Repeat("OK", 1<<20)) },
		"trickles a header":              func(c net.Conn) { trickle(c, "HTTP/1.1 200 OK\r\n"+strings.Repeat("A: b\r\n", 1<<18)) },
		"trickles informational answers": func(c net.Conn) { trickle(c, "HTTP/1.1 103 Early Hints\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			ends(t, client(t, impatient(t)).Send(t.Context(), message(raw(t, act))), deliver.Retry, "timed out")
		})
	}
}

func TestATargetThatDoesNotReadTimesOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m := message("http://" + l.Addr().String())
	m.Body = deliver.Bytes(make([]byte, 64<<20))
	ends(t, client(t, impatient(t)).Send(t.Context(), m), deliver.Retry, "timed out")

	o := impatient(t)
	o.Guard.Allow = allow(t, "127.0.0.1")
	ends(t, client(t, o).Send(t.Context(), message("https://"+l.Addr().String())), deliver.Retry, "timed out")
}

func TestATargetThatAnswersNonsenseIsAFailedConnection(t *testing.T) {
	for name, act := range map[string]func(c net.Conn){
		"closes at once":         func(net.Conn) {},
		"closes in the header":   func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le") },
		"another protocol":       func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.internal ESMTP\r\n") },
		"floods the status line": func(c net.Conn) { flood(c, "HTTP/1.1 200 OK") },
		"floods one header":      func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: "); flood(c, "b") },
		"floods headers":         func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"); flood(c, "A: b\r\n") },
		"floods early hints":     func(c net.Conn) { flood(c, "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n") },
		"two lengths": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na")
		},
		"negative length":         func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n") },
		"unknown coding":          func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n") },
		"status out of range":     func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 2000 OK\r\n\r\n") },
		"status below zero":       func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 -20 OK\r\n\r\n") },
		"nothing but NUL":         func(c net.Conn) { flood(c, "\x00") },
		"another HTTP altogether": func(c net.Conn) { _, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			ends(t, client(t, plain(t)).Send(t.Context(), message(raw(t, act))), deliver.Retry, "connection failed")
		})
	}
}

func TestWhatFollowsTheStatusDoesNotMatter(t *testing.T) {
	chunked := "Transfer-Encoding: chunked\r\n\r\n"
	for name, act := range map[string]func(c net.Conn){
		"closes in the body":     func(c net.Conn) { _, _ = io.WriteString(c, "Content-Length: 100\r\n\r\nabc") },
		"closes in a chunk":      func(c net.Conn) { _, _ = io.WriteString(c, chunked+"ff\r\nabc") },
		"chunks are nonsense":    func(c net.Conn) { _, _ = io.WriteString(c, chunked+"zz\r\nabc") },
		"floods up to the close": func(c net.Conn) { _, _ = io.WriteString(c, "\r\n"); flood(c, "body") },
		"floods 10 GB":           func(c net.Conn) { _, _ = io.WriteString(c, "Content-Length: 10000000000\r\n\r\n"); flood(c, "body") },
		"floods chunks":          func(c net.Conn) { _, _ = io.WriteString(c, chunked); flood(c, "4\r\nbody\r\n") },
		"floods chunk extensions": func(c net.Conn) {
			_, _ = io.WriteString(c, chunked)
			flood(c, "1;"+strings.Repeat("a", 2000)+"\r\nb\r\n")
		},
		"floods trailers":         func(c net.Conn) { _, _ = io.WriteString(c, chunked+"0\r\n"); flood(c, "A: b\r\n") },
		"says that it is encoded": func(c net.Conn) { _, _ = io.WriteString(c, "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc") },
		"floods after a short body": func(c net.Conn) {
			_, _ = io.WriteString(c, "Content-Length: 3\r\n\r\nabc")
			flood(c, "HTTP/1.1 500 No\r\n\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			for status, kind := range map[string]deliver.Kind{"200": deliver.Delivered, "500": deliver.Retry} {
				url := raw(t, func(c net.Conn) {
					_, _ = io.WriteString(c, "HTTP/1.1 "+status+" X\r\n")
					act(c)
				})
				if got := client(t, plain(t)).Send(t.Context(), message(url)); got.Kind != kind {
					t.Errorf("%s: %+v", status, got)
				}
			}
		})
	}
}

func TestABodyThatNeverEndsDoesNotOutlastTheTimeout(t *testing.T) {
	for name, act := range map[string]func(c net.Conn){
		"waits":    untilClosed,
		"trickles": func(c net.Conn) { trickle(c, "b") },
	} {
		t.Run(name, func(t *testing.T) {
			url := raw(t, func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n")
				act(c)
			})
			ends(t, client(t, impatient(t)).Send(t.Context(), message(url)), deliver.Delivered, "")
		})
	}
}

func TestATargetThatSwitchesProtocolsIsLeft(t *testing.T) {
	url := raw(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		untilClosed(c)
	})
	ends(t, client(t, plain(t)).Send(t.Context(), message(url)), deliver.Retry, "answered 101")
}

func TestHTTP2TargetsAreBoundedToo(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for b := make([]byte, 4096); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}
	s, _ := server(t, endless)
	ends(t, client(t, trusting(t, s)).Send(t.Context(), message(named(t, s))), deliver.Delivered, "")

	s, _ = server(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("A", strings.Repeat("b", 1<<20)) })
	ends(t, client(t, trusting(t, s)).Send(t.Context(), message(named(t, s))), deliver.Retry, "connection failed")

	s, _ = server(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	o := trusting(t, s)
	o.Timeout = 200 * time.Millisecond
	ends(t, client(t, o).Send(t.Context(), message(named(t, s))), deliver.Retry, "timed out")

	s, _ = server(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	ends(t, client(t, trusting(t, s)).Send(t.Context(), message(named(t, s))), deliver.Retry, "connection failed")
}
