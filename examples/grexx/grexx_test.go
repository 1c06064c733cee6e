package main

import (
	"html"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, grexx) }

var (
	// urlLine is the page that the example tells its user to open.
	urlLine = regexp.MustCompile(`^ +(http://\S+/)$`)
	link    = regexp.MustCompile(`<a href="([^"]+)">([^<]+)</a>`)
)

func TestPaymentComesBackToItsCase(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, grexx, exampletest.FreePorts(t))
	home := e.WaitFor(t, urlLine)[1]
	for choice, outcome := range map[string]string{"Pay": "complete", "Cancel": "cancelled"} {
		bank := open(t, http.StatusOK, home+"pay")
		for range 2 {
			// The second time is the browser's back button.
			if page := open(t, http.StatusOK, linkOf(t, bank, choice)); !strings.Contains(page, "Case 1:142:432: the payment is "+outcome+".") {
				t.Errorf("the page is %s", page)
			}
		}
		e.WaitFor(t, regexp.MustCompile(`platform: the payment of case 1:142:432 is `+outcome+`, said by a get$`))
	}

	odd := open(t, http.StatusOK, home+"pay")
	open(t, http.StatusUnprocessableEntity, linkOf(t, odd, "Come back with something odd"))
	open(t, http.StatusOK, linkOf(t, odd, "Pay"))
	open(t, http.StatusNotFound, home+"activities/payment")
	e.WaitFor(t, regexp.MustCompile(`is complete`))
	e.Interrupt(t)
}

// linkOf returns where a link of a page leads.
func linkOf(t *testing.T, page, text string) string {
	t.Helper()
	for _, match := range link.FindAllStringSubmatch(page, -1) {
		if match[2] == text {
			return html.UnescapeString(match[1])
		}
	}
	t.Fatalf("there is no link %q in %s", text, page)
	return ""
}

// open opens a page as a browser does.
func open(t *testing.T, status int, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != status {
		t.Fatalf("the status is %s, want %d: %s", res.Status, status, body)
	}
	return string(body)
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
