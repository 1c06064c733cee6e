package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// binaryPackage is the command that the tests run: Caddy with this plugin.
const binaryPackage = module + "/cmd/caddy"

// buildDir is where Main keeps the binary.
var buildDir string

// Main builds the binary, runs the tests and returns the exit code. Call it
// from TestMain.
func Main(m *testing.M) int {
	// A note of quic-go on buffer sizes that says nothing about a test.
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	dir, err := os.MkdirTemp("", "cb-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	buildDir = dir
	if _, err := Binary(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Binary returns the path of the caddy binary, which it builds when it is asked
// for the first time. With the race detector on in the tests it is on in the
// binary, too.
var Binary = sync.OnceValues(build)

func build() (string, error) {
	if buildDir == "" {
		return "", errors.New("harness.Main has not been called")
	}
	path := filepath.Join(buildDir, "caddy")
	args := append([]string{"build", "-o", path}, raceFlags...)
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", append(args, binaryPackage)...)
	// Tests in a module below this one have other versions of what Caddy needs.
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", binaryPackage, err, out)
	}
	return path, nil
}

// module is the plugin's module.
const module = "github.com/caddy-callback/caddy-callback"

// moduleRoot returns the folder of the plugin's module.
func moduleRoot() (string, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	return strings.TrimSpace(string(dir)), nil
}

// dependOnSources opens every folder of the module. "go test" remembers a result
// for as long as what the tests have opened stays the same, a folder's list of
// files with their times among it, and it cannot know that the go command was
// started to compile the sources. It takes notice of tests only, not of TestMain.
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
