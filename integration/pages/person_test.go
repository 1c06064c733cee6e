package pages

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// person is somebody with a browser: one tab, and cookies that nobody else has. Whatever goes
// wrong in it fails the test.
type person struct {
	t    *testing.T
	ctx  context.Context
	road *road

	mu     sync.Mutex
	faults []string
	// documents are the requests for whole pages, whose status is not a fault.
	documents map[network.RequestID]bool
}

// comeTo returns a person who comes to the sites of a Caddy.
func comeTo(t *testing.T, c *harness.Caddy) *person {
	t.Helper()
	sites, leadsTo := sitesOf(t, c)
	return come(t, sites, leadsTo)
}

func come(t *testing.T, sites http.Handler, leadsTo func(host string) bool) *person {
	t.Helper()
	shared := openBrowser(t)
	p := &person{t: t, road: newRoad(t, sites, leadsTo), documents: make(map[network.RequestID]bool)}
	var cancel context.CancelFunc
	p.ctx, cancel = chromedp.NewContext(shared,
		chromedp.WithNewBrowserContext(func(params *target.CreateBrowserContextParams) {
			params.ProxyServer = p.road.Listener.Addr().String()
			// Not even to this machine is there another way.
			params.ProxyBypassList = "<-loopback>"
		}),
		chromedp.WithListener(p.hear))
	t.Cleanup(func() {
		for _, fault := range p.takeFaults() {
			t.Error(fault)
		}
		cancel()
	})
	// The tab ends with the context of its first step.
	if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(1280, 800)); err != nil {
		t.Fatal(err)
	}
	return p
}

// do takes steps, each of which must succeed before long.
func (p *person) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, harness.Patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%v; the faults so far: %q", err, p.takeFaults())
	}
}

// evaluate returns the value of an expression in the person's page.
func evaluate[T any](p *person, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, harness.Patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// open goes to an address and waits until the page is there.
func (p *person) open(url string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url))
}

// opening goes to an address whose answer may take long, and returns what waits for the page.
func (p *person) opening(url string) (arrive func()) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, harness.Patience)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- chromedp.Do(ctx, chromedp.Navigate(url))
	}()
	return func() {
		p.t.Helper()
		if err := <-done; err != nil {
			p.t.Fatalf("%s: %v", url, err)
		}
	}
}

// useScript lets scripts of pages run, or not, from the next page on.
func (p *person) useScript(on bool) {
	p.t.Helper()
	p.do(call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on}))
}

// hear notes what goes wrong in the tab.
func (p *person) hear(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if e.Type == network.ResourceTypeDocument {
			p.mu.Lock()
			p.documents[e.RequestID] = true
			p.mu.Unlock()
		}
	case *network.EventResponseReceived:
		// The browser asks every site for its icon.
		if e.Type != network.ResourceTypeDocument && e.Response.Status >= http.StatusBadRequest && !strings.HasSuffix(e.Response.URL, "/favicon.ico") {
			p.fault("failed request: %s answers %d", e.Response.URL, e.Response.Status)
		}
	case *network.EventLoadingFailed:
		if e.Type != network.ResourceTypeDocument && !e.Canceled {
			p.fault("failed request: %s %s", e.ErrorText, e.BlockedReason)
		}
	case *log.EventEntryAdded:
		p.logged(e.Entry)
	case *runtime.EventExceptionThrown:
		p.fault("exception: %s", thrown(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		p.fault("console: %s %s", e.Type, said(e.Args))
	case *page.EventJavascriptDialogOpening:
		p.fault("dialog: %s %q", e.Type, e.Message)
		go p.closeDialog()
	}
}

// logged notes what the browser says about the page. That a whole page has a status of an error
// is what it is about.
func (p *person) logged(e *log.Entry) {
	p.mu.Lock()
	document := p.documents[e.NetworkRequestID]
	p.mu.Unlock()
	if e.Source == log.EntrySourceNetwork && (document || strings.Contains(e.Text, "the server responded with a status of")) {
		return
	}
	p.fault("%s: %s %s", e.Source, e.Text, e.URL)
}

func (p *person) fault(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// takeFaults returns what has gone wrong since it was last called.
func (p *person) takeFaults() []string {
	for _, a := range p.road.takeAstray() {
		p.fault("request to another site: %s", a)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	faults := slices.Compact(p.faults)
	p.faults = nil
	return faults
}

// closeDialog lets the page go on.
func (p *person) closeDialog() {
	_ = chromedp.Do(p.ctx, call(page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true}))
}

func thrown(d *runtime.ExceptionDetails) string {
	if d.Exception != nil && d.Exception.Description != "" {
		return d.Exception.Description
	}
	return d.Text
}

func said(args []*runtime.RemoteObject) string {
	var texts []string
	for _, a := range args {
		texts = append(texts, strings.TrimSpace(string(a.Value)+" "+a.Description))
	}
	return strings.Join(texts, " ")
}
