package oauth

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// browser is as much of a browser as a sign-in needs: it keeps cookies, follows
// redirects, fills forms in, and sends off those that a page sends by itself.
type browser struct {
	client *http.Client
	page   *page
	// called is the last request to a callback URL.
	called *sent
}

// page is what the browser shows.
type page struct {
	url *url.URL
	// location is where an answer redirects to that was not followed.
	location string
	status   int
	text     string
	form     *form
	// sends says that the page sends its form by itself.
	sends bool
}

// form is the first form of a page.
type form struct {
	method, action string
	values         url.Values
}

// sent is a request as the browser has sent it.
type sent struct {
	method, url, contentType string
	body                     []byte
}

func newBrowser(t *testing.T, s *stage) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := new(browser)
	sites := s.Client(t, harness.HTTP1).Transport
	b.client = &http.Client{Jar: jar, Timeout: harness.Patience, Transport: transport(func(r *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(r.URL.Host, ".test") {
			return http.DefaultTransport.RoundTrip(r)
		}
		if strings.HasPrefix(r.URL.Path, "/cbq/") {
			b.called = record(r)
		}
		return sites.RoundTrip(r)
	})}
	return b
}

// transport makes a function a transport.
type transport func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func record(r *http.Request) *sent {
	s := &sent{method: r.Method, url: r.URL.String(), contentType: r.Header.Get("Content-Type")}
	if r.Body != nil {
		s.body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(s.body))
	}
	return s
}

// open goes to an address.
func (b *browser) open(t *testing.T, address string) {
	t.Helper()
	b.send(t, http.MethodGet, address, nil)
}

// submit fills the page's form in and sends it.
func (b *browser) submit(t *testing.T, fields map[string]string) {
	t.Helper()
	f := b.page.form
	if f == nil {
		t.Fatalf("%s has no form: %d %s", b.page.url, b.page.status, b.page.text)
	}
	values := maps.Clone(f.values)
	for name, value := range fields {
		values.Set(name, value)
	}
	action, err := b.page.url.Parse(f.action)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.EqualFold(f.method, http.MethodPost) {
		t.Fatalf("the form is sent with %q", f.method)
	}
	b.send(t, http.MethodPost, action.String(), values)
}

func (b *browser) send(t *testing.T, method, address string, form url.Values) {
	t.Helper()
	req := harness.NewRequest(t, method, address, "", form.Encode())
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b.page = read(t, resp)
	if b.page.sends {
		b.submit(t, nil)
	}
}

// again sends the last request to a callback URL once more, as the back button of a
// browser does, and returns the bare answer.
func (b *browser) again(t *testing.T, s *stage) *harness.Response {
	t.Helper()
	req := harness.NewRequest(t, b.called.method, b.called.url, b.called.contentType, string(b.called.body))
	return harness.Do(t, s.Client(t, harness.HTTP1), req)
}

// read reads a page.
func read(t *testing.T, resp *http.Response) *page {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	p := &page{url: resp.Request.URL, location: resp.Header.Get("Location"), status: resp.StatusCode, text: strings.TrimSpace(string(body))}
	document, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for node := range document.Descendants() {
		switch {
		case node.Type != html.ElementNode:
		case node.Data == "body":
			p.sends = strings.Contains(attribute(node, "onload"), "submit()")
		case node.Data == "form" && p.form == nil:
			p.form = &form{method: attribute(node, "method"), action: attribute(node, "action"), values: make(url.Values)}
		case node.Data == "input" && p.form != nil:
			p.form.values.Add(attribute(node, "name"), attribute(node, "value"))
		}
	}
	return p
}

func attribute(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
