package deliver_test

import (
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/deliver"
)

func TestParseAllowReadsEveryForm(t *testing.T) {
	for text, want := range map[string]string{
		"app.internal":             "app.internal",
		"App.Internal.":            "app.internal",
		"app.internal:8443":        "app.internal:8443",
		"app_1":                    "app_1",
		"müller.example":           "xn--mller-kva.example",
		"10.0.0.7":                 "10.0.0.7",
		"10.0.0.7:8443":            "10.0.0.7:8443",
		"10.1.2.3/8":               "10.0.0.0/8",
		"fd00::7":                  "fd00::7",
		"[fd00::7]":                "fd00::7",
		"[fd00::7]:8443":           "[fd00::7]:8443",
		"fd00::/8":                 "fd00::/8",
		"::ffff:10.0.0.7":          "10.0.0.7",
		"http://localhost":         "http://localhost",
		"http://localhost:3000":    "http://localhost:3000",
		"http://127.0.0.1:3000":    "http://127.0.0.1:3000",
		"http://[::1]:3000":        "http://[::1]:3000",
		"http://::1":               "http://[::1]",
		"0.0.0.0/0":                "0.0.0.0/0",
		strings.Repeat("a", 63):    strings.Repeat("a", 63),
		"http://10.0.0.7":          "http://10.0.0.7",
		"2001:db8:0:0:0:0:0:1":     "2001:db8::1",
		"xn--mller-kva.example:80": "xn--mller-kva.example:80",
	} {
		a, err := deliver.ParseAllow(text)
		if err != nil || a.String() != want {
			t.Errorf("%q was read as %q, %v", text, a, err)
		}
	}
}

func TestParseAllowSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "it is empty",
		"https://app.internal":  "the host alone for https",
		"ftp://app.internal":    "scheme",
		"HTTP://app.internal":   "scheme",
		"http://app.internal/":  "from the slash on",
		"http://10.0.0.0/8":     "single hosts only",
		"http://":               "neither a host name nor an address",
		"http://user@host":      "neither a host name nor an address",
		"10.0.0.0/33":           "no CIDR",
		"10.0.0.0/8:443":        "no CIDR",
		"app.internal/8":        "no CIDR",
		"::ffff:10.0.0.0/104":   "IPv4 form",
		"fe80::%lo/10":          "no CIDR",
		"app.internal:":         "no valid port",
		"app.internal:0":        "no valid port",
		"app.internal:65536":    "no valid port",
		"app.internal:https":    "no valid port",
		"a:b:c":                 "no valid port",
		"[fd00::7":              "no valid port",
		"fe80::1%lo":            "neither a host name nor an address",
		"*.internal":            "no wildcards",
		"*":                     "no wildcards",
		"app internal":          "neither a host name nor an address",
		"app..internal":         "neither a host name nor an address",
		".":                     "neither a host name nor an address",
		"127.1":                 "neither a host name nor an address",
		"0x7f000001":            "neither a host name nor an address",
		"2130706433":            "neither a host name nor an address",
		"0177.0.0.1":            "neither a host name nor an address",
		strings.Repeat("a", 64): "neither a host name nor an address",
		"\xff":                  "neither a host name nor an address",
	} {
		a, err := deliver.ParseAllow(text)
		if err == nil || !strings.Contains(err.Error(), want) || a != (deliver.Allow{}) {
			t.Errorf("%q was read as %q, %v; want an error with %q", text, a, err, want)
		}
	}
}

func TestTheZeroExceptionAllowsNothing(t *testing.T) {
	g := deliver.Guard{Allow: make([]deliver.Allow, 1)}
	for _, text := range []string{"http://example.com/", "https://127.0.0.1/", "https://localhost/"} {
		if _, err := g.CheckURL(text); err == nil {
			t.Errorf("%s is allowed", text)
		}
	}
	if got := g.Allow[0].String(); got != "" {
		t.Error(got)
	}
}
