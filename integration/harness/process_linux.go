package harness

import (
	"os"
	"strconv"
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
