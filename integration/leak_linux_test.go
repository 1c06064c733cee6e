package integration

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// slack is how much may differ between two moments at which the server is idle.
const slack = 4

func TestReloadsLeaveNoGoroutineAndNoFileBehind(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.withoutKeepAlive()
	s.Start(t, cfg)
	traffic := func(reloads int) {
		for range reloads {
			x := s.get(t)
			s.Acknowledged(t)
			s.MustReload(t, cfg)
			x.stillWaits(t)
		}
		s.CloseClients()
		s.Idle(t)
	}
	restAfter(t, s, func() { traffic(3) }, func() { traffic(20) })
}

func TestHeldRequestsLeaveNoGoroutineAndNoFileBehind(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.withoutKeepAlive()
	cfg.TLS = true
	s.Start(t, cfg)
	traffic := func(n int) {
		answerAll(t, s.holdMany(t, n, harness.Protocols...))
		s.CloseClients()
		s.Idle(t)
	}
	restAfter(t, s, func() { traffic(5) }, func() { traffic(50) })
}

// withoutKeepAlive holds requests before a proxy that keeps no connection to its
// upstream: an idle one ends by its own timeout, with the plugin or without.
func (s *stage) withoutKeepAlive() harness.Config {
	return harness.Config{Private: harness.Hold("", "", "") + "reverse_proxy unix/" + s.Path("partner.sock") + ` {
	transport http {
		keepalive off
	}
}`}
}

// restAfter checks that the idle server has as much open after the work as it had
// after the warm-up.
func restAfter(t *testing.T, s *stage, warmUp, work func()) {
	t.Helper()
	warmUp()
	goroutines, files := s.Goroutines(t), s.OpenFiles(t)
	work()
	var nowGoroutines, nowFiles int
	t.Cleanup(func() {
		t.Logf("goroutines: %d, then %d; open files: %d, then %d", goroutines, nowGoroutines, files, nowFiles)
	})
	harness.Eventually(t, "goroutines and open files are what they were", func() bool {
		nowGoroutines, nowFiles = s.Goroutines(t), s.OpenFiles(t)
		return nowGoroutines <= goroutines+slack && nowFiles <= files+slack
	})
}
