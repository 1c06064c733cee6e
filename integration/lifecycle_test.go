package integration

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// exitWithin is how long a server may take to exit, whatever it holds.
const exitWithin = 2 * harness.TimeFactor * time.Second

// holdMany holds n requests over each of the protocols.
func (s *stage) holdMany(t *testing.T, n int, protocols ...harness.Protocol) []*exchange {
	t.Helper()
	held := make([]*exchange, 0, n*len(protocols))
	for _, p := range protocols {
		for range n {
			held = append(held, s.send(t, p, http.MethodPost, "text/plain", "an order"))
		}
	}
	return held
}

// answerAll calls back for every request and checks that its client gets the
// answer.
func answerAll(t *testing.T, held []*exchange) {
	t.Helper()
	for i, x := range held {
		body := fmt.Sprint("answer ", i)
		x.resolve(t, body)
		wantAnswer(t, x.Answer(t), http.StatusOK, body)
	}
}

func TestValidateWorksBesideALiveServer(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.get(t)
	if out, err := s.Run(t, "validate", "--config", s.Path("Caddyfile"), "--adapter", "caddyfile"); err != nil {
		t.Errorf("validate: %v\n%s", err, out)
	}
	x.stillWaits(t)
	s.get(t).stillWaits(t)
}

func TestReloadCommandTakesTheNewConfiguration(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: `respond "old"`})
	x := s.get(t)
	file := s.WriteFile(t, "new.Caddyfile", []byte(s.Caddyfile(harness.Config{Hold: `respond "new"`})))
	out, err := s.Run(t, "reload", "--force", "--config", file, "--adapter", "caddyfile", "--address", "unix/"+s.Path("admin.sock"))
	if err != nil {
		t.Fatalf("reload: %v\n%s", err, out)
	}
	s.Settle(t)
	wantAnswer(t, s.get(t).call(t, "", ""), http.StatusOK, "new")
	wantAnswer(t, x.call(t, "", ""), http.StatusOK, "old")
}

func TestRefusedReloadChangesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: `respond "noted"`})
	before := s.get(t)
	for name, cfg := range map[string]harness.Config{
		"does not parse":  {Hold: "expires_in soon"},
		"does not start":  {Sites: "http://broken.test {\n\tbind unix/" + s.Path("no", "such", "folder.sock") + "\n}\n"},
		"opens no store":  {Store: s.Path("Caddyfile")},
		"has other words": {Callback: "no_such_option"},
	} {
		if err := s.Reload(t, cfg); err == nil {
			t.Errorf("a configuration that %s was taken", name)
		}
		x := s.get(t)
		wantAnswer(t, x.call(t, "text/plain", "paid"), http.StatusOK, "noted")
		wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
	}
	wantAnswer(t, before.call(t, "text/plain", "paid"), http.StatusOK, "noted")
	wantAnswer(t, before.Answer(t), http.StatusOK, "paid")
}

func TestFiftyReloadsCutNoHeldRequest(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	held := s.holdMany(t, 100, harness.HTTP1, harness.H2C)
	for i := range 50 {
		s.MustReload(t, harness.Config{Public: fmt.Sprintf("header X-Generation %d\ncallback_server", i)})
	}
	answerAll(t, held)
	s.get(t).stillWaits(t)
}

func TestReloadsCutNoRequestOverTLS(t *testing.T) {
	t.Parallel()
	cfg := harness.Config{TLS: true}
	s := start(t, cfg)
	held := s.holdMany(t, 5, harness.H2, harness.H3)
	for range 3 {
		s.MustReload(t, cfg)
	}
	answerAll(t, held)
}

func TestReloadDuringTheUpstreamsThinkingCutsNothing(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	path := s.path()
	release := make(chan struct{})
	s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.WriteHeader(http.StatusAccepted)
	})
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "", "an order"))
	s.MustReload(t, harness.Config{})
	close(release)
	x.stillWaits(t)
}

func TestCallIsJudgedByWhatWasConfiguredWhenItsCallbackWasMade(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "methods PUT\nrespond \"old\" 201\ncopy_headers X-Old\nheader_prefix X-Old-"})
	x := s.get(t)
	url := x.received.Header.Get("X-Old-Callback-Url")
	s.MustReload(t, harness.Config{Hold: `respond "new"`})
	s.committed(t, 1)
	s.Kill(t)
	if _, err := x.Outcome(); err == nil {
		t.Error("the request was answered by a server that was killed")
	}
	s.Start(t, harness.Config{Hold: `respond "new"`})
	wantStatus(t, s.partner.Call(t, http.MethodPost, url, "", ""), http.StatusMethodNotAllowed)
	wantAnswer(t, s.partner.Call(t, http.MethodPut, url, "", ""), http.StatusCreated, "old")
}

func TestHeldRequestOutlivesTheDirective(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	x := s.get(t)
	s.MustReload(t, harness.Config{Private: `respond "no longer held"`})
	x.stillWaits(t)
}

func TestExitAnswersAThousandHeldRequests(t *testing.T) {
	t.Parallel()
	terminate := func(t *testing.T, s *stage) { s.Terminate(t) }
	for _, c := range []struct {
		name   string
		global string
		exit   func(*testing.T, *stage)
	}{
		{"SIGTERM", "", terminate},
		{"SIGTERM with a grace period", "grace_period 10m", terminate},
		{"SIGTERM after the directive is gone", "", func(t *testing.T, s *stage) {
			s.MustReload(t, harness.Config{TLS: true, Bare: true, Public: `respond "plain"`, Private: `respond "plain"`})
			s.Terminate(t)
		}},
		{"SIGINT", "", func(t *testing.T, s *stage) { s.Signal(t, os.Interrupt) }},
		{"the admin endpoint", "", func(t *testing.T, s *stage) {
			wantStatus(t, s.Admin(t, harness.NewRequest(t, http.MethodPost, "http://127.0.0.1/stop", "", "")), http.StatusOK)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, harness.Config{Global: c.global, TLS: true})
			// A connection over HTTP/3 carries no more than a hundred.
			held := slices.Concat(
				s.holdMany(t, 300/harness.TimeFactor, harness.HTTP1, harness.H2C, harness.H2),
				s.holdMany(t, 100/harness.TimeFactor, harness.H3))
			s.Acknowledged(t)
			exited(t, s, held, func() { c.exit(t, s) })
		})
	}
}

