package deliver_test

import (
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/deliver"
)

// privateAddresses are addresses that are not public, in many disguises.
var privateAddresses = []string{
	"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255",
	"192.168.0.1", "100.64.0.1", "100.100.100.200", "169.254.169.254", "192.0.0.192", "192.0.2.1", "192.88.99.1",
	"198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "::ffff:0:127.0.0.1", "::ffff:169.254.169.254",
	"fd00:ec2::254", "fc00::1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2001::1", "2001:db8::1",
	"fec0::1", "fe80::1", "ff02::1", "5f00::1", "3fff::1", "100::1",
}

// hostileHosts are hosts that some parsers read as a private address.
var hostileHosts = []string{
	"localhost", "LOCALHOST", "localhost.", "app.localhost", "ⓛocalhost", "%E2%93%9Bocalhost",
	"2130706433", "0x7f000001", "0X7F000001", "017700000001", "0177.0.0.1", "127.1", "127.0.1", "0x7f.1", "127.0.0.0x1",
	"127.0.0.1.", "127.0.0.01", "1.2.3.4.5", "１２７.0.0.1", "127。0。0。1", "a.1", "a.0x", "0",
	"[fe80::1%25lo]", "[::1%25lo]", "[2606:4700::1111%25eth0]",
	"app..example.com", ".example.com", "example.com..", "exa%25mple.com", "exa!mple.com", "exa,mple.com", "*.example.com",
	strings.Repeat("a", 64) + ".example.com", strings.Repeat("a.", 127) + "aa",
}

func literal(address string) string {
	if strings.Contains(address, ":") {
		return "[" + address + "]"
	}
	return address
}

func TestTheGuardRefusesPrivateAddresses(t *testing.T) {
	for _, address := range privateAddresses {
		refusesHost(t, literal(address))
	}
}

func TestTheGuardRefusesHostsInDisguise(t *testing.T) {
	for _, h := range hostileHosts {
		refusesHost(t, h)
	}
}

// refusesHost checks that a host is refused, with the same error as every other host.
func refusesHost(t *testing.T, h string) {
	t.Helper()
	_, want := deliver.Guard{}.CheckURL("https://10.0.0.1/")
	if want == nil || strings.Contains(want.Error(), "option") || !strings.Contains(deliver.WithCure(want).Error(), "the option allow") {
		t.Fatalf("the error is %v, for an operator %v", want, deliver.WithCure(want))
	}
	for _, text := range []string{"https://" + h, "https://" + h + "/hook", "https://" + h + ":8443/hook?a=b"} {
		if u, err := (deliver.Guard{}).CheckURL(text); err == nil || err.Error() != want.Error() {
			t.Errorf("%q was read as %v, %v", text, u, err)
		}
	}
}

func TestTheGuardTakesPublicHosts(t *testing.T) {
	for text, want := range map[string]string{
		"https://example.com":                        "https://example.com",
		"HTTPS://Example.COM/Hook":                   "https://Example.COM/Hook",
		"https://example.com./hook":                  "https://example.com./hook",
		"https://example.com:8443/hook":              "https://example.com:8443/hook",
		"https://example.com/a%2Fb?c=d&e=%20":        "https://example.com/a%2Fb?c=d&e=%20",
		"https://a_b.example.com/":                   "https://a_b.example.com/",
		"https://1.example.com/":                     "https://1.example.com/",
		"https://1.1.1.1/":                           "https://1.1.1.1/",
		"https://[2606:4700::1111]:8443/":            "https://[2606:4700::1111]:8443/",
		"https://[::ffff:1.1.1.1]/":                  "https://[::ffff:1.1.1.1]/",
		"https://müller.example:8443/":               "https://xn--mller-kva.example:8443/",
		"https://localhost.example.com/":             "https://localhost.example.com/",
		"https://e/" + strings.Repeat("a", 2048-10):  "https://e/" + strings.Repeat("a", 2048-10),
		"https://example.com/cb/own-path-of-another": "https://example.com/cb/own-path-of-another",
	} {
		u, err := deliver.Guard{}.CheckURL(text)
		if err != nil || u.String() != want {
			t.Errorf("%q was read as %v, %v", text, u, err)
		}
	}
}

