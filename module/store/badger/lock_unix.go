//go:build unix && !solaris && !illumos && !aix

package badger

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockDatabase takes the lock that Badger holds on the directory of an open database.
func lockDatabase(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}
