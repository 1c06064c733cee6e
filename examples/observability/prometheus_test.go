package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// tool returns the path of a program of Prometheus. Without it the test is skipped, or fails where
// CALLBACK_REQUIRED_TOOLS requires promtool.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case slices.Contains(strings.Fields(os.Getenv("CALLBACK_REQUIRED_TOOLS")), "promtool"):
		t.Fatalf("%s is required, and is not there", name)
	}
	t.Skipf("the rules are not checked: %s is not there; it comes with the package prometheus, as in: apt-get install prometheus", name)
	return ""
}

// run runs a program, which must succeed.
func run(t *testing.T, path string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRulesDoWhatTheirTestsSay(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "promtool")
	run(t, promtool, "check", "config", "prometheus.yml")
	run(t, promtool, "check", "rules", "alerts.yml")
	run(t, promtool, "test", "rules", "alerts_test.yml")
	for _, m := range strings.Split(readFile(t, "alerts.yml"), "- alert: ")[1:] {
		name, _, _ := strings.Cut(m, "\n")
		if !strings.Contains(readFile(t, "alerts_test.yml"), `alertname="`+name+`"`) {
			t.Errorf("alerts_test.yml does not let %s fire", name)
		}
	}
}

// TestPrometheusAnswersTheDashboard lets a Prometheus read the example, with the configuration
// that is here, and asks it what the dashboard asks.
func TestPrometheusAnswersTheDashboard(t *testing.T) {
	t.Parallel()
	program, expressions := tool(t, "prometheus"), dashboardExpressions(t)
	w := watch(t)
	dir := t.TempDir()
	config := strings.NewReplacer("localhost:9000", w.app, "15s", "1s").Replace(readFile(t, "prometheus.yml"))
	for name, content := range map[string]string{"prometheus.yml": config, "alerts.yml": readFile(t, "alerts.yml")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := "localhost:" + exampletest.FreePorts(t)[0]
	server := exec.CommandContext(t.Context(), program, "--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", address, "--log.level", "error")
	var said strings.Builder
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("there is no answer to %v\n%s", expressions, said.String())
		}
	}()
	// What has gone wrong in the example is told, too.
	expressions[`ALERTS{alertname="CallbackDeliveriesDead", name="reports"}`] = "alerts"
	harness.Eventually(t, "there is an answer to everything", func() bool {
		maps.DeleteFunc(expressions, func(expr, _ string) bool { return hasAnswer(t, address, expr) })
		return len(expressions) == 0
	})
	w.Interrupt(t)
}

// hasAnswer reports whether Prometheus has anything to say to an expression.
func hasAnswer(t *testing.T, address, expr string) bool {
	t.Helper()
	res, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	text := drain(res.Body)
	var a struct {
		Status, Error string
		Data          struct{ Result []any }
	}
	if res.StatusCode == http.StatusServiceUnavailable {
		return false
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil || a.Status != "success" {
		t.Fatalf("%s: %v %s", expr, err, text)
	}
	return len(a.Data.Result) > 0
}
