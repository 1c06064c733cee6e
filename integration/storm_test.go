package integration

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// storm is how many reloads TestReloadStormFailsNoRequest makes; a long run makes 200.
var storm = flag.Int("storm", 40, "reloads of TestReloadStormFailsNoRequest")

// crowd is clients that send one request after the other, each with a key of its own,
// and a partner that calls back at once, repeating what it was asked.
type crowd struct {
	stage    *stage
	client   *http.Client
	arrivals sync.Map // what a request says -> how often the partner got it
	answered atomic.Int64
	cut      atomic.Int64 // counts requests that had to be sent again
	slow     chan string  // the callback URLs of slow requests
	errors   chan error
}

// newCrowd returns a crowd, and makes the stage's partner answer it.
func newCrowd(t *testing.T, s *stage) *crowd {
	l := &crowd{stage: s, client: s.Client(t, harness.HTTP1), slow: make(chan string, 1), errors: make(chan error, 1000)}
	var calls sync.WaitGroup
	t.Cleanup(calls.Wait)
	s.partner.HandleEvery(func(w http.ResponseWriter, r *http.Request) {
		asked, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		count, _ := l.arrivals.LoadOrStore(string(asked), new(atomic.Int64))
		count.(*atomic.Int64).Add(1)
		url := r.Header.Get(callbackHeader)
		w.WriteHeader(http.StatusAccepted)
		if strings.HasPrefix(string(asked), "slow") {
			l.slow <- url
			return
		}
		calls.Go(func() { l.call(url, string(asked)) })
	})
	return l
}

// call calls back as a partner does: repeatedly until it is answered.
func (l *crowd) call(url, answer string) {
	for range 20 {
		resp, err := l.client.Post(url, "text/plain", strings.NewReader("answer to "+answer))
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode < http.StatusInternalServerError {
			return
		}
	}
	l.fail("nobody took the call with the answer to %s", answer)
}

// run sends requests until the context ends.
func (l *crowd) run(ctx context.Context, name string) {
	for i := 0; ctx.Err() == nil; i++ {
		asked := fmt.Sprint(name, " ", i)
		answer, err := l.ask(asked)
		switch {
		case err != nil:
			l.fail("%s: %v", asked, err)
		case answer.Status != http.StatusOK || string(answer.Body) != "answer to "+asked:
			l.fail("%s: status %d with %s", asked, answer.Status, short(answer.Body))
		}
		l.answered.Add(1)
	}
}

// ask sends a request. Caddy closes connections of a server that is about to end (see
// Settle in the harness); a request that was cut off before it reached the partner is
// sent again.
func (l *crowd) ask(asked string) (*harness.Response, error) {
	for {
		req, err := http.NewRequest(http.MethodPost, harness.HTTP1.URL("/load"), strings.NewReader(asked))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Idempotency-Key", asked)
		answer, err := harness.Send(l.client, req).Outcome()
		if _, reached := l.arrivals.Load(asked); err == nil || reached {
			return answer, err
		}
		l.cut.Add(1)
	}
}

func (l *crowd) fail(format string, args ...any) {
	select {
	case l.errors <- fmt.Errorf(format, args...):
	default:
	}
}

// check reports what went wrong, and which requests reached the partner more than
// once.
func (l *crowd) check(t *testing.T) {
	t.Helper()
	for range len(l.errors) {
		t.Error(<-l.errors)
	}
	l.arrivals.Range(func(asked, count any) bool {
		if n := count.(*atomic.Int64).Load(); n != 1 {
			t.Errorf("the partner was asked %q %d times", asked, n)
		}
		return true
	})
}

// weather returns the i-th configuration of a storm, from six that take turns. All
// good ones have what the crowd needs.
func weather(s *stage, i int) (cfg harness.Config, good bool) {
	private := s.HoldAndForward("/load", fmt.Sprintf("%ds", 60+i%3), fmt.Sprintf("header X-Generation %d", i))
	cfg = harness.Config{Private: private}
	switch i % 6 {
	case 0:
		cfg.Private = "callback /other park {\n\tname other\n}\n" + private
	case 1:
		cfg.Hold = "respond \"changed\" 201"
		cfg.Private = s.HoldAndForward("", "90s", cfg.Hold)
	case 2:
		cfg.Store = s.Path("store") + " {\n\tmin_free 130MiB\n}"
	case 3:
		cfg.Callback = "retain 2h\nmax_held 5000\nmax_waiting 50000"
	case 4:
		cfg.Private = "callback /load hold {\n\tno_such_option\n}\n" + private
		return cfg, false
	case 5:
		cfg.Callback = "header_prefix X-Link-"
		cfg.Sites = s.Site("extra", "callback hold\nrespond 202\n")
	}
	return cfg, true
}

func TestReloadStormFailsNoRequest(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	first, _ := weather(s, 0)
	s.Start(t, first)
	l := newCrowd(t, s)
	slow := l.holdSlow(t, 20)

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() { l.run(ctx, fmt.Sprint("client ", i)) })
	}
	for i := 1; i <= *storm; i++ {
		before := l.answered.Load()
		cfg, good := weather(s, i)
		if err := s.Reload(t, cfg); (err == nil) != good {
			t.Errorf("reload %d: %v", i, err)
		}
		harness.Eventually(t, "requests are answered after the reload", func() bool { return l.answered.Load() >= before+8 })
	}
	stop()
	clients.Wait()
	for _, p := range slow {
		l.call(p.url, p.asked)
		wantAnswer(t, p.Answer(t), http.StatusOK, "answer to "+p.asked)
	}
	l.check(t)
	if !t.Failed() {
		t.Logf("figures: %d reloads: %d requests and %d that were held throughout, none failed; Caddy cut %d connections before a request went anywhere",
			*storm, l.answered.Load(), len(slow), l.cut.Load())
	}
}

// slowRequest is a request whose callback only the test calls.
type slowRequest struct {
	*harness.Pending
	asked, url string
}

// holdSlow sends requests that are held until the test calls back.
func (l *crowd) holdSlow(t *testing.T, n int) []slowRequest {
	t.Helper()
	requests := make([]slowRequest, n)
	for i := range requests {
		asked := fmt.Sprint("slow ", i)
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/load"), "text/plain", asked)
		requests[i] = slowRequest{harness.Send(l.client, req), asked, harness.Receive(t, "the partner is asked", l.slow)}
	}
	return requests
}
