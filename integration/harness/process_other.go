//go:build !linux

package harness

import "syscall"

// dieWithTest has no means on this system.
func dieWithTest() *syscall.SysProcAttr { return nil }
