//go:build !unix || openbsd || netbsd || solaris || illumos || aix

package badger

import "errors"

// freeSpace cannot be asked for here, so there is no guard against a full disk.
func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
