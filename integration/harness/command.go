package harness

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// RunCode runs another command of the binary in the same environment, with that
// input, and returns its output and its exit code.
func (c *Caddy) RunCode(tb testing.TB, input string, args ...string) (output string, code int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := c.command(tb, ctx, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		tb.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// Spawned is another command of the binary, while it runs.
type Spawned struct {
	cmd    *exec.Cmd
	exited chan struct{}

	mu     sync.Mutex
	output bytes.Buffer
}

// Spawn starts another command of the binary. At the end of the test it is killed.
func (c *Caddy) Spawn(tb testing.TB, args ...string) *Spawned {
	tb.Helper()
	s := &Spawned{cmd: c.command(tb, context.Background(), args...), exited: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = s, s
	s.cmd.SysProcAttr = dieWithTest()
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	tb.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.exited
	})
	return s
}

// Write takes what the command writes.
func (s *Spawned) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.Write(b)
}

// Output returns what the command has written so far.
func (s *Spawned) Output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.String()
}

// WaitFor waits until the command has written a text.
func (s *Spawned) WaitFor(tb testing.TB, text string) {
	tb.Helper()
	Eventually(tb, "the command writes "+text, func() bool { return strings.Contains(s.Output(), text) })
}

// Signal sends the command a signal.
func (s *Spawned) Signal(tb testing.TB, signal os.Signal) {
	tb.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		tb.Fatal(err)
	}
}

// Exited waits until the command has ended, and returns its exit code.
func (s *Spawned) Exited(tb testing.TB) int {
	tb.Helper()
	Receive(tb, "the command ends", s.exited)
	return s.cmd.ProcessState.ExitCode()
}
