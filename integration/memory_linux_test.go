package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

const (
	// wayMemory is max_memory, and wayBody nearly the largest body that is allowed.
	wayMemory = 16 * mib
	wayBody   = 7 * mib
	wayLimits = "max_memory 16MiB\nmax_body_size 8MiB\n"
	// wayExtra is what may be in use beyond that: buffers of connections and of the proxy, and
	// the first 64 KiB of an answer, which are never refused.
	wayExtra = 8 * mib
	// wayGarbage is by how much the process may grow beyond max_memory for a moment: what is
	// not collected yet, although that happens when the heap has grown by a tenth, and what a
	// buffer that grows had before.
	wayGarbage = 44 * mib
	wayGOGC    = "10"
)

// way is a way in which others can make the server buffer what they send.
type way struct {
	config func(s *stage) harness.Config
	// try opens the way as wide as possible, and returns when all is buffered that will be.
	try func(t *testing.T, w *tried)
	// alone says that all of it is one holder's of a URL, a ticket or a key: others are served.
	alone bool
}

// tried is a way that is being tried.
type tried struct {
	*stage
	// over is closed when the test is over. wrote has a value for each answer that stands
	// still.
	over  chan struct{}
	wrote chan struct{}
}

// stands answers with a body that stands still one byte before its end.
func (w *tried) stands(status int, header http.Header, body string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		for name, values := range header {
			rw.Header()[name] = values
		}
		rw.Header().Set("Content-Length", fmt.Sprint(len(body)))
		rw.WriteHeader(status)
		if _, err := io.WriteString(rw, body[:len(body)-1]); err == nil {
			_ = http.NewResponseController(rw).Flush()
		}
		w.wrote <- struct{}{}
		select {
		case <-w.over:
		case <-r.Context().Done():
		}
	}
}

// stood waits for that many answers that stand still.
func (w *tried) stood(t *testing.T, n int) {
	t.Helper()
	for range n {
		harness.Receive(t, "an answer stands still", w.wrote)
	}
}

// request sends a request without waiting for anything.
func (w *tried) request(t *testing.T, method, body string, lines ...string) *harness.Pending {
	t.Helper()
	req := harness.NewRequest(t, method, harness.HTTP1.URL(w.path()), "application/json", body)
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	return w.again(t, req)
}

// reads reads that much of what comes over a connection, and then stands still.
func reads(t *testing.T, conn io.Reader, n int64) {
	t.Helper()
	if _, err := io.CopyN(io.Discard, conn, n); err != nil {
		t.Fatal(err)
	}
}

// jsonOf is a JSON body of that size.
func jsonOf(size int) string { return `{"id":"` + strings.Repeat("x", size-len(`{"id":""}`)) + `"}` }

// holds is a configuration that holds with these options.
func holds(options string) func(s *stage) harness.Config {
	return func(*stage) harness.Config { return harness.Config{Hold: options} }
}

