package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

func TestMain(m *testing.M) {
	os.Exit(postgrestest.Main(func() int { return harness.Main(m) }))
}

// uuid is the form of every id, state and ticket.
const uuid = `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`

var (
	anyUUID         = regexp.MustCompile(uuid)
	wholeUUID       = regexp.MustCompile(`^` + uuid + `$`)
	callbackURLForm = regexp.MustCompile(`^http://callbacks\.test/cb/` + uuid + `$`)
	statusURLForm   = regexp.MustCompile(`^http://callbacks\.test/cbr/` + uuid + `$`)
	resultURLForm   = regexp.MustCompile(`^http://callbacks\.test/cbr/` + uuid + `/result$`)
)

// The wire headers, as they are called by default.
const (
	correlationHeader = "X-Link-Correlation-Id"
	callbackHeader    = "X-Link-Callback-Url"
	statusHeader      = "X-Link-Status"
)

// stage is a server and the partner behind it.
type stage struct {
	*harness.Caddy
	partner *harness.Partner
	paths   atomic.Int64
}

// newStage returns a stage on which only the partner runs.
func newStage(t *testing.T) *stage {
	t.Helper()
	c := harness.New(t)
	return &stage{Caddy: c, partner: harness.NewPartner(t, c)}
}

// start returns a stage on which the server runs.
func start(t *testing.T, cfg harness.Config) *stage {
	t.Helper()
	s := newStage(t)
	s.Start(t, cfg)
	return s
}

// path returns a path that no other request of this stage has.
func (s *stage) path() string { return fmt.Sprintf("/orders/%d", s.paths.Add(1)) }

// exchange is a request that the partner has received.
type exchange struct {
	*harness.Pending
	stage    *stage
	received *harness.Received
	url      string
}

// get sends a GET request and waits until the partner has it.
func (s *stage) get(t *testing.T) *exchange {
	t.Helper()
	return s.send(t, harness.HTTP1, http.MethodGet, "", "")
}

// post sends a POST request and waits until the partner has it.
func (s *stage) post(t *testing.T, contentType, body string) *exchange {
	t.Helper()
	return s.send(t, harness.HTTP1, http.MethodPost, contentType, body)
}

// send sends a request and waits until the partner has it.
func (s *stage) send(t *testing.T, p harness.Protocol, method, contentType, body string) *exchange {
	t.Helper()
	return s.forward(t, p, harness.NewRequest(t, method, p.URL(s.path()), contentType, body))
}

// forward sends the request, whose path no other request may have, and waits until
// the partner has it.
func (s *stage) forward(t *testing.T, p harness.Protocol, req *http.Request) *exchange {
	t.Helper()
	x := &exchange{stage: s, Pending: harness.Send(s.Client(t, p), req)}
	x.received = s.partner.Received(t, req.URL.Path)
	x.url = x.received.Header.Get(callbackHeader)
	if x.url != "" {
		s.NeverLog(anyUUID.FindString(x.url))
	}
	return x
}

// call calls back with a body and waits for the reply.
func (x *exchange) call(t *testing.T, contentType, body string) *harness.Response {
	t.Helper()
	return x.stage.public(t, harness.NewRequest(t, http.MethodPost, x.url, contentType, body))
}

// callWith calls back with a header line beside the body.
func (x *exchange) callWith(t *testing.T, name, value, body string) *harness.Response {
	t.Helper()
	req := harness.NewRequest(t, http.MethodPost, x.url, "text/plain", body)
	req.Header.Set(name, value)
	return x.stage.public(t, req)
}

// resolve calls back and expects the call to be accepted.
func (x *exchange) resolve(t *testing.T, body string) {
	t.Helper()
	wantStatus(t, x.call(t, "text/plain", body), http.StatusOK)
}

// stillWaits checks that the callback still accepts its call: it calls back, and the
// client gets that answer.
func (x *exchange) stillWaits(t *testing.T) {
	t.Helper()
	x.resolve(t, "the one that counts")
	wantAnswer(t, x.Answer(t), http.StatusOK, "the one that counts")
}

// closed checks that the callback was closed, with a call that could never be
// accepted, so that the check changes nothing.
func (x *exchange) closed(t *testing.T) {
	t.Helper()
	harness.Eventually(t, "the callback is closed", func() bool {
		return x.callWith(t, correlationHeader, "another", "").Status == http.StatusGone
	})
	wantProblem(t, x.call(t, "text/plain", "too late"), http.StatusGone, "closed")
}

// state returns the secret of the callback URL.
func (x *exchange) state() string { return anyUUID.FindString(x.url) }

// public sends a request over HTTP/1.1 and waits for the answer.
func (s *stage) public(t *testing.T, req *http.Request) *harness.Response {
	t.Helper()
	return harness.Do(t, s.Client(t, harness.HTTP1), req)
}

// dial opens a connection to a site, which stays open until the test ends.
func (s *stage) dial(t *testing.T, site string) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: s.Path(site + ".sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// rawTo sends bytes to a site and leaves the connection open.
func (s *stage) rawTo(t *testing.T, site, message string) *net.UnixConn {
	t.Helper()
	conn := s.dial(t, site)
	if _, err := io.WriteString(conn, message); err != nil {
		t.Fatal(err)
	}
	return conn
}

// fetch gets a URL over HTTP/1.1.
func (s *stage) fetch(t *testing.T, url string) *harness.Response {
	t.Helper()
	return s.public(t, harness.NewRequest(t, http.MethodGet, url, "", ""))
}

// wantStatus checks a response's status.
func wantStatus(t *testing.T, got *harness.Response, status int) {
	t.Helper()
	if got.Status != status {
		t.Fatalf("status is %d, want %d; header %v, body %s", got.Status, status, got.Header, short(got.Body))
	}
}

// wantAnswer checks a response's status and body.
func wantAnswer(t *testing.T, got *harness.Response, status int, body string) {
	t.Helper()
	wantStatus(t, got, status)
	if string(got.Body) != body {
		t.Fatalf("body is %s, want %s", short(got.Body), short([]byte(body)))
	}
}

// wantHeader checks that a header has exactly these values.
func wantHeader(t *testing.T, h http.Header, name string, values ...string) {
	t.Helper()
	if got := h.Values(name); strings.Join(got, "\n") != strings.Join(values, "\n") {
		t.Errorf("%s is %q, want %q", name, got, values)
	}
}

// short makes a body fit for a message.
func short(body []byte) string {
	const limit = 300
	if len(body) <= limit {
		return fmt.Sprintf("%q", body)
	}
	return fmt.Sprintf("%q... (%d bytes)", body[:limit], len(body))
}
