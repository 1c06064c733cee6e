package integration

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// disturb makes strace tamper with the server's system calls until stop is called.
// The test is skipped where that is not allowed.
func (s *stage) disturb(t *testing.T, inject string) (stop func()) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed; it comes with the package of that name")
	}
	calls, _, _ := strings.Cut(inject, ":")
	cmd := exec.Command("strace", "-f", "-o", "/dev/null", "-e", "trace="+calls, "-e", "inject="+inject, "-p", strconv.Itoa(s.PID(t)))
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		// On SIGINT strace detaches from the server before it exits.
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	lines := bufio.NewScanner(said)
	if !lines.Scan() || !strings.Contains(lines.Text(), "attached") {
		t.Skipf("strace must not look at other processes here: %s", lines.Text())
	}
	go func() {
		for lines.Scan() {
		}
	}()
	return stop
}

func TestSlowDiskHoldsUpOnlyWhoWaitsForIt(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "callback /parked/* park\ncallback /orders/* hold 60s\n" + s.toPartner()})
	held := make([]*exchange, 5)
	for i := range held {
		held[i] = s.get(t)
	}
	s.disturb(t, "msync:delay_exit=500000")
	before := s.metrics(t)["store_commits_total"]
	const many = 64
	parks := make([]*harness.Pending, many)
	for i := range parks {
		path := "/parked" + s.path()
		s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
		parks[i] = harness.Send(s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "an order"))
	}
	for _, x := range held {
		x.resolve(t, "an answer")
		wantAnswer(t, x.Answer(t), http.StatusOK, "an answer")
	}
	for _, p := range parks {
		wantStatus(t, p.Answer(t), http.StatusAccepted)
	}
	// The calls come one after the other and take a commit each; the requests share
	// commits.
	if n := s.metrics(t)["store_commits_total"] - before; n > float64(len(held)+many/4) {
		t.Errorf("%v commits for %d calls and %d requests", n, len(held), many)
	}
}

func TestDiskErrorIsToldAndHealed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{Private: "callback /parked/* park\ncallback /orders/* hold 60s\n" + s.toPartner()})
	kept := s.get(t)
	s.committed(t, 1)
	stop := s.disturb(t, "msync:error=EIO")
	parks := func() *harness.Response {
		path := "/parked" + s.path()
		s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
		return s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "an order"))
	}
	wantProblem(t, parks(), http.StatusServiceUnavailable, "not-kept")
	stop()
	harness.Eventually(t, "the store is verified and in use again", func() bool { return parks().Status == http.StatusAccepted })
	kept.stillWaits(t)
}
