// Package pages tests the pages for people in a real browser: Debian's Chromium, driven through
// the DevTools protocol, with and without script.
//
// It is a module of its own, because what drives the browser is nothing that Caddy is built with.
package pages

import (
	"flag"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := harness.Main(m)
	closeBrowser()
	os.Exit(code)
}

// requireTool returns the path of a program. If it is not there, it skips the test, or fails it
// where CALLBACK_REQUIRED_TOOLS requires that program.
func requireTool(t *testing.T, pkg string, programs ...string) string {
	t.Helper()
	for _, program := range programs {
		if path, err := exec.LookPath(program); err == nil {
			return path
		}
	}
	missing(t, programs[0], programs[0]+" is not there; it comes with the package "+pkg+", as in: apt-get install "+pkg)
	return ""
}

// missing skips a test that lacks something of a tool, or fails it where the tool is required.
func missing(t *testing.T, tool, what string) {
	t.Helper()
	if slices.Contains(strings.Fields(os.Getenv("CALLBACK_REQUIRED_TOOLS")), tool) {
		t.Fatalf("%s is required: %s", tool, what)
	}
	t.Skipf("no browser looks at the pages: %s", what)
}
