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

func TestMain(m *testing.M) { exampletest.Main(m, approval) }

var (
	// curlLine is the command that the example tells its user to run.
	curlLine = regexp.MustCompile(`^ +curl -i '(http://\S+)' -d '(.*)'$`)
	mailLine = regexp.MustCompile(`^Mail to the boss: please decide at (\S+)$`)
)

func TestPurchasesWaitForApproval(t *testing.T) {
	t.Parallel()
	e := exampletest.Start(t, approval, exampletest.FreePorts(t))
	command := e.WaitFor(t, curlLine)
	for _, test := range []struct {
		choice, label, status, result string
	}{
		{"approve", "Approve", "Ok", `{"sold":{"item":"chair"}}` + "\n"},
		{"reject", "Reject", "Failed", `"errorText":"Reject"`},
	} {
		res, body := send(t, http.MethodPost, command[1], command[2], "")
		var accepted struct{ Message, ResultURL string }
		if res.StatusCode != http.StatusAccepted || json.Unmarshal(body, &accepted) != nil || accepted.Message != "Somebody has to approve this." {
			t.Fatalf("the answer is %s %s, want 202", res.Status, body)
		}
		link := e.WaitFor(t, mailLine)[1]

		// A scanner of mails opens the link, and nothing is decided by that.
		if res, _ := send(t, http.MethodGet, link, "", "cors"); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("a program that opens the link gets %s", res.Status)
		}
		_, page := send(t, http.MethodGet, link, "", "navigate")
		for _, want := range []string{"Alice", "80", "Approve", "Reject"} {
			if !strings.Contains(string(page), want) {
				t.Errorf("the page lacks %s:\n%s", want, page)
			}
		}
		res, page = send(t, http.MethodPost, link, url.Values{"choice": {test.choice}}.Encode(), "navigate")
		if res.StatusCode != http.StatusOK || !strings.Contains(string(page), test.label) || strings.Contains(string(page), "<button") {
			t.Errorf("after %s: %s\n%s", test.choice, res.Status, page)
		}

		res, body = send(t, http.MethodGet, accepted.ResultURL, "", "")
		if res.Header.Get("X-Link-Status") != test.status || !strings.Contains(string(body), test.result) {
			t.Errorf("after %s the result is %s %s %s", test.choice, res.Status, res.Header.Get("X-Link-Status"), body)
		}
	}
	e.Interrupt(t)
}

// send makes a request, and waits for a result that is not there yet. mode is what a browser
// says of it; "" for a program.
func send(t *testing.T, method, url, body, mode string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Prefer", "wait=10")
	if mode != "" {
		req.Header.Set("Sec-Fetch-Mode", mode)
		req.Header.Set("Sec-Fetch-Dest", "document")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Del("Prefer")
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
