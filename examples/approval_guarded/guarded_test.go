package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, guarded) }

var (
	// curlLine is the command that the example tells its user to run.
	curlLine = regexp.MustCompile(`^ +curl -i '(http://\S+)' -d '(.*)'$`)
	mailLine = regexp.MustCompile(`^Mail to the boss: please decide at (\S+)$`)
	soldLine = regexp.MustCompile(`: sold \{"item":"chair"\}, approved by alice$`)
)

// alice is a browser in which Alice has signed in; nobody is one in which nobody has, and which
// claims to be Alice's.
var (
	alice  = http.Header{"Authorization": {"Basic YWxpY2U6d29uZGVybGFuZA=="}}
	nobody = http.Header{"Remote-User": {"alice"}}
)

func TestOnlyPeopleWhoHaveSignedInDecide(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, guarded, exampletest.FreePorts(t))
	command := e.WaitFor(t, curlLine)
	res, body := send(t, http.MethodPost, command[1], command[2], nil)
	var accepted struct{ ResultURL string }
	if res.StatusCode != http.StatusAccepted || json.Unmarshal(body, &accepted) != nil {
		t.Fatalf("the answer is %s %s, want 202", res.Status, body)
	}
	link := e.WaitFor(t, mailLine)[1]
	choice := url.Values{"choice": {"approve"}}.Encode()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if res, _ := send(t, method, link, choice, nobody); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s by somebody who has not signed in: %s", method, res.Status)
		}
	}
	if _, page := send(t, http.MethodGet, link, "", alice); !strings.Contains(string(page), "alice") || !strings.Contains(string(page), "Approve") {
		t.Errorf("the page is\n%s", page)
	}
	if res, page := send(t, http.MethodPost, link, choice, alice); res.StatusCode != http.StatusOK || !strings.Contains(string(page), "alice") {
		t.Errorf("after the choice: %s\n%s", res.Status, page)
	}
	header := alice.Clone()
	header.Set("Prefer", "wait=10")
	if _, body := send(t, http.MethodGet, accepted.ResultURL, "", header); string(body) != `{"sold":{"item":"chair"},"approvedBy":"alice"}`+"\n" {
		t.Errorf("the result is %s", body)
	}
	e.WaitFor(t, soldLine)
	e.Interrupt(t)
}

// send makes a request, as a browser that opens a page if header is given and does not say that
// it waits.
func send(t *testing.T, method, url, body string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header.Clone()
	}
	if header != nil && header.Get("Prefer") == "" {
		req.Header.Set("Sec-Fetch-Mode", "navigate")
		req.Header.Set("Sec-Fetch-Dest", "document")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answered, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, answered
}

func TestCaddyfileIsFormatted(t *testing.T) {
	t.Parallel()
	if formatted := caddyfile.Format(configuration); string(formatted) != string(configuration) {
		t.Errorf("the Caddyfile should be:\n%s", formatted)
	}
}
