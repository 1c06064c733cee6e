// Package clients runs the providers' own clients, which are for Node.js; see testdata/package.json.
package clients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// folder is where the clients are, seen from the tests of an example and from those beside this file.
const folder = "../../integration/clients/testdata"

// Run runs a client of a provider, and returns what it says. If Node.js or the clients are
// not there, it skips the test, or fails it where CALLBACK_REQUIRED_TOOLS requires them.
func Run(t *testing.T, script string, env ...string) string {
	t.Helper()
	if err := present(); err != nil {
		if slices.Contains(strings.Fields(os.Getenv("CALLBACK_REQUIRED_TOOLS")), "node") {
			t.Fatalf("the clients of the providers are required: %v", err)
		}
		t.Skipf("the clients of the providers are not there: %v", err)
	}
	// So that "go test" does not remember a result when it has changed.
	if _, err := os.ReadFile(filepath.Join(folder, script)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), env...)
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, output)
	}
	return string(output)
}

// present makes sure that there are Node.js and the clients.
func present() error {
	version, err := exec.Command("node", "--version").Output()
	var major int
	switch _, scanned := fmt.Sscanf(string(version), "v%d.", &major); {
	case err != nil:
		return fmt.Errorf("node does not run (%w); it comes with the packages nodejs and npm", err)
	case scanned != nil || major < 20:
		return fmt.Errorf("node is %s: they need 20 or newer", strings.TrimSpace(string(version)))
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); err != nil {
		return fmt.Errorf("%w; run npm ci in integration/clients/testdata", err)
	}
	return nil
}
