package callback_test

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// hostile are values with which a partner may try to lead a person elsewhere.
var hostile = []string{
	"", ".", "..", "/", "//evil.com", "/\\evil.com", "\\\\evil.com", "http://evil.com", "javascript:alert(1)", "@evil.com",
	":8080@evil.com", "?a=b", "#fragment", "&x=y", "a b", "%2f%2fevil.com", "%", "\r\nLocation: http://evil.com", "\t", "\x00",
	"\x7f", "\u2028", "\u202e", "ä", "\xff\xfe", "{http.callback.id}", "}", ";", "+", "http:///", ".evil.com", "evil.com/",
}

func TestRedirectURLThatCouldLeadElsewhereIsRefused(t *testing.T) {
	const id = "{http.callback.id}"
	for _, text := range []string{
		"", "//evil", "//evil/" + id, "/\\evil", "\\\\evil", "/" + "\t" + "/evil", "http:\\\\evil", "http://host\\evil/" + id,
		id, id + "/path", id + "://host/", "http:" + id, "http:/" + id, "http://" + id, "http://" + id + "/", "http://host" + id + "/",
		"http://" + id + ".host/", "http://host:" + id + "/", "https://host" + id, "https://host{env.X}/", "http://{http.request.host}/",
		"http://{http.callback.id/", "javascript:alert(1)", "JavaScript://host/%0aalert(1)", "data:text/html,x", "file:///etc",
		"vbscript:x", "Blob:https://h/x", "ABOUT:blank", "java" + id + "script:x", "my" + id + "app://done", id + "app:x", "myapp:" + id, "myapp://" + id, "myapp://h" + id, "myapp://h" + id + "/",
		"myapp://{env.X}/", "localhost:3000/x", "shop.example.com:443/" + id, ":x", "1app:x",
		"http://user@host/", "http://user:secret@host/", "http://user:" + id + "@host/", "http://@host/",
		"http:///x", "http://", "http:///" + id, "http://?" + id, "http://#", "http://:80/", "http:host", "http:/host/", "host/path", "path",
		"?a=b", "#a", "./path", "../path", " http://host/", "http://host/ x", "http://host/\r\nX: y", "http://ho\x00st/", "http://host/\x7f",
		"http://ho%2fst/", "http://[::1/", "http://host:port/",
	} {
		if target, err := callback.NewTarget(text); err == nil {
			t.Errorf("%q was taken and leads to %q", text, target.URL(base, values(map[string]string{"id": ".evil.com"})))
		}
	}
}