func TestTerminationAnswersRequestsThatEarlierConfigurationsHold(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	held := s.holdMany(t, 5, harness.HTTP1, harness.H2C)
	s.MustReload(t, harness.Config{Hold: "name second"})
	held = slices.Concat(held, s.holdMany(t, 5, harness.HTTP1, harness.H2C))
	s.Acknowledged(t)
	exited(t, s, held, func() { s.Terminate(t) })
}

func TestTerminationAnswersWhenTheDirectiveIsGone(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	held := s.holdMany(t, 5, harness.HTTP1, harness.H2C)
	s.Acknowledged(t)
	s.MustReload(t, harness.Config{Bare: true, Public: `respond "plain"`, Private: `respond "plain"`})
	wantAnswer(t, s.fetch(t, harness.HTTP1.URL("/")), http.StatusOK, "plain")
	exited(t, s, held, func() { s.Terminate(t) })
}

// exited ends the server and checks the answers to requests that the upstream has
// acknowledged.
func exited(t *testing.T, s *stage, held []*exchange, exit func()) {
	t.Helper()
	begin := time.Now()
	exit()
	for _, x := range held {
		answer := x.Answer(t)
		wantPickUp(t, wantProblem(t, answer, http.StatusGatewayTimeout, "shutting-down"))
		// A blind retry might do everything twice.
		wantHeader(t, answer.Header, "Retry-After")
	}
	if code := s.Exited(t, exitWithin-time.Since(begin)); code != 0 {
		t.Errorf("exit code is %d", code)
	}
}

func TestTerminationWaitsForNoUpstream(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	path := s.path()
	s.partner.Handle(path, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "an order"))
	begin := time.Now()
	s.Terminate(t)
	answer := x.Answer(t)
	if answer.Status != http.StatusServiceUnavailable {
		wantStatus(t, answer, http.StatusGatewayTimeout)
	}
	p := wantProblem(t, answer, answer.Status, "shutting-down")
	s.Exited(t, exitWithin-time.Since(begin))
	if answer.Status == http.StatusGatewayTimeout {
		wantPickUp(t, p)
	}
}

func TestWhatTerminationCutShortCanBePickedUp(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	held := s.holdMany(t, 5, harness.HTTP1)
	s.Acknowledged(t)
	s.Terminate(t)
	results := make([]string, len(held))
	for i, x := range held {
		results[i] = wantProblem(t, x.Answer(t), http.StatusGatewayTimeout, "shutting-down").ResultURL
	}
	s.Exited(t, exitWithin)

	s.Start(t, harness.Config{})
	for i, x := range held {
		wantStatus(t, s.fetch(t, results[i]), http.StatusAccepted)
		x.resolve(t, fmt.Sprint("answer ", i))
		wantAnswer(t, s.fetch(t, results[i]), http.StatusOK, fmt.Sprint("answer ", i))
	}
}

func TestCrashLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := harness.Config{Private: harness.Hold("/short/*", "500ms", "") + s.HoldAndForward("/long/*", "", "")}
	s.Start(t, cfg)
	hold := func(kind string) *exchange {
		return s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/"+kind+s.path()), "text/plain", "an order"))
	}
	late, lateToo, held, answered := hold("short"), hold("short"), hold("long"), hold("long")
	lateProblem := wantProblem(t, late.Answer(t), http.StatusGatewayTimeout, "timeout")
	lateTooProblem := wantProblem(t, lateToo.Answer(t), http.StatusGatewayTimeout, "timeout")
	lateToo.resolve(t, "before the crash")
	answered.resolve(t, "before the crash")
	s.Acknowledged(t)
	s.Kill(t)
	if answer, err := held.Outcome(); err == nil {
		t.Errorf("the request was answered by a server that was killed: %+v", answer)
	}

	s.Start(t, cfg)
	wantStatus(t, s.fetch(t, lateProblem.ResultURL), http.StatusAccepted)
	late.resolve(t, "after the crash")
	wantAnswer(t, s.fetch(t, lateProblem.ResultURL), http.StatusOK, "after the crash")
	wantAnswer(t, s.fetch(t, lateTooProblem.ResultURL), http.StatusOK, "before the crash")
	held.resolve(t, "after the crash")
	held.resolve(t, "after the crash")
	for _, x := range []*exchange{lateToo, answered} {
		x.resolve(t, "before the crash")
		wantProblem(t, x.call(t, "text/plain", "another"), http.StatusConflict, "already-resolved")
	}
}

func TestEveryCrashLeavesAStoreThatOpens(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms"})
	results := make(map[string]string)
	for i := range 5 {
		x, p := s.timedOut(t)
		body := fmt.Sprint("answer ", i)
		x.resolve(t, body)
		results[p.ResultURL] = body
		s.Kill(t)
		s.Start(t, harness.Config{Timeout: "500ms"})
		for url, body := range results {
			wantAnswer(t, s.fetch(t, url), http.StatusOK, body)
		}
	}
}
