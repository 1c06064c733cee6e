package harness

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Caddy is one directory and the server that runs, or has run, on it.
type Caddy struct {
	dir   string
	admin *http.Client
	// env is what the server's environment has beside the usual variables.
	env []string
	// binary returns the path of the binary that runs.
	binary func() (string, error)

	mu      sync.Mutex
	process *process
	clients map[Protocol]*http.Client
	secrets map[string]struct{}
}

// process is one run of the server.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
	code   int
	// listeners is the number of listeners of the running configuration.
	listeners int
	// tls and quic are the addresses of the site with TLS.
	tls, quic string
}

// alarms are texts that no log may contain, whatever the test is about.
var alarms = []string{"WARNING: DATA RACE", "panic serving", "panic: ", "fatal error: "}

// New returns a Caddy that does not run yet. At the end of the test it is
// killed, its log is checked for races, panics and secrets, and its directory
// is removed.
func New(tb testing.TB) *Caddy {
	tb.Helper()
	if err := dependOnSources(); err != nil {
		tb.Fatal(err)
	}
	// Not tb.TempDir: with the test's name in it the path of a socket would
	// exceed the 108 bytes that the system allows.
	dir, err := os.MkdirTemp("", "cb")
	if err != nil {
		tb.Fatal(err)
	}
	c := &Caddy{dir: dir, binary: Binary, clients: make(map[Protocol]*http.Client), secrets: make(map[string]struct{})}
	c.admin = &http.Client{
		Timeout: Patience,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", c.Path("admin.sock"))
			},
		},
	}
	tb.Cleanup(func() {
		c.CloseClients()
		c.stop()
		c.inspectLogs(tb)
		_ = os.RemoveAll(dir)
	})
	id, err := testIdentity()
	if err != nil {
		tb.Fatal(err)
	}
	c.WriteFile(tb, "cert.pem", id.cert)
	c.WriteFile(tb, "key.pem", id.key)
	return c
}

// Path returns the path of a file in the Caddy's directory.
func (c *Caddy) Path(name ...string) string {
	return filepath.Join(append([]string{c.dir}, name...)...)
}

