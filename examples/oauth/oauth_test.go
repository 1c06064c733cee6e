package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"golang.org/x/net/html"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, oauth) }

// urlLine is the page that the example tells its user to open.
var urlLine = regexp.MustCompile(`^ +(http://\S+/)$`)

func TestUserSignsInInEitherMode(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, oauth, exampletest.FreePorts(t))
	home := e.WaitFor(t, urlLine)[1]
	front := newBrowser(t)
	front.open(t, home)
	if len(front.links) != 2 {
		t.Fatalf("the page has the links %q, want one for each mode", front.links)
	}
	for _, link := range front.links {
		b := newBrowser(t)
		b.open(t, link)
		b.submit(t, "allow")
		if b.action != "" {
			// A browser would send this form by itself.
			b.submit(t, "")
		}
		b.arrives(t, home, http.StatusOK, "Signed in as Ada.")
		b.open(t, home+"signed-in")
		b.arrives(t, home, http.StatusOK, "Signed in as Ada.")
		e.WaitFor(t, regexp.MustCompile(`app: read the code from the callback, and got a token for it: Ada has signed in`))
	}
	e.Interrupt(t)

	entries, err := os.ReadDir(e.Dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "callback-data" {
		t.Errorf("the example leaves more behind than callback-data: %v, %v", entries, err)
	}
}

func TestUserWhoDeniesIsNotSignedIn(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, oauth, exampletest.FreePorts(t))
	home := e.WaitFor(t, urlLine)[1]
	b := newBrowser(t)
	b.open(t, home+"sign-in")
	b.submit(t, "deny")
	b.arrives(t, home, http.StatusForbidden, "Not signed in: access_denied.")
	e.WaitFor(t, regexp.MustCompile(`app: the callback says access_denied`))

	stranger := newBrowser(t)
	stranger.open(t, home+"signed-in")
	stranger.arrives(t, home, http.StatusForbidden, "Nobody has begun to sign in here.")
	e.Interrupt(t)
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}

// browser keeps cookies, follows redirects, and shows one page.
type browser struct {
	client *http.Client
	url    *url.URL
	status int
	text   string
	links  []string
	// action is where the page's form goes, empty if it has none.
	action string
	fields url.Values
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{client: &http.Client{Jar: jar, Timeout: time.Minute}}
}

func (b *browser) open(t *testing.T, address string) {
	t.Helper()
	res, err := b.client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	b.show(t, res)
}

// submit sends the page's form, with the button that makes that decision.
func (b *browser) submit(t *testing.T, decision string) {
	t.Helper()
	if b.action == "" {
		t.Fatalf("%s has no form: %d %s", b.url, b.status, b.text)
	}
	if decision != "" {
		b.fields.Set("decision", decision)
	}
	res, err := b.client.PostForm(b.action, b.fields)
	if err != nil {
		t.Fatal(err)
	}
	b.show(t, res)
}

func (b *browser) show(t *testing.T, res *http.Response) {
	t.Helper()
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	document, err := html.Parse(strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	b.url, b.status, b.text = res.Request.URL, res.StatusCode, string(body)
	b.links, b.action, b.fields = nil, "", make(url.Values)
	for node := range document.Descendants() {
		has := make(map[string]string)
		for _, a := range node.Attr {
			has[a.Key] = a.Val
		}
		switch node.Data {
		case "a":
			b.links = append(b.links, b.resolve(t, has["href"]))
		case "form":
			b.action = b.resolve(t, has["action"])
		case "input":
			b.fields.Add(has["name"], has["value"])
		}
	}
}

func (b *browser) resolve(t *testing.T, reference string) string {
	t.Helper()
	target, err := b.url.Parse(reference)
	if err != nil {
		t.Fatal(err)
	}
	return target.String()
}

// arrives checks that the browser is at the app's page, with no parameters in the
// address.
func (b *browser) arrives(t *testing.T, home string, status int, text string) {
	t.Helper()
	if b.url.String() != home+"signed-in" || b.status != status || !strings.Contains(b.text, text) {
		t.Errorf("the browser is at %s and shows %d %s, want %d %q", b.url, b.status, b.text, status, text)
	}
}
