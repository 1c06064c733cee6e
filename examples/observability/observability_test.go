package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestMain(m *testing.M) { exampletest.Main(m, observability) }

// curlLine is the command that the example tells its user to run.
var curlLine = regexp.MustCompile(`^ +curl -i http://(\S+)/orders/book -d '.*'$`)

// watched is the example with one of everything that can be watched.
type watched struct {
	*exampletest.Running
	app string
}

// watch starts the example, and lets all happen that its partner does.
func watch(t *testing.T) watched {
	t.Helper()
	ports := exampletest.FreePorts(t)
	w := watched{Running: exampletest.Start(t, observability, ports)}
	w.app = w.WaitFor(t, curlLine)[1]
	w.post(t, w.app, "/orders/book", "one", http.StatusOK)
	w.post(t, w.app, "/orders/fail", "one", http.StatusFailedDependency)
	for _, hook := range []string{"taken", "gone"} {
		w.post(t, w.app, "/reports/july", fmt.Sprintf(`{"callbackUrl":"http://localhost:%s/%s"}`, ports[2], hook), http.StatusAccepted)
	}
	w.post(t, "localhost:"+ports[0], "/cb", "{}", http.StatusNotFound, "Authorization", "Bearer "+key, "X-Link-Correlation-Id", "nobody's")
	w.leave(t, "/orders/odd")
	w.WaitFor(t, regexp.MustCompile(`called back for odd, and was answered 200 OK`))
	return w
}

// post sends something, and wants that status.
func (w watched) post(t *testing.T, host, path, body string, status int, lines ...string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+host+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != status {
		t.Errorf("%s: the answer is %s, want %d", path, res.Status, status)
	}
}

// leave sends an order that is never done, and does not wait for it.
func (w watched) leave(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.app+path, strings.NewReader("one"))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
		}
	}()
}

var sample = regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? `)

// metrics returns the labels of all metrics that there are.
func (w watched) metrics(t *testing.T) map[string][]string {
	t.Helper()
	res, err := http.Get("http://" + w.app + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	all := make(map[string][]string)
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if m := sample.FindStringSubmatch(lines.Text()); m != nil {
			all[m[1]] = nil
			for _, label := range labelName.FindAllStringSubmatch(m[2], -1) {
				all[m[1]] = append(all[m[1]], label[1])
			}
		}
	}
	return all
}

var (
	labelName = regexp.MustCompile(`([a-z_]+)=~?"`)
	// selector is a metric in an expression, with what it is selected by.
	selector = regexp.MustCompile(`\b((?:caddy|process|go)_[a-z_]+)(?:\{([^}]*)\})?`)
	grouping = regexp.MustCompile(`\bby \(([a-z_, ]+)\)`)
)

// ofPrometheus are labels that Prometheus adds to what it reads, and le, which it interprets.
var ofPrometheus = []string{"job", "instance", "le"}

// TestAllThatIsWatchedIsThere makes sure that dashboard and rules speak of metrics and labels that
// Caddy has.
func TestAllThatIsWatchedIsThere(t *testing.T) {
	t.Parallel()
	w := watch(t)
	expressions := slices.Concat(slices.Collect(maps.Keys(dashboardExpressions(t))), alertExpressions(t))
	missing := func() (all []string) {
		there := w.metrics(t)
		for _, expr := range expressions {
			all = append(all, missingIn(expr, there)...)
		}
		return all
	}
	defer func() {
		if t.Failed() {
			t.Logf("there is no %v", missing())
		}
	}()
	harness.Eventually(t, "all is there that is watched", func() bool { return len(missing()) == 0 })
	w.Interrupt(t)
}

// missingIn returns what an expression speaks of and what is not there.
func missingIn(expr string, there map[string][]string) (missing []string) {
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		labels, ok := there[m[1]]
		if !ok {
			missing = append(missing, m[1])
			continue
		}
		known := slices.Concat(labels, ofPrometheus)
		for _, label := range labelName.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(known, label[1]) {
				missing = append(missing, m[1]+"{"+label[1]+"}")
			}
		}
		for _, group := range grouping.FindAllStringSubmatch(expr, -1) {
			for label := range strings.SplitSeq(group[1], ", ") {
				if !slices.Contains(known, label) {
					missing = append(missing, m[1]+" by "+label)
				}
			}
		}
	}
	return missing
}

