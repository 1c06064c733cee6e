package integration

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// keptSizes are sizes of answers that are kept: in a record and in a file.
var keptSizes = []int{0, 1000, 64 << 10, 64<<10 + 1, 1 << 20}

// withoutBodies makes the store fail to write bodies until back is called.
func (s *stage) withoutBodies(t *testing.T) (back func()) {
	t.Helper()
	move := func(from, to string) {
		if err := os.Rename(s.Path("store", from), s.Path("store", to)); err != nil {
			t.Fatal(err)
		}
	}
	move("bodies", "away")
	return func() { move("away", "bodies") }
}

func TestAnswerThatPassedIsGivenAgainWhateverItsSize(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "max_body_size 2MiB"})
	files := 0
	for _, size := range keptSizes {
		path, body := s.path(), noise(size)
		s.partner.Handle(path, harness.Ack(http.StatusNotFound, nil, body))
		for i := range 2 {
			got := s.again(t, withKey(t, path, path, "order")).Answer(t)
			wantAnswer(t, got, http.StatusNotFound, body)
			if replayed := got.Header.Get("Idempotency-Replayed") != ""; replayed != (i == 1) {
				t.Errorf("%d bytes, request %d: given again is %v", size, i, replayed)
			}
		}
		if size > 64<<10 {
			files++
		}
		s.wantBodyFiles(t, "after one answer", files)
	}
}

// The key of an answer that cannot be given again is free, and nothing is left of it.
func TestAnswerThatIsNotKeptLeavesNoBody(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "max_body_size 2MiB"})
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(overInline))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		broken bool
	}{
		"a failure":      {harness.Ack(http.StatusInternalServerError, nil, overInline), false},
		"too large":      {harness.Ack(http.StatusNotFound, nil, noise(2<<20+1)), false},
		"cut short":      {cut, false},
		"cannot be kept": {harness.Ack(http.StatusNotFound, nil, overInline), true},
	} {
		path := s.path()
		s.partner.Handle(path, c.answer)
		back := func() {}
		if c.broken {
			back = s.withoutBodies(t)
		}
		for range 2 {
			got, err := s.again(t, withKey(t, path, path, "order")).Outcome()
			if (err != nil) != (name == "cut short") || err == nil && got.Header.Get("Idempotency-Replayed") != "" {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			s.partner.Received(t, path)
		}
		back()
		s.wantBodyFiles(t, name, 0)
	}
}

func TestAckOfAnySizeIsTheResult(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"as a whole": "", "read, too": "correlation_id ack json id\n", "weighed": "ack json id\n", "weighed and read": "ack json id\ncorrelation_id ack json id\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := keyed(t, harness.Config{Hold: "key env\nuse_body off\n" + options, Callback: "max_body_size 2MiB\n"})
			files := 0
			for _, size := range keptSizes {
				for _, early := range []bool{false, true} {
					path := s.path()
					body := `{"id":"` + path + `","rest":"` + strings.Repeat("x", size) + `"}`
					release := func() {}
					if early {
						release = s.hang(path, harness.Ack(http.StatusCreated, nil, body))
					} else {
						s.partner.Handle(path, harness.Ack(http.StatusCreated, nil, body))
					}
					x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
					wantStatus(t, s.callURL(t, http.MethodPost, x.url, "done", bearer(envKey)...), http.StatusOK)
					release()
					wantAnswer(t, x.Answer(t), http.StatusCreated, body)
					if len(body) > 64<<10 {
						files++
					}
					s.wantBodyFiles(t, "after one ack", files)
				}
			}
		})
	}
}

