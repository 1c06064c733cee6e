package pages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// aside is a world of scripts beside that of a page: it has the same elements, and nothing else
// in common. Its scripts run where those of the page must not.
type aside struct {
	p  *person
	id runtime.ExecutionContextID
}

// timers let scripts go on where the page's own do not run: no timer is set there.
const timers = `setTimeout = f => { Promise.resolve().then(f); return 0 }; requestAnimationFrame = setTimeout;`

// stepAside makes such a world for the page that is open, and runs scripts in it.
func (p *person) stepAside(scripts ...string) *aside {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, harness.Patience)
	defer cancel()
	tree, err := chromedp.Call(ctx, page.GetFrameTree, cdp.Empty{})
	if err != nil {
		p.t.Fatal(err)
	}
	world, err := chromedp.Call(ctx, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: tree.FrameTree.Frame.ID})
	if err != nil {
		p.t.Fatal(err)
	}
	a := &aside{p: p, id: world.ExecutionContextID}
	a.run(timers, nil)
	for _, script := range scripts {
		a.run(script, nil)
	}
	return a
}

// run runs a script to its end and decodes its value, unless value is nil.
func (a *aside) run(script string, value any) {
	a.p.t.Helper()
	ctx, cancel := context.WithTimeout(a.p.ctx, harness.Patience)
	defer cancel()
	if err := a.evaluate(ctx, script, value); err != nil {
		a.p.t.Fatalf("%.100s: %v; the faults so far: %q", script, err, a.p.takeFaults())
	}
}

func (a *aside) evaluate(ctx context.Context, script string, value any) error {
	got, err := chromedp.Call(ctx, runtime.Evaluate, runtime.EvaluateParams{
		Expression: script, ContextID: a.id, AwaitPromise: new(true), ReturnByValue: new(value != nil),
	})
	switch {
	case err != nil:
		return err
	case got.ExceptionDetails != nil:
		return errors.New(thrown(got.ExceptionDetails))
	case value == nil:
		return nil
	}
	if err := json.Unmarshal([]byte(got.Result.Value), value); err != nil {
		return fmt.Errorf("%s: %w", got.Result.Value, err)
	}
	return nil
}

// readScript returns a script of testdata.
func readScript(t *testing.T, name string) string {
	t.Helper()
	script, err := os.ReadFile("testdata/" + name)
	if errors.Is(err, os.ErrNotExist) && strings.HasPrefix(name, "node_modules/") {
		missing(t, "chromium", "axe-core is not installed; run npm ci in integration/pages/testdata")
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}
