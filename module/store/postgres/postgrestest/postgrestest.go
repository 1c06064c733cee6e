// Package postgrestest starts a PostgreSQL server for tests, with a cluster of its own that
// goes when they have ended.
package postgrestest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Required is the environment variable that, with the value "required", makes tests fail
// where there is no PostgreSQL.
const Required = "CALLBACK_POSTGRES"

// user is the superuser of the cluster.
const user = "callback"

// startWithin is how long the server may take to start.
const startWithin = 30 * time.Second

// Cluster is a server, and the directory with its data and its socket.
type Cluster struct {
	dir string
	// stdin ends the server when it is closed, and that happens if the tests are killed, too.
	stdin interface{ Close() error }
	ended chan struct{}
}

var (
	start   sync.Once
	cluster *Cluster
	failure error
	schemas atomic.Uint64
)

// Main runs a package's tests with run, and stops the server that they have started.
func Main(run func() int) (code int) {
	defer func() {
		if cluster != nil {
			cluster.Stop()
		}
	}()
	return run()
}

// New returns the URL of the server that the tests of a package share, and the name of a schema
// that no other test has. It skips the test where there is no PostgreSQL.
func New(t testing.TB) (url, schema string) {
	t.Helper()
	start.Do(func() { cluster, failure = Start() })
	need(t, failure)
	return cluster.URL(), "test" + strconv.FormatUint(schemas.Add(1), 10)
}

// Need skips the test where there is no PostgreSQL.
func Need(t testing.TB) {
	t.Helper()
	_, err := binaries()
	need(t, err)
}

func need(t testing.TB, err error) {
	t.Helper()
	if err != nil && os.Getenv(Required) == "required" {
		t.Fatalf("there is no PostgreSQL to test with: %v", err)
	}
	if err != nil {
		t.Skipf("there is no PostgreSQL to test with: %v", err)
	}
}

// Start makes a cluster and starts its server. options are settings, like "fsync=off".
func Start(options ...string) (*Cluster, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(shortDir(), "cbpg")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, ended: make(chan struct{})}
	if err := c.start(bin, options); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return c, nil
}

// URL returns the URL of the cluster's database.
func (c *Cluster) URL() string { return "postgres:///postgres?user=" + user + "&host=" + c.dir }

// Stop stops the server at once, and removes its data.
func (c *Cluster) Stop() {
	_ = c.stdin.Close()
	<-c.ended
	_ = os.RemoveAll(c.dir)
}

// shortDir returns the directory for temporary files, unless a socket in it would have too long
// a path.
func shortDir() string {
	if len(os.TempDir()) > 60 {
		return "/tmp"
	}
	return ""
}

// installed are the directories in which packages put the programs of PostgreSQL: of Debian,
// of the PostgreSQL project for Fedora, and of Homebrew.
var installed = []string{
	"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
}

// binaries returns the directory with the programs of the PostgreSQL in PATH, or else of the
// newest one that is installed.
func binaries() (string, error) {
	var dirs []string
	for _, pattern := range installed {
		found, _ := filepath.Glob(pattern)
		slices.Reverse(found)
		dirs = append(dirs, found...)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if followed, err := filepath.EvalSymlinks(path); err == nil {
			path = followed
		}
		dirs = append([]string{filepath.Dir(path)}, dirs...)
	}
	for _, dir := range dirs {
		_, err := os.Stat(filepath.Join(dir, "postgres"))
		_, errInit := os.Stat(filepath.Join(dir, "initdb"))
		if err == nil && errInit == nil {
			return dir, nil
		}
	}
	return "", errors.New("postgres and initdb are neither in PATH nor where packages put them, like /usr/lib/postgresql/*/bin")
}

func (c *Cluster) start(bin string, options []string) error {
	as, err := serverUser(c.dir)
	if err != nil {
		return err
	}
	data := filepath.Join(c.dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--no-sync", "-A", "trust", "-U", user, "-E", "UTF8", "--no-locale", "-D", data) //nolint:gosec // the installed program
	as(initdb)
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	words := []string{filepath.Join(bin, "postgres"), "-D", data, "-k", c.dir}
	for _, option := range append([]string{"listen_addresses=", "max_connections=200"}, options...) {
		words = append(words, "-c", option)
	}
	// The shell waits for its input to end, which it does when this process ends, however, and
	// leaves nothing.
	server := exec.Command("sh", append([]string{"-c", `"$@" 2>"$0/log" & cat >/dev/null; kill -QUIT $!; wait $!; rm -rf "$0"`, c.dir}, words...)...) //nolint:gosec // words of ours
	as(server)
	if c.stdin, err = server.StdinPipe(); err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	go func() {
		defer close(c.ended)
		_ = server.Wait()
	}()
	return c.await()
}

// await waits until the server takes connections.
func (c *Cluster) await() error {
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		pid, _ := os.ReadFile(filepath.Join(c.dir, "data", "postmaster.pid"))
		if lines := strings.Split(string(pid), "\n"); len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
	}
	log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
	_ = c.stdin.Close()
	<-c.ended
	return fmt.Errorf("postgres did not start within %s: %s", startWithin, log)
}