var ways = map[string]way{
	"answers that pass through to clients with a key": {config: holds(""), try: func(t *testing.T, w *tried) {
		w.partner.HandleEvery(harness.Ack(http.StatusNotFound, nil, noise(wayBody)))
		for i := range 12 {
			reads(t, w.rawTo(t, "app", fmt.Sprintf("GET /f HTTP/1.1\r\nHost: app.test\r\nIdempotency-Key: k%d\r\n\r\n", i)), wayBody-mib)
		}
	}},
	"answers of background work": {
		config: func(s *stage) harness.Config {
			return harness.Config{Private: s.deferred("orders", ""), Callback: "concurrency 24\n"}
		},
		try: func(t *testing.T, w *tried) {
			w.partner.HandleEvery(w.stands(http.StatusOK, nil, noise(wayBody)))
			for range 12 {
				wantStatus(t, w.request(t, http.MethodPost, "{}").Answer(t), http.StatusAccepted)
			}
			w.stood(t, 12)
		},
	},
	"acks that are the result": {config: holds("use_body off"), try: func(t *testing.T, w *tried) {
		w.partner.HandleEvery(harness.Ack(http.StatusAccepted, nil, noise(wayBody)))
		for range 12 {
			w.request(t, http.MethodPost, "{}")
		}
		w.wantBodyFiles(t, "while their clients are held", 12)
	}},
	"acks that are the result, and looked into": {
		config: func(s *stage) harness.Config {
			s.Setenv("CB_KEY", envKey)
			return harness.Config{Hold: "use_body off\nack json id\nkey env\ncorrelation_id ack json id", Callback: "key env {env.CB_KEY} send\n"}
		},
		try: func(t *testing.T, w *tried) {
			w.partner.HandleEvery(w.stands(http.StatusAccepted, nil, jsonOf(wayBody)))
			for range 12 {
				w.request(t, http.MethodPost, "{}")
			}
			w.stood(t, 12)
		},
	},
	"acks that are weighed": {config: holds("ack json id"), try: func(t *testing.T, w *tried) {
		w.partner.HandleEvery(w.stands(http.StatusAccepted, nil, jsonOf(wayBody)))
		for range 12 {
			w.request(t, http.MethodPost, "{}")
		}
		w.stood(t, 12)
	}},
	"answers of an app that is asked": {
		config: func(s *stage) harness.Config {
			return harness.Config{Public: askRoute(s), Hold: "ask /decide"}
		},
		try: func(t *testing.T, w *tried) {
			w.partner.Handle("/decide", w.stands(http.StatusOK, http.Header{"Content-Type": {jsonType}}, jsonOf(mib)))
			for range 40 {
				x := w.get(t)
				harness.Send(w.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, x.url, "text/plain", "x"))
			}
			w.stood(t, 40)
		},
	},
	"requests that JSON is put into": {config: holds("inject json url {http.callback.url}\ninject json a.b {http.callback.id}"), try: putInto(jsonType, jsonOf(wayBody))},
	"requests that a field is put into": {
		config: holds("inject form url {http.callback.url}\ninject form b {http.callback.id}"),
		try:    putInto("application/x-www-form-urlencoded", "a="+strings.Repeat("x", wayBody)),
	},
	"jobs that JSON is put into": {
		config: func(s *stage) harness.Config {
			return harness.Config{Callback: "concurrency 24\n", Private: "callback park {\nname jobs\ninject json url {http.callback.url}\ncall {\n" + s.toPartner() + "}\n}\n"}
		},
		try: func(t *testing.T, w *tried) {
			w.partner.HandleEvery(w.stands(http.StatusOK, nil, "xx"))
			// What jobs have cannot be had by requests, some of which are refused.
			for range 24 {
				w.request(t, http.MethodPost, jsonOf(wayBody/4)).Answer(t)
			}
			w.stood(t, 2)
		},
	},
	"calls whose client does not read": {config: holds(""), try: func(t *testing.T, w *tried) {
		for range 12 {
			path := w.path()
			w.rawTo(t, "app", "GET "+path+" HTTP/1.1\r\nHost: app.test\r\n\r\n")
			url := w.partner.Received(t, path).Header.Get(callbackHeader)
			w.callURL(t, http.MethodPost, url, noise(wayBody))
		}
	}},
	"calls that stop before their end": {config: holds(""), alone: true, try: func(t *testing.T, w *tried) {
		mine := w.get(t)
		harness.Eventually(t, "there is no more memory for that URL", func() bool {
			for range 4 {
				w.stalled(t, "callbacks", fmt.Sprintf("POST /cb/%s HTTP/1.1\r\nContent-Length: %d\r\n", mine.state(), wayBody), strings.Repeat("x", wayBody-1))
			}
			return mine.callWith(t, correlationHeader, "another", strings.Repeat("y", 2*mib)).Status == http.StatusServiceUnavailable
		})
	}},
	"retries with one key": {
		config: func(s *stage) harness.Config { return withAPI(s, harness.Config{}, "key off") }, alone: true,
		try: func(t *testing.T, w *tried) {
			path, body := w.path(), strings.Repeat("x", 2*mib)
			w.forward(t, harness.HTTP1, withKey(t, path, "k", body))
			for i := range 12 {
				w.again(t, withKey(t, path, "k", body))
				// The victim and the first request are held, too.
				harness.Eventually(t, "the request waits, too", func() bool { return w.list(t, "").Held == i+3 })
			}
		},
	},
	"downloads that stand still": {
		config: func(s *stage) harness.Config { return harness.Config{Private: s.parks("")} }, alone: true,
		try: func(t *testing.T, w *tried) {
			x := w.get(t)
			p := w.wantParked(t, x.Answer(t))
			x.resolve(t, noise(wayBody))
			path := strings.TrimPrefix(p.ResultURL, harness.BaseURL)
			for range 40 {
				reads(t, w.rawTo(t, "callbacks", "GET "+path+" HTTP/1.1\r\nHost: callbacks.test\r\n\r\n"), 1000)
			}
		},
	},
}

// putInto sends bodies that values are put into to an upstream that does not answer. Those
// that find no memory are refused.
func putInto(contentType, body string) func(t *testing.T, w *tried) {
	return func(t *testing.T, w *tried) {
		w.partner.HandleEvery(w.stands(http.StatusOK, nil, "xx"))
		ended := make(chan *harness.Response, 12)
		for range 12 {
			p := w.request(t, http.MethodPost, body, "Content-Type", contentType)
			go func() {
				if got, err := p.Outcome(); err == nil {
					ended <- got
				}
			}()
		}
		for range 12 {
			select {
			case <-w.wrote:
			case got := <-ended:
				wantProblem(t, got, http.StatusServiceUnavailable, "busy")
			case <-time.After(harness.Patience):
				t.Fatal("a request neither arrives nor is refused")
			}
		}
	}
}

// Whatever others send, the server takes no more memory than it is given.
func TestMemoryStaysWithinMaxMemoryWhateverComes(t *testing.T) {
	t.Parallel()
	for name, c := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &tried{stage: newStage(t), over: make(chan struct{}), wrote: make(chan struct{}, 100)}
			t.Cleanup(func() { close(w.over) })
			cfg := c.config(w.stage)
			cfg.Callback += wayLimits
			w.Setenv("GOGC", wayGOGC)
			w.Start(t, cfg)
			var victim *exchange
			if c.alone {
				victim = w.get(t)
			}
			memory, heap := w.Memory(t), w.Heap(t)
			c.try(t, w)
			memory, heap = w.Peak(t)-memory, w.Heap(t)-heap
			t.Logf("%d MiB more at most, %d MiB more in use", memory/mib, heap/mib)
			if most := int64(wayMemory + wayExtra); heap > most {
				t.Errorf("%d MiB more are in use, want %d at most", heap/mib, most/mib)
			}
			if most := int64(wayMemory+wayGarbage) * harness.MemoryFactor; memory > most {
				t.Errorf("the process has taken %d MiB more, want %d at most", memory/mib, most/mib)
			}
			if c.alone {
				wantStatus(t, victim.call(t, "text/plain", strings.Repeat("y", mib)), http.StatusOK)
			}
		})
	}
}
