//go:build !linux

package harness

import "syscall"

// dieWithTest does nothing on this system.
func dieWithTest() *syscall.SysProcAttr { return nil }