func TestRedirectURLIsBuilt(t *testing.T) {
	look := values(map[string]string{"id": "a/b?c d&e=ä"})
	for name, c := range map[string]struct{ text, base, want string }{
		"literal":              {"https://shop.example.com/done", base, "https://shop.example.com/done"},
		"only a host":          {"http://shop.example.com", base, "http://shop.example.com"},
		"port and IPv6":        {"http://[::1]:8080/x", base, "http://[::1]:8080/x"},
		"relative":             {"/done", base, base + "/done"},
		"relative, deep base":  {"/done", base + "/deep", base + "/done"},
		"relative with a port": {"/", "http://localhost:9000", "http://localhost:9000/"},
		"in the path":          {"/d/{http.callback.id}/x", base, base + "/d/a%2Fb%3Fc%20d&e=%C3%A4/x"},
		"in the query":         {"/d?id={http.callback.id}", base, base + "/d?id=a%2Fb%3Fc+d%26e%3D%C3%A4"},
		"in both":              {"/{http.callback.id}?{http.callback.id}", base, base + "/a%2Fb%3Fc%20d&e=%C3%A4?a%2Fb%3Fc+d%26e%3D%C3%A4"},
		"in the fragment":      {"/d#{http.callback.id}", base, base + "/d#a%2Fb%3Fc+d%26e%3D%C3%A4"},
		"right after the host": {"https://h/{http.callback.id}", base, "https://h/a%2Fb%3Fc%20d&e=%C3%A4"},
		"query without a path": {"https://h?{http.callback.id}", base, "https://h?a%2Fb%3Fc+d%26e%3D%C3%A4"},
		"other placeholders":   {"/{env.X}/{", base, base + "/{env.X}/{"},
		"IDN":                  {"https://münchen.example/ä/{http.callback.id}?ö={http.callback.id}", base, "https://xn--mnchen-3ya.example/%C3%A4/a%2Fb%3Fc%20d&e=%C3%A4?%C3%B6=a%2Fb%3Fc+d%26e%3D%C3%A4"},
		"IDN in the base":      {"/ü", "https://xn--mnchen-3ya.example", "https://xn--mnchen-3ya.example/%C3%BC"},
		"an app":               {"myapp://done?id={http.callback.id}", base, "myapp://done?id=a%2Fb%3Fc+d%26e%3D%C3%A4"},
		"an app with a path":   {"myapp:///p/{http.callback.id}", base, "myapp:///p/a%2Fb%3Fc%20d&e=%C3%A4"},
		"an app, opaque":       {"myapp:done/{http.callback.id}", base, "myapp:done/a%2Fb%3Fc%20d&e=%C3%A4"},
		"an intent":            {"intent://scan/#Intent;S.id={http.callback.id};end", base, "intent://scan/#Intent;S.id=a%2Fb%3Fc+d%26e%3D%C3%A4;end"},
		"unknown placeholder":  {"/{http.callback.nobody}/x", base, base + "//x"},
	} {
		target, err := callback.NewTarget(c.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := target.URL(c.base, look); got != c.want {
			t.Errorf("%s: got  %s\n\twant %s", name, got, c.want)
		}
	}
}

func TestHostileValuesStayWhereTheyWerePut(t *testing.T) {
	for _, value := range hostile {
		checkValueStays(t, value)
	}
}

func TestAnyValueStaysWhereItWasPut(t *testing.T) {
	fragment := rapid.OneOf(rapid.String(), rapid.SampledFrom(hostile))
	rapid.Check(t, func(t *rapid.T) {
		checkValueStays(t, strings.Join(rapid.SliceOfN(fragment, 0, 4).Draw(t, "value"), ""))
	})
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkValueStays checks that a value in path or query can be read back, and changes
// nothing else: neither scheme nor host nor the rest of path and query.
func checkValueStays(t fataler, value string) {
	t.Helper()
	for _, text := range []string{
		"https://shop.example.com/p/{http.callback.v}/end?q={http.callback.v}&z=1",
		"/p/{http.callback.v}/end?q={http.callback.v}&z=1",
	} {
		target, err := callback.NewTarget(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got := target.URL(base, values(map[string]string{"v": value}))
		u, err := url.Parse(got)
		if err != nil {
			t.Fatalf("%q gives %q: %v", value, got, err)
		}
		host := "shop.example.com"
		if strings.HasPrefix(text, "/") {
			host = "app.example.com"
		}
		if u.Scheme != "https" || u.Host != host || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q leads to %q", value, got)
		}
		if u.Path != "/p/"+value+"/end" || strings.Count(u.EscapedPath(), "/") != 3 {
			t.Fatalf("%q leads to the path %q", value, u.EscapedPath())
		}
		q := u.Query()
		if q.Get("q") != value || q.Get("z") != "1" || len(q) != 2 {
			t.Fatalf("%q gives the query %q", value, u.RawQuery)
		}
	}
}

func TestValueThatWouldMakeTheURLTooLongIsLeftOut(t *testing.T) {
	target, err := callback.NewTarget("https://h/a?q={http.callback.call.body}&z=1")
	if err != nil {
		t.Fatal(err)
	}
	got := target.URL(base, func(string) string { return strings.Repeat("x", 10_000) })
	if got != "https://h/a?q=&z=1" {
		t.Errorf("the URL has %d bytes", len(got))
	}
}

// origin returns the scheme and host that a redirect's URL must have, found in its text
// as a browser finds them; of a URL that is not of the web, the scheme.
func origin(text string) string {
	if strings.HasPrefix(text, "/") {
		return base
	}
	scheme, rest, _ := strings.Cut(text, ":")
	if !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return scheme + ":"
	}
	rest = strings.TrimPrefix(rest, "//")
	if end := strings.IndexAny(rest, "/\\?#"); end >= 0 {
		rest = rest[:end]
	}
	return scheme + "://" + rest
}

func FuzzTarget(f *testing.F) {
	for _, text := range []string{
		"/done", "/{http.callback.id}", "https://h/{http.callback.id}?{http.callback.id}#{http.callback.id}", "//evil", "http://{http.callback.id}",
		"http://host{http.callback.id}/", "http://h?{http.callback.id}", "http://h#{http.callback.id}", "/{http.callback.}/x", "http://u@h/", "myapp://done", "myapp:x{http.callback.id}", "https://münchen.example/{http.callback.id}ä",
	} {
		for _, value := range hostile {
			f.Add(text, value)
		}
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		if len(value) <= 1000 {
			// A value that would make the URL too long is left out.
			checkValueStays(t, value)
		}
		target, err := callback.NewTarget(text)
		if err != nil {
			return
		}
		want := origin(text)
		if strings.ContainsAny(want, "{}@\\ ") {
			t.Fatalf("%q was taken", text)
		}
		if ascii, err := callback.ASCIIURL(want); err == nil {
			want = ascii
		} else {
			return
		}
		got := target.URL(base, func(string) string { return value })
		rest, same := strings.CutPrefix(got, want)
		if !same || rest != "" && !strings.ContainsAny(rest[:1], "/?#") && !strings.HasSuffix(want, ":") {
			t.Fatalf("%q with %q leads to %q", text, value, got)
		}
		if !isASCII(got) {
			t.Fatalf("%q with %q leads to %q, which no header can hold", text, value, got)
		}
		if i := strings.IndexFunc(got, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }); i >= 0 {
			t.Fatalf("%q with %q has a character that no URL can hold: %q", text, value, got)
		}
	})
}
