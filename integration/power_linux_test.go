package integration

import (
	"errors"
	"flag"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

var cuts = flag.Int("cuts", 3, "power cuts of TestPowerCutLosesNothingAcknowledged")

// image is a file system in a file, whose power can be cut.
type image struct {
	file, dir string
	mounted   bool
}

// newImage makes and mounts an image. The test is skipped where that is not allowed.
func (s *stage) newImage(t *testing.T) *image {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system")
	}
	for _, command := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(command); err != nil {
			t.Skipf("%v; it comes with the packages e2fsprogs and mount", err)
		}
	}
	i := &image{file: s.Path("image"), dir: s.Path("disk")}
	if err := errors.Join(os.Mkdir(i.dir, 0o700), os.WriteFile(i.file, nil, 0o600), os.Truncate(i.file, 640<<20)); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.ext4", "-q", "-F", i.file)
	if out, err := exec.Command("mount", "-o", "loop", i.file, i.dir).CombinedOutput(); err != nil {
		t.Skipf("no image can be mounted: %s", out)
	}
	i.mounted = true
	t.Cleanup(func() {
		if i.mounted {
			// Detach it, because the server may still use it.
			command(t, "umount", "-l", i.dir)
		}
	})
	return i
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// store returns the configuration of a store on the image.
func (i *image) store() string { return filepath.Join(i.dir, "store") + " {\n\tmin_free 128MiB\n}" }

// cut makes the file system fail from this moment on, and drops all that is not on
// the disk (EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH,
// linux/fs/ext4/ext4.h).
func (i *image) cut(t *testing.T) {
	t.Helper()
	dir, err := os.Open(i.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	const shutdown, withoutFlush = 0x8004587d, 2
	if err := unix.IoctlSetPointerInt(int(dir.Fd()), shutdown, withoutFlush); err != nil {
		t.Fatalf("the file system cannot be shut down: %v", err)
	}
}

// again mounts the image again, as after a restart of the machine.
func (i *image) again(t *testing.T) {
	t.Helper()
	command(t, "umount", i.dir)
	i.mounted = false
	command(t, "mount", "-o", "loop", i.file, i.dir)
	i.mounted = true
}

// control writes a file with an fsync and one without.
func (i *image) control(t *testing.T) {
	t.Helper()
	for name, sync := range map[string]bool{"kept": true, "lost": false} {
		f, err := os.Create(filepath.Join(i.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString("control")
		if sync {
			err = errors.Join(err, f.Sync())
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// controlled checks that the cut has dropped what was not on the disk, and nothing
// else, and removes the files of control.
func (i *image) controlled(t *testing.T) {
	t.Helper()
	kept, lost := filepath.Join(i.dir, "kept"), filepath.Join(i.dir, "lost")
	if text, err := os.ReadFile(kept); err != nil || string(text) != "control" {
		t.Fatalf("what was on the disk is %q: %v", text, err)
	}
	if text, err := os.ReadFile(lost); err == nil && string(text) == "control" {
		t.Fatal("the power was not cut: what was never on the disk is there")
	}
	for _, name := range []string{kept, lost} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// The server is stopped before each cut: if an fsync is under way, the ioctl may drop
// what that fsync then reports as written, which no disk does. Everything that
// anybody was told before is on the disk.
func TestPowerCutLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	random, from := chance(t)
	l := newLoad(t)
	disk := l.newImage(t)
	cfg := l.config()
	cfg.Store = disk.store()
	stop, number := make(chan struct{}), new(atomic.Int64)
	l.begin(func() { l.run(rand.New(rand.NewPCG(from, 1)), number, stop) })
	for range *cuts {
		l.Start(t, cfg)
		l.power.set(true)
		<-time.After(time.Duration(random.IntN(int(900 * time.Millisecond))))
		l.Freeze(t)
		disk.control(t)
		disk.cut(t)
		l.power.set(false)
		l.Kill(t)
		disk.again(t)
		disk.controlled(t)
	}
	close(stop)
	l.Start(t, cfg)
	l.power.set(true)
	l.finish(t)
	l.figures("%d power cuts", *cuts)
}

func TestDiskThatFailsTakesNobodyElseDown(t *testing.T) {
	t.Parallel()
	l := newLoad(t)
	disk := l.newImage(t)
	cfg := l.config()
	cfg.Store = disk.store()
	cfg.Private += "respond /alive 200\n"
	l.Start(t, cfg)
	stop := make(chan struct{})
	l.until(stop)
	l.power.set(true)
	harness.Eventually(t, "clients got 202", func() bool { return len(l.acknowledged()) >= 20 })

	l.Freeze(t)
	disk.cut(t)
	l.Thaw(t)
	parks := func() *harness.Response {
		return l.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/park/none"), "text/plain", "x"))
	}
	harness.Eventually(t, "requests are refused", func() bool {
		refused := parks()
		return refused.Status == http.StatusServiceUnavailable && refused.Header.Get("Retry-After") != ""
	})
	wantStatus(t, l.public(t, harness.NewRequest(t, http.MethodGet, harness.HTTP1.URL("/alive"), "", "")), http.StatusOK)
	l.power.set(false)
	close(stop)
	l.Terminate(t)
	// Five seconds are for connections that the client has opened but not used yet,
	// which net/http waits for; the store takes less than one second.
	if code := l.Exited(t, 8*time.Second); code != 0 {
		t.Errorf("the server exits with code %d", code)
	}

	disk.again(t)
	l.Start(t, cfg)
	l.power.set(true)
	l.finish(t)
}
