package pages

import (
	"context"
	"os"
	"path/filepath"

	cdp "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// file is what a browser has downloaded.
type file struct{ name, content string }

// downloads takes a step, and returns the file that the browser downloads because of it.
func (p *person) downloads(step func()) file {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	target := chromedp.FromContext(p.ctx)
	// Neither channel ever fills: the browser tells of the downloads of all people, one by one.
	dir, began, done := p.t.TempDir(), make(chan *cdp.EventDownloadWillBegin, 100), make(chan string, 100)
	err := chromedp.ListenBrowser(ctx, func(event any) {
		switch e := event.(type) {
		case *cdp.EventDownloadWillBegin:
			if string(e.FrameID) == string(target.Target.TargetID) {
				began <- e
			}
		case *cdp.EventDownloadProgress:
			if e.State == cdp.DownloadProgressStateCompleted {
				done <- e.GUID
			}
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	_, err = chromedp.CallBrowser(p.ctx, cdp.SetDownloadBehavior, cdp.SetDownloadBehaviorParams{
		Behavior: cdp.SetDownloadBehaviorBehaviorAllow, BrowserContextID: target.BrowserContextID,
		DownloadPath: dir, EventsEnabled: new(true),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	step()
	download := harness.Receive(p.t, "a download begins", began)
	for harness.Receive(p.t, "the download ends", done) != download.GUID {
	}
	content, err := os.ReadFile(filepath.Join(dir, download.SuggestedFilename))
	if err != nil {
		p.t.Fatal(err)
	}
	return file{download.SuggestedFilename, string(content)}
}
