package harness

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// dieWithTest makes the kernel kill the server when the test process ends, however it
// ends.
func dieWithTest() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// OpenFiles returns how many file descriptors the server has open.
func (c *Caddy) OpenFiles(tb testing.TB) int {
	tb.Helper()
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(c.running(tb).cmd.Process.Pid) + "/fd")
	if err != nil {
		tb.Fatal(err)
	}
	return len(entries)
}

// Memory returns how many bytes of memory the server has resident.
func (c *Caddy) Memory(tb testing.TB) int64 {
	tb.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(c.running(tb).cmd.Process.Pid) + "/statm")
	if err != nil {
		tb.Fatal(err)
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		tb.Fatalf("statm is %q", b)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// Peak returns how many bytes of memory the server has had resident at most.
func (c *Caddy) Peak(tb testing.TB) int64 {
	tb.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(c.running(tb).cmd.Process.Pid) + "/status")
	if err != nil {
		tb.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "\nVmHWM:")
	number, _, found := strings.Cut(after, " kB\n")
	kib, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if !found || err != nil {
		tb.Fatalf("status has no VmHWM: %s", b)
	}
	return kib << 10
}

// Freeze stops the server where it is, and returns once none of its threads runs, so
// that each of its writes is either complete or not begun.
func (c *Caddy) Freeze(tb testing.TB) {
	tb.Helper()
	process := c.running(tb).cmd.Process
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		tb.Fatal(err)
	}
	tasks := "/proc/" + strconv.Itoa(process.Pid) + "/task/"
	Eventually(tb, "every thread has stopped", func() bool {
		threads, err := os.ReadDir(tasks)
		if err != nil {
			tb.Fatal(err)
		}
		for _, thread := range threads {
			stat, err := os.ReadFile(tasks + thread.Name() + "/stat")
			// The name of the command, in parentheses, may hold spaces.
			_, state, _ := strings.Cut(string(stat), ") ")
			if err != nil || !strings.HasPrefix(state, "T") {
				return false
			}
		}
		return true
	})
}

// Thaw lets the server go on after Freeze.
func (c *Caddy) Thaw(tb testing.TB) {
	tb.Helper()
	if err := c.running(tb).cmd.Process.Signal(syscall.SIGCONT); err != nil {
		tb.Fatal(err)
	}
}
