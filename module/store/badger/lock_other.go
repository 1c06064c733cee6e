//go:build !unix || solaris || illumos || aix

package badger

// lockDatabase does nothing on these systems. On Windows a file that is in use cannot
// be removed anyway.
func lockDatabase(string) (unlock func(), err error) { return func() {}, nil }
