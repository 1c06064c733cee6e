package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

const mib = 1 << 20

// stalled opens a connection to a site and sends the beginning of a request with a body
// that never ends.
func (s *stage) stalled(t *testing.T, site, head, body string) {
	t.Helper()
	conn := s.dial(t, site)
	go func() { _, _ = io.WriteString(conn, head+"Host: "+site+".test\r\n\r\n"+body) }()
}

// answered reads the answer on a connection on which a request was sent.
func answered(t *testing.T, conn io.Reader) *harness.Response {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &harness.Response{Status: resp.StatusCode, Header: resp.Header, Body: body}
}

// Whoever has one callback URL takes a part of the memory, not all of it.
func TestBodiesAtOneCallbackURLLeaveMemoryToOthers(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "max_memory 16MiB\nmax_body_size 4MiB"})
	mine, victim := s.get(t), s.get(t)
	const size = 3 * mib
	stall := func() {
		s.stalled(t, "callbacks", fmt.Sprintf("POST /cb/%s HTTP/1.1\r\nContent-Length: %d\r\n", mine.state(), size), strings.Repeat("x", size-1))
	}
	stall()
	large := strings.Repeat("y", 2*mib)
	harness.Eventually(t, "there is no more memory for that URL", func() bool {
		got := mine.callWith(t, correlationHeader, "another", large)
		if got.Status == http.StatusServiceUnavailable && got.Header.Get("Retry-After") != "" {
			return true
		}
		// The body that came first was the one that was refused.
		stall()
		return false
	})
	for range 3 {
		stall()
	}
	wantStatus(t, victim.call(t, "text/plain", large), http.StatusOK)
	wantAnswer(t, victim.Answer(t), http.StatusOK, large)
	harness.Within(t, 30*time.Second, "the bodies that stand still are given up", func() bool {
		return mine.callWith(t, correlationHeader, "another", large).Status == http.StatusBadRequest
	})
	mine.stillWaits(t)
}

// Requests with a key that wait beside the first one do not keep their bodies.
func TestRetriesThatWaitTakeNoMemory(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string]string{"hold": "callback hold 2m\n", "park": "callback park {\nname orders\n}\n", "defer": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			private := lines + s.toPartner()
			if name == "defer" {
				private = s.deferred("orders", "")
			}
			s.Start(t, withAPI(s, harness.Config{Callback: "max_memory 16MiB\nmax_body_size 4MiB", Private: private}, "key off"))
			// Three such bodies are all that one key may have. A request lets go of its body
			// shortly after it waits, so two may have theirs for a moment.
			path, body, release := s.path(), strings.Repeat("x", 4*mib/3-1), make(chan struct{})
			if name == "defer" {
				s.partner.Handle(path, func(http.ResponseWriter, *http.Request) { <-release })
			}
			request := func() *http.Request {
				req := withKey(t, path, "k-1", body)
				req.Header.Set("Prefer", "wait=100")
				return req
			}
			first := s.forward(t, harness.HTTP1, request())
			all := []*harness.Pending{first.Pending}
			for i := range 5 {
				all = append(all, s.again(t, request()))
				harness.Eventually(t, "the request waits, too", func() bool { return s.list(t, "").Held == i+2 })
			}
			other := s.create(t, `{}`)
			wantStatus(t, s.callURL(t, http.MethodPost, other.CallbackURL, strings.Repeat("y", 4*mib-1)), http.StatusOK)
			close(release)
			if name != "defer" {
				first.resolve(t, "done")
			}
			for _, p := range all {
				wantStatus(t, p.Answer(t), http.StatusOK)
			}
		})
	}
}

// Strangers take memory only with bytes that they send.
func TestStrangersWhoSendLittleTakeLittle(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "max_body_size 1MiB\nmax_memory 4MiB", Hold: "state_query state"})
	x := s.get(t)
	const form = "Content-Type: application/x-www-form-urlencoded\r\n"
	for name, head := range map[string]string{
		"in chunks": "Transfer-Encoding: chunked\r\n", "of a length": "Content-Length: 60000\r\n",
	} {
		for range 100 {
			s.stalled(t, "callbacks", "POST /cbq/state HTTP/1.1\r\n"+form+head, "")
			s.stalled(t, "callbacks", "POST /cbq/state HTTP/1.1\r\n"+form+head, "1\r\n")
		}
		got := s.callURL(t, http.MethodPost, harness.BaseURL+"/cbq/state", "state=00000000-0000-4000-8000-000000000000", "Content-Type", "application/x-www-form-urlencoded")
		if got.Status != http.StatusNotFound {
			t.Errorf("%s: %d", name, got.Status)
		}
	}
	// Their large bodies keep out no small ones.
	harness.Eventually(t, "there is no room for a large form", func() bool {
		s.stalled(t, "callbacks", "POST /cbq/state HTTP/1.1\r\n"+form+"Content-Length: 400000\r\n", "a="+strings.Repeat("a", 300_000))
		got := s.callURL(t, http.MethodPost, harness.BaseURL+"/cbq/state", "a="+strings.Repeat("a", 300_000), "Content-Type", "application/x-www-form-urlencoded")
		return got.Status == http.StatusServiceUnavailable
	})
	got := s.callURL(t, http.MethodPost, harness.BaseURL+"/cbq/state", "state="+x.state()+"&a="+strings.Repeat("a", 30_000), "Content-Type", "application/x-www-form-urlencoded")
	wantStatus(t, got, http.StatusOK)
	wantStatus(t, x.Answer(t), http.StatusOK)
}

