package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// leftFree is what fill leaves free of a small disk, in bytes: less than the store
// needs to write.
const leftFree = 48 << 20

// smallDisk mounts a file system of 384 MiB, and returns where it is. The test is
// skipped where that is not allowed.
func (s *stage) smallDisk(t *testing.T) string {
	t.Helper()
	dir := s.Path("disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=384m"); err != nil {
		t.Skipf("no file system can be mounted: %v", err)
	}
	t.Cleanup(func() {
		// Detach it, because the server still uses it.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill fills the disk, and returns what empties it again.
func fill(t *testing.T, disk string) (empty func()) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(disk, &fs); err != nil {
		t.Fatal(err)
	}
	filler, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = filler.Close() }()
	size := int64(fs.Bavail)*fs.Bsize - leftFree
	if err := syscall.Fallocate(int(filler.Fd()), 0, 0, size); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(filler.Name()); err != nil {
			t.Error(err)
		}
	}
}

func TestFullDiskLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	l := newLoad(t)
	disk := l.smallDisk(t)
	cfg := l.config()
	cfg.Store = filepath.Join(disk, "store") + " {\n\tmin_free 128MiB\n}"
	l.Start(t, cfg)
	stop := make(chan struct{})
	l.until(stop)
	l.power.set(true)
	harness.Eventually(t, "clients got 202", func() bool { return len(l.acknowledged()) >= 20 })

	empty := fill(t, disk)
	parks := func() *harness.Response {
		return l.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/park/none"), "text/plain", "x"))
	}
	// The free space is checked only now and then. Until then requests are passed on
	// but not kept, and the client is told so.
	harness.Eventually(t, "a request is refused before it is passed on", func() bool {
		refused := parks()
		return refused.Status == http.StatusServiceUnavailable && refused.Header.Get("Retry-After") != ""
	})
	close(stop)
	for _, o := range l.acknowledged() {
		// As long as a decision that cannot be stored is not dropped, its callback
		// cannot be read.
		harness.Eventually(t, o.path+" can be read", func() bool { return l.fetch(t, o.parked.StatusURL).Status == http.StatusOK })
	}

	empty()
	harness.Eventually(t, "a request is taken", func() bool { return parks().Status == http.StatusAccepted })
	l.finish(t)
}