func TestAckThatIsNotTheResultLeavesNoBody(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "use_body off\nack 2xx", Callback: "max_body_size 2MiB"})
	request := func(answer http.HandlerFunc) *harness.Pending {
		path := s.path()
		s.partner.Handle(path, answer)
		return s.again(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
	}
	wantProblem(t, request(harness.Ack(http.StatusOK, nil, noise(2<<20+1))).Answer(t), http.StatusBadGateway, "ack-too-large")
	wantProblem(t, request(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write([]byte(overInline))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}).Answer(t), http.StatusBadGateway, "upstream-unknown")
	back := s.withoutBodies(t)
	wantProblem(t, request(harness.Ack(http.StatusOK, nil, overInline)).Answer(t), http.StatusServiceUnavailable, "not-kept")
	// Also where the call came before the ack.
	path := s.path()
	release := s.hang(path, harness.Ack(http.StatusOK, nil, overInline))
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
	x.resolve(t, "done")
	release()
	wantProblem(t, x.Answer(t), http.StatusServiceUnavailable, "not-kept")
	back()
	s.wantBodyFiles(t, "in the end", 0)
}

func TestAnswerOfAJobThatIsNotTheResultLeavesNoBody(t *testing.T) {
	t.Parallel()
	s := startDeferring(t, "")
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusServiceUnavailable, nil, overInline))
	p := s.wantParked(t, s.again(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order")).Answer(t))
	s.partner.Received(t, path)
	s.partner.Received(t, path)
	// The store fails to take the result; then it does.
	back := s.withoutBodies(t)
	s.partner.Handle(path, harness.Ack(http.StatusOK, nil, overInline))
	s.partner.Received(t, path)
	s.logged(t, "the outcome of background work could not be recorded")
	if phase := s.status(t, p.StatusURL).Phase; phase != "waiting" {
		t.Errorf("the callback is %s", phase)
	}
	back()
	harness.Eventually(t, "the work is done", func() bool { return s.status(t, p.StatusURL).Phase == "resolved" })
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, overInline)
	s.wantBodyFiles(t, "in the end", 1)
}

// An answer that there is no memory to look into may be an ack. Its beginning is always
// looked into.
func TestAnswerThatFindsNoMemoryMayBeAnAck(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"weighed": "ack json id", "read": "correlation_id ack json id", "read, and the result": "correlation_id ack json id\nuse_body off"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := keyed(t, harness.Config{Hold: "key env\n" + options, Callback: "max_body_size 4MiB\nmax_memory 4MiB\n"})
			answer := func(size int) (*exchange, string) {
				path := s.path()
				body := `{"rest":"` + strings.Repeat("x", size) + `","id":"` + path + `"}`
				s.partner.Handle(path, harness.Ack(http.StatusOK, nil, body))
				return s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order")), body
			}
			call := func(x *exchange, body string) int {
				return s.callURL(t, http.MethodPost, x.url, body, bearer(envKey)...).Status
			}
			other, otherAck := answer(10)
			// As long as the upstream has it, this body takes nearly all memory.
			full := s.path()
			release := s.hang(full, harness.Ack(http.StatusOK, nil, "{}"))
			defer release()
			s.forward(t, harness.HTTP1, withKey(t, full, "k", strings.Repeat("x", 4*mib-100<<10)))

			x, body := answer(200 << 10)
			if got := x.Answer(t); name == "weighed" {
				wantAnswer(t, got, http.StatusOK, body)
			} else if p := wantProblem(t, got, http.StatusBadGateway, "no-correlation-id"); !strings.Contains(p.Detail, "no memory was left") {
				t.Errorf("the client is told %q", p.Detail)
			}
			if got := call(x, "it was"); got != http.StatusOK {
				t.Errorf("the callback does not wait: %d", got)
			}
			y, ack := answer(50 << 10)
			for i, z := range []*exchange{y, other} {
				if got := call(z, "done"); got != http.StatusOK {
					t.Errorf("got %d", got)
				}
				want := "done"
				if strings.Contains(options, "use_body") {
					want = []string{ack, otherAck}[i]
				}
				wantAnswer(t, z.Answer(t), http.StatusOK, want)
			}
		})
	}
}
