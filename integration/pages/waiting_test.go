package pages

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// parked is a site whose people wait on a page.
const parked = "callback park {\nmessage \"Your order is with the kitchen.\"\nprogress header X-Progress\npage {\nprogress json percent\nprogress json text\n}\n}\n"

// progress is what says that a call is not the answer yet.
var progress = []string{"X-Progress", "yes"}

// startWaiting returns a stage whose app parks requests, and shows people a page.
func startWaiting(t *testing.T, private string) *stage {
	t.Helper()
	s := newStage(t)
	s.begin(t, harness.Config{
		Private: private + s.toPartner(),
		Sites:   s.Site("shop", "header Content-Type text/html\nrespond <<HTML\n"+shopForm+"\nHTML"),
	})
	return s
}

// shopForm is a page with a form that begins an order.
const shopForm = `<!DOCTYPE html><html lang="en"><title>Shop</title><h1>Shop</h1><form method="post" action="http://app.test/orders/form"><label>Dish <input name="dish" value="soup"></label> <button>Order</button></form></html>`

// wait makes a person come to the page of a fresh request, and returns its callback URL.
func (s *stage) wait(t *testing.T, p *person) (url string) {
	t.Helper()
	path := s.path()
	p.open(appURL + path)
	p.wantTitle("Please wait")
	return s.called(t, path)
}

// A person who waits sees how far it is, and what comes of it, without doing anything. The page
// is never loaded again for that.
func TestWaitingPageChangesByItself(t *testing.T) {
	t.Parallel()
	s := startWaiting(t, parked)
	p := comeTo(t, s.Caddy)
	url := s.wait(t, p)
	if !strings.HasPrefix(p.address(), callbacksURL+"/cbr/") {
		t.Errorf("the page is at %s", p.address())
	}
	p.wantText("Your order is with the kitchen.")
	p.mark()
	s.call(t, url, "application/json", `{"percent":40,"text":"The soup is being cooked."}`, progress...)
	p.wantText("The soup is being cooked.")
	p.wantText("40 %")
	p.lookHere("waiting, with progress")
	s.call(t, url, "application/json", `{"percent":"nearly","text":"The soup is hot."}`, progress...)
	p.wantText("The soup is hot.")
	s.call(t, url, "application/json", `{"dish":"soup","price":12345678901234567890.10}`)
	p.wantTitle("Done")
	p.wantText("12345678901234567890.10")
	p.wantMarked()
	p.lookHere("done")
	p.look(p.address(), "done")
	p.walk("done")
}

// mark leaves a mark in the page, which is gone when another one is loaded.
func (p *person) mark() {
	p.t.Helper()
	evaluate[bool](p, "window.marked = true")
}

// wantMarked makes sure that the page has not been loaded again since mark.
func (p *person) wantMarked() {
	p.t.Helper()
	if !evaluate[bool](p, "window.marked === true") {
		p.t.Error("the page has been loaded again")
	}
}

// Without script the page loads itself again, until that is stopped.
func TestWaitingPageWithoutScript(t *testing.T) {
	t.Parallel()
	s := startWaiting(t, parked)
	p := comeTo(t, s.Caddy)
	p.useScript(false)
	url := s.wait(t, p)
	p.look(p.address(), "waiting")
	p.useScript(false)
	p.reload()
	p.click("Stop refreshing")
	p.wantText("Refresh by itself")
	if n := evaluate[int](p, "document.querySelectorAll('meta[http-equiv=refresh]').length"); n != 0 {
		t.Error("the page still loads itself again")
	}
	p.look(p.address(), "waiting, stopped")
	p.useScript(false)
	p.reload()
	p.click("Check now")
	p.wantTitle("Please wait")
	p.click("Refresh by itself")
	p.wantText("Stop refreshing")
	s.call(t, url, "text/plain", "Your soup is ready.")
	p.wantTitle("Done")
	p.wantText("Your soup is ready.")
}

// However often a person loads the page again, what was sent is sent once.
func TestReloadingNeverSendsAFormAgain(t *testing.T) {
	t.Parallel()
	s := startWaiting(t, parked)
	p := comeTo(t, s.Caddy)
	p.open("http://shop.test/")
	p.click("Order")
	p.wantTitle("Please wait")
	for range 2 {
		p.reload()
		p.wantTitle("Please wait")
	}
	p.back()
	p.wantTitle("Shop")
	if sent := p.road.requests(http.MethodPost); len(sent) != 1 || sent[0].Status != http.StatusSeeOther {
		t.Errorf("the form was sent: %+v", sent)
	}
	if n := s.partner.Arrived("/orders/form"); n != 1 {
		t.Errorf("the partner has got %d orders", n)
	}
}

