package pages

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// likeTLS are sites that the browser takes for as good as those with TLS: it says in Fetch
// Metadata what its requests are for. To all others it does not.
const likeTLS = "http://callbacks.test,http://app.test,http://desk.test,http://ops.test"

// browser is the one that all tests share. Each person has cookies of their own in it.
var browser struct {
	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	err    error
}

// openBrowser returns the context of the browser, which it starts when it is asked for the first
// time.
func openBrowser(t *testing.T) context.Context {
	t.Helper()
	chromium := requireTool(t, "chromium", "chromium", "chromium-browser", "google-chrome")
	browser.once.Do(func() { browser.ctx, browser.cancel, browser.err = startBrowser(chromium) })
	if browser.err != nil {
		t.Fatalf("the browser does not start: %v", browser.err)
	}
	return browser.ctx
}

func startBrowser(chromium string) (context.Context, context.CancelFunc, error) {
	home, err := os.MkdirTemp("", "cb")
	if err != nil {
		return nil, nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.Env("HOME="+home, "TMPDIR="+home, "LANG=C.UTF-8", "TZ=UTC"),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-features", "Translate,AutofillServerCommunication,OptimizationHints,MediaRouter"),
		chromedp.Flag("unsafely-treat-insecure-origin-as-secure", likeTLS),
		// Nothing that the browser does by itself gets anywhere; each person has a road of
		// their own.
		chromedp.ProxyServer("127.0.0.1:9"),
		chromedp.WSURLReadTimeout(harness.Patience),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, leave := chromedp.NewContext(allocator)
	cancel := func() {
		// A browser that is asked to end removes what it has written.
		asked, done := context.WithTimeout(ctx, 10*time.Second)
		_ = chromedp.Cancel(asked)
		done()
		leave()
		stop()
		_ = os.RemoveAll(home)
	}
	if err := chromedp.Do(ctx); err != nil {
		cancel()
		return nil, nil, err
	}
	return ctx, cancel, nil
}

// closeBrowser ends the browser, if there is one.
func closeBrowser() {
	if browser.cancel != nil {
		browser.cancel()
	}
}
