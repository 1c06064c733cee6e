package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// runs, in the environment, makes the test binary the example itself.
const runs = "HOLD_TEST_RUNS_EXAMPLE"

func TestMain(m *testing.M) {
	if os.Getenv(runs) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// curlLine is the command that the example tells its user to run.
var curlLine = regexp.MustCompile(`^ +curl -i (http://\S+) -d '(.*)'$`)

func TestRequestIsHeldAndAnswered(t *testing.T) {
	t.Parallel()
	e := startExample(t, freePorts(t))
	line := e.waitFor(t, curlLine)

	began := time.Now()
	res, err := http.Post(line[1], "application/x-www-form-urlencoded", strings.NewReader(line[2]))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()

	if held := time.Since(began); held < thinks {
		t.Errorf("the request was held for %v, less than the partner takes", held)
	}
	if want := `{"confirmed":true,"order":{"item":"book"}}` + "\n"; res.StatusCode != http.StatusOK || string(body) != want {
		t.Errorf("the answer is %s %q, want 200 OK %q", res.Status, body, want)
	}
	if got := res.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q, want that of the call", got)
	}
	e.waitFor(t, regexp.MustCompile(`called back, and was answered 200 OK`))
	e.interrupt(t)

	if _, err := os.Stat(filepath.Join(e.dir, "callback-data", "store", "sentinel.json")); err != nil {
		t.Errorf("the store is not where the README says: %v", err)
	}
	entries, err := os.ReadDir(e.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the example leaves more behind than callback-data: %v, %v", entries, err)
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ports := freePorts(t)
	ports[1] = port(l)
	e := startExample(t, ports)
	e.waitFor(t, regexp.MustCompile(`^Error: .*:`+port(l)+`: .*HOLD_APP_PORT`))
	if err := e.end(func(string) {}); err == nil {
		t.Error("the example exits with 0 although it could not start")
	}
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}

// example is the example as it runs, in a directory of its own.
type example struct {
	dir   string
	cmd   *exec.Cmd
	lines chan string
}

func startExample(t *testing.T, ports [3]string) *example {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	e := &example{dir: t.TempDir(), cmd: exec.CommandContext(ctx, os.Args[0]), lines: make(chan string, 1000)}
	e.cmd.Dir = e.dir
	e.cmd.Env = append(os.Environ(), runs+"=1", "HOME="+e.dir, "XDG_CONFIG_HOME="+e.dir,
		public.variable+"="+ports[0], app.variable+"="+ports[1], partner.variable+"="+ports[2])
	output, err := e.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	e.cmd.Stderr = e.cmd.Stdout
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.cmd.Process.Kill() })
	go func() {
		defer close(e.lines)
		for s := bufio.NewScanner(output); s.Scan(); {
			e.lines <- s.Text()
		}
	}()
	return e
}

// waitFor reads what the example prints until a line matches, and returns the
// match.
func (e *example) waitFor(t *testing.T, line *regexp.Regexp) []string {
	t.Helper()
	var all strings.Builder
	for l := range e.lines {
		if match := line.FindStringSubmatch(l); match != nil {
			return match
		}
		fmt.Fprintln(&all, l)
	}
	t.Fatalf("the example has ended without a line %v:\n%s", line, all.String())
	return nil
}

// interrupt does as Ctrl+C, and waits for the end.
func (e *example) interrupt(t *testing.T) {
	t.Helper()
	if err := e.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := e.end(func(line string) { t.Errorf("the example says on its way out: %s", line) })
	if err != nil {
		t.Errorf("the example has not ended in order: %v", err)
	}
}

// end waits until the example has ended, and hands on what else it prints.
func (e *example) end(printed func(line string)) error {
	for l := range e.lines {
		printed(l)
	}
	return e.cmd.Wait()
}

// freePorts returns three ports that nobody listens on.
func freePorts(t *testing.T) (ports [3]string) {
	t.Helper()
	for i := range ports {
		l, err := net.Listen("tcp", "localhost:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ports[i] = port(l)
	}
	return ports
}

func port(l net.Listener) string {
	_, p, _ := net.SplitHostPort(l.Addr().String())
	return p
}
