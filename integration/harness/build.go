package harness

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// modulePath is the plugin's module, and binaryPackage the command in it that the
// tests run: Caddy with this plugin.
const (
	modulePath    = "github.com/caddy-callback/caddy-callback"
	binaryPackage = modulePath + "/cmd/caddy"
)

// buildDir is where Main keeps the binary.
var buildDir string

// Main builds the binary, runs the tests and returns the exit code. Call it
// from TestMain.
func Main(m *testing.M) int {
	// Suppress a warning of quic-go about buffer sizes, which does not matter to
	// tests.
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	dir, err := os.MkdirTemp("", "cb-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	buildDir = dir
	// Many tests wait more than they work, so run more of them than there are
	// processors.
	flag.Parse()
	if atOnce := flag.Lookup("test.parallel"); atOnce.Value.String() == atOnce.DefValue {
		_ = atOnce.Value.Set(strconv.Itoa(runtime.GOMAXPROCS(0) + 1))
	}
	if _, err := Binary(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Binary returns the path of the caddy binary, which it builds when it is asked
// for the first time. With the race detector on in the tests it is on in the
// binary, too.
var Binary = sync.OnceValues(func() (string, error) { return build("caddy") })

// failingBinary is the same built with the points of package failpoint.
var failingBinary = sync.OnceValues(func() (string, error) { return build("caddy-failpoint", "-tags", "failpoint") })

func build(name string, flags ...string) (string, error) {
	if buildDir == "" {
		return "", errors.New("harness.Main has not been called")
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(buildDir, name)
	args := slices.Concat([]string{"build", "-o", path}, raceFlags, flags, []string{binaryPackage})
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", binaryPackage, err, out)
	}
	return path, nil
}

// moduleRoot returns the folder of the plugin's module. Tests in a module below it
// use it, too, so that the binary is built with the versions that the plugin's module
// requires, not with those that the tests need.
var moduleRoot = sync.OnceValues(findModule)

func findModule() (string, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", modulePath).Output()
	if err != nil {
		return "", fmt.Errorf("finding the module %s: %w", modulePath, err)
	}
	return strings.TrimSpace(string(dir)), nil
}

// dependOnSources opens every folder of the module, so that "go test" does not reuse
// a cached result after the sources have changed. It caches a result until something
// changes that the tests have opened, such as the list of files in a folder and their
// times, and cannot know that the tests compile the sources. What TestMain opens does
// not count.
var dependOnSources = sync.OnceValue(openFolders)

func openFolders() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		case strings.HasPrefix(entry.Name(), ".") && path != root:
			return filepath.SkipDir
		}
		folder, err := os.Open(path)
		if err != nil {
			return err
		}
		return folder.Close()
	})
}
