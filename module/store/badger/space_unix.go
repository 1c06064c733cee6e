//go:build unix && !openbsd && !netbsd && !solaris && !illumos && !aix

package badger

import "golang.org/x/sys/unix"

// freeSpace returns the bytes that an ordinary user can still write to the file
// system of dir.
func freeSpace(dir string) (uint64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, err
	}
	return uint64(fs.Bavail) * uint64(fs.Bsize), nil
}