func TestTheGuardSaysWhatIsWrongWithAURL(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "empty",
		strings.Repeat("https://e/", 205): "2048",
		"/hook":                           "begin with https://",
		"//example.com/hook":              "begin with https://",
		"example.com/hook":                "begin with https://",
		"ftp://example.com/":              "begin with https://",
		"file:///etc/passwd":              "begin with https://",
		"javascript:alert(1)":             "begin with https://",
		"http://example.com/":             "begin with https://",
		"https:example.com":               "cannot be read",
		"https:///hook":                   "cannot be read",
		"https://:443/":                   "cannot be read",
		"https://[::1/":                   "cannot be read",
		"https://[]/":                     "cannot be read",
		"https://exa%6dple.com/":          "cannot be read",
		"https://example.com/%zz":         "cannot be read",
		"https://user@example.com/":       "user name",
		"https://:pass@example.com/":      "user name",
		"https://@example.com/":           "user name",
		"https://example.com/#top":        "fragment",
		"https://example.com/#":           "fragment",
		"https://example.com:/":           "no valid port",
		"https://example.com:0/":          "no valid port",
		"https://example.com:65536/":      "no valid port",
		"https://example.com:-1/":         "cannot be read",
		"https://example.com:https/":      "cannot be read",
		"https://example.com\\@evil/":     "character",
		"https://example.com/a b":         "character",
		" https://example.com/":           "character",
		"https://example.com/\r\nX: y":    "character",
		"https://example.com/\x00":        "character",
		"https://example.com/\u0085":      "character",
		"https://example.com/\u2028":      "character",
		"https://example.com/\xff":        "character",
	} {
		u, err := deliver.Guard{}.CheckURL(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q was read as %v, %v; want an error with %q", text, u, err, want)
		}
	}
}

func TestTheGuardTakesWhatIsAllowed(t *testing.T) {
	for _, c := range []struct {
		allow, url string
		allowed    bool
	}{
		{"localhost", "https://localhost/", true},
		{"localhost", "https://LOCALHOST.:3000/", true},
		{"localhost", "https://app.localhost/", false},
		{"localhost", "https://127.0.0.1/", false},
		{"localhost", "http://localhost/", false},
		{"localhost:3000", "https://localhost:3000/", true},
		{"localhost:3000", "https://localhost/", false},
		{"localhost:443", "https://localhost/", true},
		{"127.0.0.0/8", "https://127.9.9.9/", true},
		{"127.0.0.0/8", "https://localhost/", true},
		{"::1", "https://localhost/", true},
		{"::1", "https://[::1]:8443/", true},
		{"::1", "https://[::2]/", false},
		{"10.0.0.0/8", "https://[::ffff:10.0.0.1]/", true},
		{"10.0.0.0/8", "https://11.0.0.1/", true},
		{"10.0.0.0/8", "https://192.168.0.1/", false},
		{"10.0.0.0/8", "http://10.0.0.1/", false},
		{"10.0.0.7:8443", "https://10.0.0.7:8443/", true},
		{"10.0.0.7:8443", "https://10.0.0.7/", false},
		{"0.0.0.0/0", "https://2130706433/", false},
		{"http://localhost:3000", "http://localhost:3000/", true},
		{"http://localhost:3000", "https://localhost:3000/", true},
		{"http://localhost:3000", "http://localhost/", false},
		{"http://localhost:80", "http://localhost/", true},
		{"http://localhost", "http://localhost:3000/", true},
		{"http://localhost", "http://127.0.0.1/", false},
		{"http://10.0.0.7", "http://10.0.0.7/", true},
		{"http://10.0.0.7", "http://10.0.0.8/", false},
		{"http://example.com", "http://example.com/", true},
		{"http://example.com", "http://www.example.com/", false},
		{"müller.example", "https://xn--mller-kva.example/", true},
	} {
		g := deliver.Guard{Allow: allow(t, c.allow)}
		if _, err := g.CheckURL(c.url); (err == nil) != c.allowed {
			t.Errorf("with %s allowed, %s: %v", c.allow, c.url, err)
		}
	}
}