// Every end has its page.
func TestWaitingPageOfEveryEnd(t *testing.T) {
	t.Parallel()
	s := startWaiting(t, parked)
	p := comeTo(t, s.Caddy)
	failed := s.wait(t, p)
	s.call(t, failed, "text/plain", "no gas", "X-Link-Status", "Failed", "X-Link-Error-Code", "E-7", "X-Link-Error-Text", "The stove is out of gas.")
	p.wantTitle("It did not work")
	p.wantText("The stove is out of gas.")
	p.look(p.address(), "failed")
	p.walk("failed")
	s.wait(t, p)
	id := s.newest(t)
	s.send(t, http.MethodDelete, apiURL+"/"+id, "", "")
	p.wantTitle("It was ended before there was an answer")
	p.look(p.address(), "closed")
}

// newest returns the id of the callback that was made last.
func (s *stage) newest(t *testing.T) string {
	t.Helper()
	var list struct {
		Callbacks []struct {
			ID string `json:"id"`
		} `json:"callbacks"`
	}
	got := s.send(t, http.MethodGet, apiURL+"?limit=1", "", "")
	decode(t, got.Body, &list)
	if len(list.Callbacks) == 0 {
		t.Fatalf("there is none: %s", got.Body)
	}
	return list.Callbacks[0].ID
}

// What a partner says while and when it ends is text.
func TestHostileProgressAndResultAreText(t *testing.T) {
	t.Parallel()
	s := startWaiting(t, parked)
	p := comeTo(t, s.Caddy)
	for i, text := range hostile {
		state := fmt.Sprintf("%.60q", text)
		url := s.wait(t, p)
		s.call(t, url, "application/json", asJSON(map[string]any{"percent": i, "text": text}), progress...)
		p.want("progress", p.text, func(got string) bool { return strings.Contains(got, fmt.Sprintf("%d %%", i)) })
		p.harmless(state)
		s.call(t, url, "text/plain", text)
		p.wantTitle("Done")
		p.harmless(state)
	}
	for _, body := range []struct{ mediaType, content string }{
		{"application/json", asHostileJSON()},
		{"text/html", strings.Join(hostile, "\n")},
		{"image/svg+xml", hostile[4]},
		{"text/plain", strings.Repeat(hostile[0], 300)},
		{"text/plain", strings.Join(hostileBytes, "")},
		{"application/octet-stream", strings.Repeat("\x00<script>alert(1)</script>", 400_000)},
	} {
		url := s.wait(t, p)
		s.call(t, url, body.mediaType, body.content)
		p.wantTitle("Done")
		p.harmless("result of " + body.mediaType)
		saved := p.downloads(func() { p.click("Download the result") })
		if saved.content != body.content {
			t.Errorf("%s: another result was saved, of %d bytes", body.mediaType, len(saved.content))
		}
	}
}

// A person who holds on longer than patience sees the page.
func TestHeldPersonSeesThePageAfterAWhile(t *testing.T) {
	t.Parallel()
	s := startWaiting(t, "callback hold {\npage {\npatience 200ms\n}\n}\n")
	p := comeTo(t, s.Caddy)
	began := time.Now()
	url := s.wait(t, p)
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("the page comes after %v", took)
	}
	s.call(t, url, "text/plain", "late")
	p.wantTitle("Done")
	// Who is answered in time sees the answer itself.
	path := s.path()
	arrive := p.opening(appURL + path)
	s.call(t, s.called(t, path), "text/plain", "early")
	arrive()
	p.wantText("early")
	if p.address() != appURL+path {
		t.Errorf("the browser is at %s", p.address())
	}
}

// A person is sent where the site wants, once there is a result.
func TestWaitingPageLeadsOn(t *testing.T) {
	t.Parallel()
	s := startWaiting(t, "callback park {\npage {\nredir http://shop.test/thanks?id={http.callback.id}\n}\n}\n")
	p := comeTo(t, s.Caddy)
	for _, script := range []bool{true, false} {
		p.useScript(script)
		url := s.wait(t, p)
		s.call(t, url, "text/plain", "done")
		p.wantTitle("Shop")
		if !strings.HasPrefix(p.address(), "http://shop.test/thanks?id=") {
			t.Errorf("the browser is at %s", p.address())
		}
	}
}