// TestReasonsAreProblemTypes makes sure that rules speak of problems that exist, and lead to their
// pages.
func TestReasonsAreProblemTypes(t *testing.T) {
	t.Parallel()
	problems := readFile(t, filepath.Join("..", "..", "docs", "problems.md"))
	reasons := regexp.MustCompile(`reason=~"([^"]+)"`)
	n := 0
	for _, m := range reasons.FindAllStringSubmatch(readFile(t, "alerts.yml"), -1) {
		for reason := range strings.SplitSeq(m[1], "|") {
			n++
			if !strings.Contains(problems, "\n### "+reason+"\n") {
				t.Errorf("there is no problem %s", reason)
			}
		}
	}
	if n == 0 {
		t.Error("no rule has a reason")
	}
	root := filepath.Join("..", "..")
	for _, m := range regexp.MustCompile(`blob/main/(docs/[a-z-]+\.md)(?:#([a-z-]+))?`).FindAllStringSubmatch(readFile(t, "alerts.yml")+readFile(t, "dashboard.json"), -1) {
		page := strings.ToLower(readFile(t, filepath.Join(root, m[1])))
		if m[2] != "" && !regexp.MustCompile(`(?m)^#+ `+strings.ReplaceAll(m[2], "-", " ")+`$`).MatchString(page) {
			t.Errorf("%s has no heading %s", m[1], m[2])
		}
	}
}

// TestAlertsAreDocumented makes sure that docs/operations.md says when each alert comes.
func TestAlertsAreDocumented(t *testing.T) {
	t.Parallel()
	names := func(text, pattern string) (all []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return all
	}
	there := names(readFile(t, "alerts.yml"), `- alert: (\w+)`)
	documented := names(readFile(t, filepath.Join("..", "..", "docs", "operations.md")), "`(Callback[A-Z]\\w+)`")
	if len(there) == 0 || !slices.Equal(there, documented) {
		t.Errorf("there are the alerts %v, and docs/operations.md has %v", there, documented)
	}
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// alertExpressions returns the expressions of the rules.
func alertExpressions(t *testing.T) (all []string) {
	t.Helper()
	text := regexp.MustCompile(`expr: >-\n\s+`).ReplaceAllString(readFile(t, "alerts.yml"), "expr: ")
	text = regexp.MustCompile(`\n {10}((?:and|>) )`).ReplaceAllString(text, " $1")
	for _, m := range regexp.MustCompile(`(?m)^ +expr: (.*)$`).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	if n := strings.Count(text, "- alert: "); len(all) != n || n == 0 {
		t.Fatalf("%d rules have %d expressions", n, len(all))
	}
	return all
}

// panel is a part of the dashboard.
type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	Targets                  []struct {
		Expr, RefID string
		Datasource  struct{ UID string }
	}
}

// dashboard reads the panels of the dashboard.
func dashboard(t *testing.T) (panels []panel) {
	t.Helper()
	var d struct{ Panels []panel }
	if err := json.Unmarshal([]byte(readFile(t, "dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d.Panels
}

// dashboardExpressions returns the expressions of the dashboard, with everything selected, and the
// titles of their panels.
func dashboardExpressions(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, p := range dashboard(t) {
		for _, target := range p.Targets {
			all[strings.NewReplacer("$job", ".*", "$instance", ".*", "$name", ".*", "$__rate_interval", "30s").Replace(target.Expr)] = p.Title
		}
	}
	return all
}

func TestDashboardIsWhole(t *testing.T) {
	t.Parallel()
	ids := make(map[int]bool)
	cells := make(map[[2]int]string)
	for _, p := range dashboard(t) {
		if p.Title == "" || ids[p.ID] || p.ID == 0 {
			t.Errorf("panel %d %q has no title, or no number of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("%s says nothing", p.Title)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" || strings.Contains(target.Expr, "localhost") {
				t.Errorf("%s asks only one server: %s", p.Title, target.Expr)
			}
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies over %s, or beside the page", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
	}
}

// drain reads a body to its end, as far as it is worth it.
func drain(r io.Reader) string {
	content, _ := io.ReadAll(io.LimitReader(r, 1<<20))
	return string(content)
}
