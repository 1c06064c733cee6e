//go:build !unix || openbsd || netbsd || solaris || illumos || aix

package badger

import "errors"

// freeSpace is not supported on these systems, so nothing guards against a full disk.
func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
