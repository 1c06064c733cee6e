package pages

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// text returns what the page shows; "" while another one comes.
func (p *person) text() string { return p.seen("document.body.innerText") }

// title returns what the page is about; "" while another one comes.
func (p *person) title() string { return p.seen("document.querySelector('h1')?.innerText ?? ''") }

// address returns where the browser is; "" while another page comes.
func (p *person) address() string { return p.seen("location.href") }

// seen returns the value of an expression in the page, "" if there is none at the moment.
func (p *person) seen(expression string) string {
	ctx, cancel := context.WithTimeout(p.ctx, harness.Patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		return ""
	}
	return value
}

// wantTitle waits until the page is about that.
func (p *person) wantTitle(want string) {
	p.t.Helper()
	p.want(want, p.title, func(got string) bool { return got == want })
}

// wantText waits until the page shows a text.
func (p *person) wantText(want string) {
	p.t.Helper()
	p.want(want, p.text, func(got string) bool { return strings.Contains(got, want) })
}

func (p *person) want(what string, get func() string, is func(string) bool) {
	p.t.Helper()
	for deadline := time.Now().Add(harness.Patience); !is(get()); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s shows no %q, but %.2000q; the faults so far: %q", p.address(), what, get(), p.takeFaults())
		}
	}
}

// click clicks, as with a mouse, on the only link, button or field that has the name, so often.
func (p *person) click(name string, times ...int) {
	p.t.Helper()
	var at struct {
		N    int
		X, Y float64
		Free bool
	}
	p.stepAside(readScript(p.t, "hands.js")).run(fmt.Sprintf("hands.where(%q)", name), &at)
	switch {
	case at.N != 1:
		p.t.Fatalf("%s has %d things to click on that are called %q: %.2000q", p.address(), at.N, name, p.text())
	case !at.Free:
		p.t.Fatalf("%s: something lies over %q", p.address(), name)
	}
	clicks := 1
	if len(times) > 0 {
		clicks = times[0]
	}
	for n := 1; n <= clicks; n++ {
		p.do(p.mouse(input.DispatchMouseEventTypeMousePressed, at.X, at.Y, n), p.mouse(input.DispatchMouseEventTypeMouseReleased, at.X, at.Y, n))
	}
}

func (p *person) mouse(kind input.DispatchMouseEventType, x, y float64, n int) chromedp.Action[chromedp.Void] {
	return call(input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: kind, X: x, Y: y, Button: input.MouseButtonLeft, ClickCount: int64(n)})
}

// fill types a text into the only field with that label, in place of what is in it.
func (p *person) fill(label, text string) {
	p.t.Helper()
	var n int
	p.stepAside(readScript(p.t, "hands.js")).run(fmt.Sprintf("hands.hold(%q)", label), &n)
	if n != 1 {
		p.t.Fatalf("%s has %d fields that are called %q: %.2000q", p.address(), n, label, p.text())
	}
	p.do(call(input.InsertText, input.InsertTextParams{Text: text}))
}

// back goes back to the page before this one.
func (p *person) back() {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		history, err := cdp.Call(ctx, t, page.GetNavigationHistory, cdp.Empty{})
		if err != nil {
			return err
		}
		// Nothing tells when a page is there that the browser has kept; see what is wanted of it.
		_, err = cdp.Call(ctx, t, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: history.Entries[history.CurrentIndex-1].ID})
		return err
	}))
}

// reload loads the page again, as its button does.
func (p *person) reload() {
	p.t.Helper()
	p.do(chromedp.Reload())
}

// wantAddressHas waits until the browser is at an address that has a text in it.
func (p *person) wantAddressHas(text string) {
	p.t.Helper()
	p.want(text, p.address, func(got string) bool { return strings.Contains(got, text) })
}