func TestTheGuardRefusesOurOwnPaths(t *testing.T) {
	own := new(deliver.Bases)
	if err := own.Add("https://app.example.com", "", "https://example.org:8443/callbacks/"); err != nil {
		t.Fatal(err)
	}
	g := deliver.Guard{Own: own}
	for _, c := range []struct {
		url     string
		allowed bool
	}{
		{"https://app.example.com/cb/x", false},
		{"https://app.example.com/cbq/state?state=x", false},
		{"https://app.example.com/cbr/x/result", false},
		{"https://app.example.com/cb", false},
		{"https://app.example.com:443/cb/x", false},
		{"https://APP.example.com./cb/x", false},
		{"https://app.example.com//cb/x", false},
		{"https://app.example.com/%63b/x", false},
		{"https://app.example.com/CB/x", false},
		{"https://app.example.com/a/../cb/x", false},
		{"https://app.example.com/a/%2e%2e/cb/x", false},
		{"https://app.example.com/./cb/x", false},
		{"https://app.example.com", true},
		{"https://app.example.com/hook", true},
		{"https://app.example.com/cbs/x", true},
		{"https://app.example.com/hook/cb/x", true},
		{"https://app.example.com:8443/cb/x", true},
		{"https://www.example.com/cb/x", true},
		{"https://example.org:8443/callbacks/cb/x", false},
		{"https://example.org:8443/callbacks/cb", false},
		{"https://example.org:8443/callbackscb/x", true},
		{"https://example.org:8443/cb/x", true},
		{"https://example.org:8443/callbacks", true},
		{"https://example.org/callbacks/cb/x", true},
	} {
		if _, err := g.CheckURL(c.url); (err == nil) != c.allowed {
			t.Errorf("%s: %v", c.url, err)
		}
	}
}

func TestTheGuardTakesNoHostButThoseThatAreListed(t *testing.T) {
	var listed []deliver.Allow
	for _, text := range []string{"hooks.example.com", "Bücher.example", "93.184.216.34:8443", "[2606:4700::1111]"} {
		one, err := deliver.ParseOnly(text)
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, one)
	}
	g := deliver.Guard{Only: listed, Allow: allow(t, "http://plain.example.com", "10.0.0.7")}
	for _, text := range []string{
		"https://hooks.example.com/a", "https://HOOKS.example.com.:8443/", "https://xn--bcher-kva.example/", "https://93.184.216.34:8443/", "https://[2606:4700::1111]:1/",
	} {
		if _, err := g.CheckURL(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, want := g.CheckURL("https://elsewhere.example.com/")
	if want == nil || strings.Contains(want.Error(), "option") || !strings.Contains(deliver.WithCure(want).Error(), "the option only") {
		t.Fatalf("the error is %v, for an operator %v", want, deliver.WithCure(want))
	}
	// What else is wrong with a host is not told of those that are not listed.
	for _, text := range []string{
		"https://example.com/", "https://a.hooks.example.com/", "https://hooks.example.com.evil.example/", "https://93.184.216.34/", "https://93.184.216.34:443/",
		"http://plain.example.com/", "https://10.0.0.7/", "https://127.0.0.1/", "https://localhost/", "https://[::ffff:93.184.216.34]:1/",
	} {
		if u, err := g.CheckURL(text); err == nil || err.Error() != want.Error() {
			t.Errorf("%s was read as %v, %v", text, u, err)
		}
	}
	if u, err := g.CheckURL("http://hooks.example.com/"); err == nil {
		t.Errorf("what is listed is taken without https: %v", u)
	}
}
