package harness

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// dieWithTest makes the kernel kill the server when the test process ends in
// whatever way.
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
