// Package postgrestest starts a PostgreSQL server for tests, with a cluster of its own that
// goes when they have ended.
package postgrestest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// Required is the environment variable that, with the value "required", makes tests fail
// where there is no PostgreSQL.
const Required = "CALLBACK_POSTGRES"

// user is the superuser of the cluster.
const user = "callback"

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
	return Shared(t).URL(), "test" + strconv.FormatUint(schemas.Add(1), 10)
}

// Shared returns the cluster that the tests of a package share. It skips the test where there is
// no PostgreSQL.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	start.Do(func() { cluster, failure = Start() })
	need(t, "PostgreSQL", failure)
	return cluster
}

// Need skips the test where there is no PostgreSQL.
func Need(t testing.TB) {
	t.Helper()
	_, err := binaries()
	need(t, "PostgreSQL", err)
}

// need skips a test for which something is missing, or fails it where that is required.
func need(t testing.TB, what string, failure error) {
	t.Helper()
	switch {
	case failure == nil:
	case os.Getenv(Required) == "required":
		t.Fatalf("there is no %s to test with: %v", what, failure)
	default:
		t.Skipf("there is no %s to test with: %v", what, failure)
	}
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

// NewCluster returns a cluster that the test has for itself, with settings like "fsync=off". It
// skips the test where there is no PostgreSQL.
func NewCluster(t testing.TB, options ...string) *Cluster {
	t.Helper()
	c, err := Start(options...)
	need(t, "PostgreSQL", err)
	t.Cleanup(c.Stop)
	return c
}

// NewStandby is Standby for a test.
func (c *Cluster) NewStandby(t testing.TB, options ...string) *Cluster {
	t.Helper()
	standby, err := c.Standby(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Stop)
	return standby
}

// NewProxy returns a proxy in front of the cluster, which ends with the test.
func (c *Cluster) NewProxy(t testing.TB) *Proxy {
	t.Helper()
	p, err := NewProxy(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}