// WriteFile writes a file into the Caddy's directory and returns its path.
func (c *Caddy) WriteFile(tb testing.TB, name string, content []byte) string {
	tb.Helper()
	path := c.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Setenv puts a variable into the environment of every run that follows.
func (c *Caddy) Setenv(name, value string) { c.env = append(c.env, name+"="+value) }

// Start runs the server and waits until it serves.
func (c *Caddy) Start(tb testing.TB, cfg Config) {
	tb.Helper()
	p := c.launch(tb, cfg)
	ready := func() bool {
		select {
		case <-p.exited:
			return true
		default:
			return c.serves()
		}
	}
	Eventually(tb, "caddy serves", ready)
	if p.hasExited() {
		tb.Fatalf("caddy exited with code %d instead of serving:\n%s", p.code, p.output())
	}
	if cfg.TLS {
		c.findPorts(tb, p)
	}
}

// StartFails runs the server, which must exit by itself, and returns its exit
// code and what it wrote.
func (c *Caddy) StartFails(tb testing.TB, cfg Config) (code int, output string) {
	tb.Helper()
	p := c.launch(tb, cfg)
	Receive(tb, "caddy exits", p.exited)
	return p.code, p.output()
}

// Kill ends the server as a crash would: at once, without a shutdown.
func (c *Caddy) Kill(tb testing.TB) {
	tb.Helper()
	c.running(tb)
	c.stop()
}

// Terminate asks the server to exit, as a service manager does, and returns at
// once. Wait for the end with Exited.
func (c *Caddy) Terminate(tb testing.TB) {
	tb.Helper()
	c.Signal(tb, syscall.SIGTERM)
}

// Signal sends the server a signal and returns at once.
func (c *Caddy) Signal(tb testing.TB, sig os.Signal) {
	tb.Helper()
	if err := c.running(tb).cmd.Process.Signal(sig); err != nil {
		tb.Fatal(err)
	}
}

// PID returns the number of the server's process.
func (c *Caddy) PID(tb testing.TB) int {
	tb.Helper()
	return c.running(tb).cmd.Process.Pid
}

// Exited waits until the server has exited, not longer than within, and returns
// its exit code.
func (c *Caddy) Exited(tb testing.TB, within time.Duration) int {
	tb.Helper()
	p := c.running(tb)
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	select {
	case <-p.exited:
		return p.code
	case <-timeout.C:
		// The log then tells where it hangs.
		_ = p.cmd.Process.Signal(syscall.SIGABRT)
		Receive(tb, "caddy gives up", p.exited)
		tb.Fatalf("caddy still runs %v later", within)
		panic("unreachable")
	}
}

// Run runs another command of the binary in the same environment and returns its
// output.
func (c *Caddy) Run(tb testing.TB, args ...string) (string, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	out, err := c.command(tb, ctx, args...).CombinedOutput()
	return string(out), err
}

// NeverLog makes the test fail if the server ever writes text to its log.
func (c *Caddy) NeverLog(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets[text] = struct{}{}
}

// FailAt makes later runs act at a point of package failpoint the first time that
// they reach it: kill, error or delay. An empty point means none.
func (c *Caddy) FailAt(point, action string) {
	c.binary = failingBinary
	c.Setenv("CALLBACK_FAILPOINT", point+"="+action)
}

// SetClock sets the server's clock ahead of the machine's, or behind it if ahead is
// negative. The first time it must be called before the server is started.
func (c *Caddy) SetClock(tb testing.TB, ahead time.Duration) {
	tb.Helper()
	path := c.Path("clock")
	c.binary = failingBinary
	c.Setenv("CALLBACK_CLOCK", path)
	// The server may read the file at any time, so replace it as a whole.
	if err := errors.Join(os.WriteFile(path+"+", []byte(ahead.String()), 0o600), os.Rename(path+"+", path)); err != nil {
		tb.Fatal(err)
	}
}

// launch starts the process.
func (c *Caddy) launch(tb testing.TB, cfg Config) *process {
	tb.Helper()
	// Connections to an earlier run are useless.
	c.CloseClients()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil && !c.process.hasExited() {
		tb.Fatal("caddy already runs")
	}
	caddyfile := c.Caddyfile(cfg)
	file := c.WriteFile(tb, "Caddyfile", []byte(caddyfile))
	log, err := os.CreateTemp(c.dir, "log-*")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	p := &process{log: log.Name(), exited: make(chan struct{}), listeners: listenersOf(caddyfile)}
	p.cmd = c.command(tb, context.Background(), "run", "--config", file, "--adapter", "caddyfile")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = dieWithTest()
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.exited)
	}()
	c.process = p
	return p
}

// command prepares a run of the binary that sees nothing of the user's home.
func (c *Caddy) command(tb testing.TB, ctx context.Context, args ...string) *exec.Cmd {
	tb.Helper()
	binary, err := c.binary()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = c.dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + c.dir,
		"TMPDIR=" + c.dir,
		"XDG_DATA_HOME=" + c.Path("data"),
		"XDG_CONFIG_HOME=" + c.Path("config"),
		"QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=true",
		// Otherwise the race detector waits for a second whenever a command ends.
		"GORACE=atexit_sleep_ms=0",
	}, c.env...)
	return cmd
}

// running returns the latest process.
func (c *Caddy) running(tb testing.TB) *process {
	tb.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		tb.Fatal("caddy was never started")
	}
	return c.process
}

// stop kills the server if it runs and waits until it is gone.
func (c *Caddy) stop() {
	c.mu.Lock()
	p := c.process
	c.mu.Unlock()
	if p != nil {
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// inspectLogs fails the test if a log contains what none may contain, and shows the
// logs if the test has failed.
func (c *Caddy) inspectLogs(tb testing.TB) {
	tb.Helper()
	logs, err := filepath.Glob(c.Path("log-*"))
	if err != nil {
		tb.Error(err)
	}
	for _, path := range logs {
		log, err := os.ReadFile(path)
		if err != nil {
			tb.Error(err)
		}
		for _, alarm := range alarms {
			if bytes.Contains(log, []byte(alarm)) {
				tb.Errorf("the log holds %q", alarm)
			}
		}
		for secret := range c.secrets {
			if bytes.Contains(log, []byte(secret)) {
				tb.Errorf("the log holds the secret %q", secret)
			}
		}
		if tb.Failed() {
			tb.Logf("log of caddy:\n%s", tail(log))
		}
	}
}

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

func (p *process) output() string {
	out, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// tail returns the last lines of a log.
func tail(log []byte) []byte {
	const keep = 64 << 10
	if len(log) <= keep {
		return log
	}
	return log[len(log)-keep:]
}
