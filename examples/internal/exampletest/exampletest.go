// Package exampletest runs examples as users do.
package exampletest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

// runs is the environment variable that makes the test binary run the example itself.
const runs = "CALLBACK_TEST_RUNS_EXAMPLE"

// Main runs the tests, or the example if a test has started this process.
func Main(m *testing.M, ex interface{ Main() }) {
	if os.Getenv(runs) != "" {
		ex.Main()
		return
	}
	os.Exit(m.Run())
}

// Running is the example as it runs, in a directory of its own.
type Running struct {
	// Dir is where it runs.
	Dir   string
	cmd   *exec.Cmd
	lines chan string
}

// Start starts the example of this test binary on the ports: those of the public
// site, the app's site, the partner and, if there is one, the app itself.
func Start(t *testing.T, ex example.Example, ports [4]string) *Running {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	e := &Running{Dir: t.TempDir(), cmd: exec.CommandContext(ctx, os.Args[0]), lines: make(chan string, 1000)} //nolint:gosec // The test runs itself.
	e.cmd.Dir = e.Dir
	e.cmd.Env = append(os.Environ(), runs+"=1", "HOME="+e.Dir, "XDG_CONFIG_HOME="+e.Dir,
		ex.Public.Variable+"="+ports[0], ex.App.Variable+"="+ports[1], ex.Partner.Variable+"="+ports[2])
	if ex.Backend.Variable != "" {
		e.cmd.Env = append(e.cmd.Env, ex.Backend.Variable+"="+ports[3])
	}
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

// WaitFor reads what the example prints until a line matches, and returns the
// match.
func (e *Running) WaitFor(t *testing.T, line *regexp.Regexp) []string {
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

// WaitForAll reads what the example prints until each of the lines has come, in any
// order.
func (e *Running) WaitForAll(t *testing.T, lines ...*regexp.Regexp) {
	t.Helper()
	for l := range e.lines {
		lines = slices.DeleteFunc(lines, func(line *regexp.Regexp) bool { return line.MatchString(l) })
		if len(lines) == 0 {
			return
		}
	}
	t.Fatalf("the example has ended without the lines %v", lines)
}

// Interrupt does what Ctrl+C does, and waits for the end.
func (e *Running) Interrupt(t *testing.T) {
	t.Helper()
	if err := e.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := e.End(func(line string) { t.Errorf("the example says on its way out: %s", line) })
	if err != nil {
		t.Errorf("the example has not ended in order: %v", err)
	}
}

// End waits until the example has ended, and calls printed with the rest of what it
// prints.
func (e *Running) End(printed func(line string)) error {
	for l := range e.lines {
		printed(l)
	}
	return e.cmd.Wait()
}

// FreePorts returns ports that are not in use, as many as an example needs.
func FreePorts(t *testing.T) (ports [4]string) {
	t.Helper()
	for i := range ports {
		l, err := net.Listen("tcp", "localhost:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ports[i] = Port(l)
	}
	return ports
}

// Port returns the port that a listener has.
func Port(l net.Listener) string {
	_, p, _ := net.SplitHostPort(l.Addr().String())
	return p
}
