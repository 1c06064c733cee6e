package deliver_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/deliver"
)

func TestHostHasOneSpelling(t *testing.T) {
	for want, spellings := range map[string][]string{
		"app.example.com:443": {
			"https://app.example.com", "https://APP.example.com/x", "https://App.Example.Com./y?z", "https://app.example.com:443/", "HTTPS://app.example.com:0443",
			"https://user@app.example.com/",
		},
		"app.example.com:80":          {"http://app.example.com", "http://app.example.com.:80/", "http://aPP.example.com:080"},
		"app.example.com:8443":        {"https://app.example.com:8443", "http://APP.EXAMPLE.COM.:8443"},
		"xn--mnchen-3ya.example:443":  {"https://münchen.example", "https://MÜNCHEN.example.", "https://xn--mnchen-3ya.example", "https://XN--MNCHEN-3YA.EXAMPLE:443", "https://m%C3%BCnchen.example", "https://mu\u0308nchen.example"},
		"example.com:443":             {"https://example.com", "https://example\u3002com", "https://ｅxample.com"},
		"127.0.0.1:443":               {"https://127.0.0.1", "https://127.0.0.1:443", "https://[::ffff:127.0.0.1]", "https://[::FFFF:7f00:1]/"},
		"[2001:db8::1]:443":           {"https://[2001:db8::1]", "https://[2001:DB8:0:0:0:0:0:1]:443", "https://[2001:0db8::0001]/x"},
		"[2001:db8::1]:8443":          {"https://[2001:db8:0::1]:8443"},
		"sub.app_1.example.com.x:443": {"https://SUB.app_1.example.com.x./"},
	} {
		for _, text := range spellings {
			if got := deliver.Host(text); got != want {
				t.Errorf("%s: %s, want %s", text, got, want)
			}
		}
	}
	for _, text := range []string{"", "://", "https://", "https://127.1", "https://0x7f000001", "https://a..b", "https://a:99999", "https://[fe80::1%25eth0]/"} {
		if got := deliver.Host(text); got != "?" {
			t.Errorf("%q, which is never delivered to: %s", text, got)
		}
	}
}