// What does not depend on the body of a call is decided before that is read.
func TestCallThatComesTooLateIsRefusedBeforeItsBodyIsRead(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	closed, late, shut := s.create(t, `{}`), s.create(t, `{"expiresIn":0.001}`), s.create(t, `{"allowMultipleCalls":true}`)
	wantStatus(t, s.callURL(t, http.MethodPost, shut.CallbackURL, "one"), http.StatusOK)
	for _, c := range []created{closed, shut} {
		wantStatus(t, s.api(t, http.MethodDelete, "/"+c.ID, ""), http.StatusNoContent)
	}
	for name, c := range map[string]struct {
		created
		slug string
	}{"closed": {closed, "closed"}, "expired": {late, "expired"}, "closed after a call": {shut, "closed"}} {
		for site, target := range map[string]string{"callbacks": strings.TrimPrefix(c.CallbackURL, harness.BaseURL), "api": "/callbacks/" + c.ID + "/resolve"} {
			if site == "api" && name == "expired" {
				harness.Eventually(t, "it has expired", func() bool { return s.show(t, c.ID).Phase == "expired" })
			}
			conn := s.rawTo(t, site, "POST "+target+" HTTP/1.1\r\nHost: "+site+".test\r\nContent-Length: 1000000\r\n\r\nx")
			wantProblem(t, answered(t, conn), http.StatusGone, c.slug)
		}
	}
}

func TestBodyThatComesTooSlowlyIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, withAPI(s, harness.Config{Hold: "inject json url {http.callback.url}"}, "key off"))
	x := s.post(t, "application/json", `{}`)
	const length = " HTTP/1.1\r\nContent-Length: 1000000\r\nContent-Type: application/json\r\n"
	for name, c := range map[string]struct{ site, head string }{
		"call": {"callbacks", "POST /cb/" + x.state() + length}, "creation": {"api", "POST /callbacks" + length}, "held request": {"app", "POST " + s.path() + length},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := s.dial(t, c.site)
			go func() {
				if _, err := io.WriteString(conn, c.head+"Host: "+c.site+".test\r\n\r\n"); err != nil {
					return
				}
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				for range tick.C {
					if _, err := io.WriteString(conn, strings.Repeat(" ", 50)); err != nil {
						return
					}
				}
			}()
			got := answered(t, conn)
			wantProblem(t, got, http.StatusRequestTimeout, "too-slow")
		})
	}
}

// A result is read as its client takes it, so that one that stands still takes a piece of it.
func TestDownloadsThatStandStillTakeAPieceEach(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Callback: "max_memory 16MiB\nmax_body_size 4MiB", Private: s.parks("")})
	x := s.get(t)
	p := s.wantParked(t, x.Answer(t))
	large := strings.Repeat("z", 4*mib)
	x.resolve(t, large)
	path := strings.TrimPrefix(p.ResultURL, harness.BaseURL)
	for range 40 {
		conn := s.rawTo(t, "callbacks", "GET "+path+" HTTP/1.1\r\nHost: callbacks.test\r\n\r\n")
		// It has begun.
		if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	y := s.get(t)
	q := s.wantParked(t, y.Answer(t))
	y.resolve(t, large)
	wantAnswer(t, s.fetch(t, q.ResultURL), http.StatusOK, large)
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, large)
}

// A body that turns out to be damaged while it is shown is never taken for a whole one.
func TestDamageAmidAResultEndsTheConnection(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, withAPI(s, harness.Config{Public: "encode gzip\ncallback_server", Private: s.parks("")}, "key off"))
	x := s.get(t)
	p := s.wantParked(t, x.Answer(t))
	large := strings.Repeat("all work and no play ", 50_000)
	x.resolve(t, large)
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, large)
	s.damageBody(t, 500_000)
	targets := map[string]string{"as it is": p.ResultURL, "packed": p.ResultURL, "with the API": apiURL + "/" + p.ID + "/result"}
	for name, target := range targets {
		req := harness.NewRequest(t, http.MethodGet, target, "", "")
		if name != "packed" {
			req.Header.Set("Accept-Encoding", "identity")
		}
		got, err := harness.Send(s.Client(t, harness.HTTP1), req).Outcome()
		if err == nil {
			t.Errorf("%s: status %d and %d bytes of %d, in order", name, got.Status, len(got.Body), len(large))
		}
	}
	s.logged(t, "a body could not be read")
	s.damageBody(t, 100)
	for _, target := range targets {
		wantProblem(t, s.fetch(t, target), http.StatusInternalServerError, "damaged")
	}
}

// damageBody changes a byte of the only body that is in a file.
func (s *stage) damageBody(t *testing.T, at int64) {
	t.Helper()
	err := filepath.WalkDir(s.Path("store", "bodies"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		b := make([]byte, 1)
		_, err = f.ReadAt(b, at)
		b[0] ^= 1
		_, errWrite := f.WriteAt(b, at)
		return errors.Join(err, errWrite, f.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
}
