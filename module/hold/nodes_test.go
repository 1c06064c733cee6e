package hold_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/app/apptest"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

func init() {
	caddy.RegisterModule(memoryStore{})
	caddy.RegisterModule(asked{})
}

// memoryStore is the configuration of a node on a memory.
type memoryStore struct {
	Node string `json:"node"`
}

// memories are the memories of nodes, and joined the stores that they have opened.
var (
	memories = make(map[string]*storetest.Memory)
	joined   = make(map[string]store.Shared)
)

func (memoryStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "callback.stores.memory", New: func() caddy.Module { return new(memoryStore) }}
}

func (m *memoryStore) Identity() (string, error) { return m.Node, nil }

func (m *memoryStore) Open(*zap.Logger) (store.Store, error) {
	s := memories[m.Node].Join()
	joined[m.Node] = s
	return s, nil
}

// node is a sidecar that shares its callbacks with others.
type node struct {
	*sidecar
	name string
}

// nodes are several sidecars behind a balancer, with one configuration.
func nodes(t *testing.T, n int, directive string) []node {
	t.Helper()
	memory, sum := storetest.NewMemory(), sha256.Sum256([]byte("the-key-of-the-erp"))
	all := make([]node, n)
	for i := range all {
		name := t.Name() + string(rune('a'+i))
		memories[name] = memory
		ctx := apptest.NewContext(t, `{"base_url":"https://app.example.com","keys":[{"name":"erp","secret":"sha256:`+hex.EncodeToString(sum[:])+`","permissions":["send"]}],"store":{"store":"memory","node":"`+name+`"}}`)
		load := func(id, config string) caddyhttp.MiddlewareHandler {
			h, err := ctx.LoadModuleByID("http.handlers."+id, json.RawMessage(config))
			if err != nil {
				t.Fatal(err)
			}
			return h.(caddyhttp.MiddlewareHandler)
		}
		all[i] = node{&sidecar{hold: load("callback", directive), calls: load("callback_server", `{}`), server: new(caddyhttp.Server)}, name}
		started, err := ctx.App("callback")
		if err == nil {
			err = started.(caddy.App).Start()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// upstream is an app that counts what it accepts, and tells the URL that it is to call.
type upstream struct {
	accepted atomic.Int64
	urls     chan string
	// late, if it is not nil, keeps the ack back until it is closed.
	late   chan struct{}
	header http.Header
}

func newUpstream() *upstream {
	return &upstream{urls: make(chan string, 10), header: make(http.Header)}
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	u.accepted.Add(1)
	u.urls <- r.Header.Get("X-Link-Callback-Url")
	if u.late != nil {
		select {
		case <-u.late:
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
	for name, values := range u.header {
		w.Header()[name] = values
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// send makes a request of a client.
func (n node) send(t *testing.T, next caddyhttp.Handler, header ...string) <-chan *httptest.ResponseRecorder {
	t.Helper()
	answered := make(chan *httptest.ResponseRecorder, 1)
	r := httptest.NewRequest(http.MethodPost, "http://app.test/orders", strings.NewReader("an order"))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	go func() {
		w, err := n.serve(n.hold, r.WithContext(t.Context()), next)
		if err != nil {
			t.Error(err)
		}
		answered <- w
	}()
	return answered
}

const patience = 30 * time.Second

func receive[T any](t *testing.T, what string, c <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-c:
	case <-time.After(patience):
		t.Fatalf("%s: not after %s", what, patience)
	}
	return got
}

func wantAnswer(t *testing.T, answered <-chan *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w := receive(t, "the client's answer", answered); w.Code != status || w.Body.String() != body {
		t.Errorf("the client got %d %s, want %d %s", w.Code, w.Body, status, body)
	}
}

func TestCallAtAnyNodeAnswersTheClientThatIsHeld(t *testing.T) {
	all := nodes(t, 3, `{"mode":"hold"}`)
	for _, at := range all {
		u := newUpstream()
		answered := all[0].send(t, u)
		if err := at.call(receive(t, "the upstream's request", u.urls)); err != nil {
			t.Fatal(err)
		}
		wantAnswer(t, answered, http.StatusOK, "an answer")
	}
}

// A client whose connection breaks comes back by another node.
func TestRequestWithAKeyGoesUpstreamOnceWhateverNodesItComesTo(t *testing.T) {
	all := nodes(t, 3, `{"mode":"hold"}`)
	u := newUpstream()
	u.late = make(chan struct{})
	var answered []<-chan *httptest.ResponseRecorder
	for _, n := range all {
		answered = append(answered, n.send(t, u, callback.IdempotencyKey, "k"))
	}
	url := receive(t, "the upstream's request", u.urls)
	close(u.late)
	if err := all[1].call(url); err != nil {
		t.Fatal(err)
	}
	for _, a := range answered {
		wantAnswer(t, a, http.StatusOK, "an answer")
	}
	wantAnswer(t, all[2].send(t, u, callback.IdempotencyKey, "k"), http.StatusOK, "an answer")
	if u.accepted.Load() != 1 {
		t.Errorf("the upstream got the request %d times", u.accepted.Load())
	}
}

// Nobody knows whether the upstream got the request of a node that has died: it is sent again,
// with the same URL.
func TestRequestOfANodeThatHasDiedIsSentAgain(t *testing.T) {
	all := nodes(t, 2, `{"mode":"hold"}`)
	u := newUpstream()
	u.late = make(chan struct{})
	first := all[0].send(t, u, callback.IdempotencyKey, "k")
	url := receive(t, "the upstream's request", u.urls)
	memories[all[0].name].GiveUp(joined[all[0].name])
	second := all[1].send(t, u, callback.IdempotencyKey, "k")
	if again := receive(t, "the upstream's second request", u.urls); again != url {
		t.Errorf("the URL is %s, and was %s", again, url)
	}
	close(u.late)
	if err := all[0].call(url); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, first, http.StatusOK, "an answer")
	wantAnswer(t, second, http.StatusOK, "an answer")
	if u.accepted.Load() != 2 {
		t.Errorf("the upstream got the request %d times", u.accepted.Load())
	}
}

// asked is an upstream as a handler in a block.
type asked struct {
	caddyhttp.Handler `json:"-"`

	Of string `json:"of"`
}

// upstreams are the upstreams that asked leads to.
var upstreams = make(map[string]*upstream)

func (asked) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.asked", New: func() caddy.Module { return new(asked) }}
}

func (a *asked) Provision(caddy.Context) error {
	a.Handler = upstreams[a.Of]
	return nil
}

func (a *asked) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	return a.Handler.ServeHTTP(w, r)
}

// The client's own request goes on where the client is, and once for all who repeat it.
func TestRequestGoesOnOnceAfterACallAtAnyNode(t *testing.T) {
	u := newUpstream()
	upstreams[t.Name()] = u
	all := nodes(t, 3, `{"mode":"hold","call":[{"handle":[{"handler":"asked","of":"`+t.Name()+`"}]}]}`)
	for i, at := range all {
		var went atomic.Int64
		next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			went.Add(1)
			_, err := w.Write([]byte("went on"))
			return err
		})
		var answered []<-chan *httptest.ResponseRecorder
		for _, n := range all {
			answered = append(answered, n.send(t, next, callback.IdempotencyKey, string(rune('a'+i))))
		}
		if err := at.call(receive(t, "the upstream's request", u.urls)); err != nil {
			t.Fatal(err)
		}
		for _, a := range answered {
			wantAnswer(t, a, http.StatusOK, "went on")
		}
		if u.accepted.Load() != int64(i+1) || went.Load() != 1 {
			t.Errorf("the upstream was asked %d times, and the request went on %d times", u.accepted.Load(), went.Load())
		}
	}
}

// A partner that is quick calls before the ack that names the id has come, and at any node.
func TestCallToTheFixedURLOvertakesTheAckAtAnotherNode(t *testing.T) {
	all := nodes(t, 2, `{"mode":"hold","keys":["erp"],"correlation_id":{"from":"ack","in":"header","name":"X-Job"}}`)
	u := newUpstream()
	u.late = make(chan struct{})
	u.header.Set("X-Job", "job-7")
	answered := all[0].send(t, u)
	receive(t, "the upstream's request", u.urls)
	called := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		r := httptest.NewRequest(http.MethodPost, "https://app.example.com/cb", strings.NewReader("an answer"))
		r.Header.Set("Authorization", "Bearer the-key-of-the-erp")
		r.Header.Set("X-Link-Correlation-Id", "job-7")
		r.Header.Set("Content-Type", "text/plain")
		w, err := all[1].serve(all[1].calls, r, nil)
		if err != nil {
			t.Error(err)
		}
		called <- w
	}()
	select {
	case w := <-called:
		t.Fatalf("the partner got %d %s before the ack", w.Code, w.Body)
	case <-time.After(50 * time.Millisecond):
	}
	close(u.late)
	if w := receive(t, "the partner's reply", called); w.Code != http.StatusOK {
		t.Errorf("the partner got %d %s", w.Code, w.Body)
	}
	wantAnswer(t, answered, http.StatusOK, "an answer")
}
