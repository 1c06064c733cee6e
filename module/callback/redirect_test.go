package callback_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// ownRedirect returns a callback whose reply redirects to that URL.
func ownRedirect(p *callback.Policy, target string) *callback.Record {
	return callback.New(&secret, p, callback.Spec{
		CorrelationID: correlation, ExpiresIn: lifetime,
		Own: &callback.Own{Reply: &callback.Fields{Type: callback.TypeRedirect, RedirectURL: target}},
	}, born)
}

// location returns where a redirect to target leads.
func location(t testing.TB, p *callback.Policy, target string) string {
	t.Helper()
	return accept(t, ownRedirect(p, target), p, newCall("POST", "paid")).Reply.Header.Get("Location")
}

func TestRedirectURLIsTakenAsItStands(t *testing.T) {
	for _, c := range []struct{ base, target, want string }{
		{base, "https://shop.example.com/done?a=b#c", "https://shop.example.com/done?a=b#c"},
		{base, "http://[::1]:8080", "http://[::1]:8080"},
		{base, "HTTPS://shop.example.com/", "HTTPS://shop.example.com/"},
		{base, "https://münchen.example:8443/straße?q=ä#ö", "https://xn--mnchen-3ya.example:8443/stra%C3%9Fe?q=%C3%A4#%C3%B6"},
		{base, "https://m%C3%BCnchen.example/", "https://xn--mnchen-3ya.example/"},
		{base, "https://例え。テスト", "https://xn--r8jz45g.xn--zckzah"},
		{"https://münchen.example", "/danke/ä", "https://xn--mnchen-3ya.example/danke/%C3%A4"},
		{base, "myapp://done", "myapp://done"},
		{base, "MyApp:done?a=ä", "MyApp:done?a=%C3%A4"},
		{base, "com.example.app:/oauth", "com.example.app:/oauth"},
		{base, "myapp://münchen/", "myapp://m%C3%BCnchen/"},
		{base, "intent://scan/#Intent;scheme=zxing;package=com.example;end", "intent://scan/#Intent;scheme=zxing;package=com.example;end"},
		{base, "mailto:a@b", "mailto:a@b"},
		{base, "/done", base + "/done"},
		{base, "/", base + "/"},
		{base, "/@evil.com", base + "/@evil.com"},
		{base, "/a//b?c=//d", base + "/a//b?c=//d"},
		{base, "/{http.callback.id}?id={http.callback.id}", base + "/{http.callback.id}?id={http.callback.id}"},
		{base + "/deep", "/done", base + "/done"},
		{"http://localhost:9000", "/done", "http://localhost:9000/done"},
		{"http://[fe80::1%25en0]:9000", "/done", "http://[fe80::1%25en0]:9000/done"},
	} {
		if err := callback.CheckRedirectURL(c.target); err != nil {
			t.Errorf("%s: %v", c.target, err)
		}
		if got := location(t, compiled(t, callback.Policy{BaseURL: c.base}), c.target); got != c.want {
			t.Errorf("%s leads to %s, want %s", c.target, got, c.want)
		}
	}
}

func TestRedirectURLThatLeadsNowhereIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "done", "./done", "?a=b", "#a", "//evil.com", "///evil.com", "/\\evil.com", "\\\\evil.com", "http:\\\\evil.com",
		"http:", "http:/", "http://", "http:///x", "http:host", "http://:80/", "http://user@host/", "http://user:password@host/", "http://@host/",
		"javascript:alert(1)", "javascript://host/%0aalert(1)", "JAVASCRIPT:alert(1)", "jAvAsCrIpT:x", "data:text/html,x", "Data:,x", "file:///etc", "FILE:x",
		"vbscript:x", "VBScript:x", "blob:https://h/x", "about:blank", "java\tscript:x", "java\nscript:x", ":x", "1app:x", "my_app:x", "%6aavascript:x", "jävascript:x",
		"myapp:", "localhost:3000/x", "shop.example.com:443", "shop.example.com:443/x", "https://ä..example/", "https://ä_b.example/", "https://a℀b.example/", "https://\xff.example/",
		"http://host/\r\nX: y", "/\r\nX: y", "/a b", " /a", "/a\x00", "/a\x7f", "http://ho st/", "http://[::1", "http://host:port/",
		"http://host/%zz", "/%zz", "/%", "/a#%zz", "/" + strings.Repeat("x", 8<<10),
	} {
		if err := callback.CheckRedirectURL(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func FuzzCheckRedirectURL(f *testing.F) {
	for _, text := range []string{"/done", "/%2f/evil", "//evil", "http://h", "HTTP://h/", "http://h?a#b", "http://u@h/", "http://[::1%25a]/", "http:h", "/%zz", "/a#%zz", "myapp://done", "myapp:x", "data:x", "https://münchen.example/ä"} {
		for _, from := range []string{base, base + "/deep", "http://[fe80::1%25en0]:9000", "http://h%C3%A4st", "HTTP://HOST"} {
			f.Add(from, text)
		}
		for _, value := range hostile {
			f.Add(base, "/"+value)
			f.Add(base, "https://h/"+value)
			f.Add(base, value)
		}
	}
	f.Fuzz(func(t *testing.T, from, text string) {
		b, err := url.Parse(from)
		if err != nil || b.Hostname() == "" || b.Scheme != "http" && b.Scheme != "https" || callback.CheckRedirectURL(text) != nil {
			return
		}
		if _, err := url.Parse(b.String()); err != nil {
			// net/url can parse this zone, but not what it writes for it.
			return
		}
		host := b.Host
		if ascii, err := callback.ASCIIURL(b.Scheme + "://" + b.Host); err == nil {
			_, host, _ = strings.Cut(ascii, "://")
		}
		got := location(t, compiled(t, callback.Policy{BaseURL: from}), text)
		u, err := url.Parse(got)
		scheme, _, _ := strings.Cut(text, ":")
		web := strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
		switch {
		case err != nil:
			t.Fatalf("%q leads to %q from %q: %v", text, got, from, err)
		case slices.Contains([]string{"javascript", "data", "vbscript", "file", "blob", "about", ""}, u.Scheme), u.Scheme == "http" && (u.Hostname() == "" || u.User != nil):
			t.Fatalf("%q leads to %q from %q", text, got, from)
		case strings.HasPrefix(text, "/") && (u.Scheme != b.Scheme || u.Host != host):
			t.Fatalf("%q leads to another host: %q from %q", text, got, from)
		case !strings.HasPrefix(text, "/") && (!strings.HasPrefix(got, scheme+":") || isASCII(text) && got != text && !web):
			t.Fatalf("%q leads to %q", text, got)
		case !isASCII(got) && isASCII(from):
			t.Fatalf("%q leads to %q, which no header can hold", text, got)
		case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }):
			t.Fatalf("%q was taken", text)
		}
	})
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > '~' })
}
