package deliver_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"code.dny.dev/ssrf"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/memory"
)

func FuzzCheckURL(f *testing.F) {
	for _, h := range slices.Concat(hostileHosts, privateAddresses) {
		f.Add("https://" + h + "/")
		f.Add("https://" + literal(h) + ":8443/a?b=c")
	}
	for _, seed := range []string{"", "http://example.com", "https://user@example.com/#a", "https://müller.example./cb/x", "https://example.com/\\"} {
		f.Add(seed)
	}
	public := ssrf.New(ssrf.WithAnyPort())
	f.Fuzz(func(t *testing.T, text string) {
		u, err := deliver.Guard{}.CheckURL(text)
		if err != nil {
			if _, same := (deliver.Guard{}).CheckURL(text); u != nil || same.Error() != err.Error() {
				t.Fatalf("%q: %v, %v, then %v", text, u, err, same)
			}
			return
		}
		h := u.Hostname()
		if u.Scheme != "https" || h == "" || u.User != nil || u.Fragment != "" || strings.ContainsAny(h, "%\\/@ ") {
			t.Fatalf("%q was taken as %#v", text, u)
		}
		if addr, err := netip.ParseAddr(h); err == nil {
			if err := public.SafeAddr(addr.Unmap()); err != nil {
				t.Fatalf("%q was taken: %v", text, err)
			}
		}
		// What is stored and read again must mean the same.
		if len(u.String()) <= 2048 {
			again, err := deliver.Guard{}.CheckURL(u.String())
			if err != nil || again.Host != u.Host || again.RequestURI() != u.RequestURI() {
				t.Fatalf("%q became %s, and that %v, %v", text, u, again, err)
			}
		}
		bases := new(deliver.Bases)
		if err := bases.Add(u.Scheme + "://" + u.Host); err != nil {
			t.Fatal(err)
		}
		own := deliver.Guard{Own: bases}
		if _, err := own.CheckURL(text); err == nil && strings.HasPrefix(u.Path, "/cb/") && !strings.Contains(u.Path, "..") {
			t.Fatalf("%q leads back", text)
		}
	})
}

func FuzzParseAllow(f *testing.F) {
	for _, seed := range []string{"", "a.b:1", "10.0.0.0/8", "[::1]:80", "http://[::1]", "http://a:80", "fe80::1%lo", "::ffff:1.2.3.4/100", "http://ä"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := deliver.ParseAllow(text)
		if err != nil {
			if a != (deliver.Allow{}) {
				t.Fatalf("%q was refused, but gave %v", text, a)
			}
			return
		}
		if again, err := deliver.ParseAllow(a.String()); err != nil || again != a {
			t.Fatalf("%q became %s, and that %s, %v", text, a, again, err)
		}
		if host, ok := strings.CutPrefix(a.String(), "http://"); ok {
			g := deliver.Guard{Allow: []deliver.Allow{a}}
			if _, err := g.CheckURL("http://" + host + "/"); err != nil {
				t.Fatalf("%q does not allow itself: %v", text, err)
			}
		}
	})
}

func FuzzParseSecret(f *testing.F) {
	for _, seed := range []string{"", "whsec_", vectorSecret, ofLength(24), ofLength(64), ofLength(65), "whsec_" + strings.Repeat("=", 32)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := deliver.ParseSecret(text)
		if fmt.Sprintf("%v%x%#v", s, s, s) != strings.Repeat("[secret]", 3) {
			t.Fatal("the secret is shown")
		}
		const tooLongToBeChance = 24
		if body := strings.TrimPrefix(text, "whsec_"); err != nil && len(body) >= tooLongToBeChance && strings.Contains(err.Error(), body) {
			t.Fatalf("%q is shown: %v", text, err)
		}
		if err == nil && (!strings.HasPrefix(text, "whsec_") || len(text) < 6+32 || len(text) > 6+88) {
			t.Fatalf("%q was taken", text)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, seed := range []string{"", "0", "120", "-1", "9223372036854775808", "Fri, 02 Jan 2026 04:04:05 GMT", "1e3", "０"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		d := deliver.RetryAfter(value, now)
		if d < 0 || d > 24*time.Hour {
			t.Fatalf("%q was read as %v", value, d)
		}
		if n, err := strconv.ParseUint(value, 10, 32); err == nil && d != min(time.Duration(n)*time.Second, 24*time.Hour) {
			t.Fatalf("%q was read as %v", value, d)
		}
		wait, ok := deliver.Next(deliver.DefaultSchedule, 1, d, func() float64 { return 0 })
		if !ok || wait < d || wait < 4500*time.Millisecond || wait > 24*time.Hour {
			t.Fatalf("%q makes the wait %v, %v", value, wait, ok)
		}
	})
}

// FuzzFill makes sure that what is delivered in an envelope that is JSON is JSON, has the
// announced length, and is the same each time.
func FuzzFill(f *testing.F) {
	for _, text := range []string{
		`{"StatusCode":{http.callback.result.status},"Error":{"Message":"{http.callback.result.error_text}"},"output":{http.callback.result.body}}`,
		`["{http.callback.result.body}{http.callback.result.body}",{http.callback.result.body}]`, `{http.callback.result.body}`,
	} {
		f.Add(text, "a\"\\\n", []byte(`{"a":[1]}`))
		f.Add(text, "\xff{http.callback.name}", []byte("no JSON\x00\xff"))
		f.Add(text, "", []byte{})
	}
	pool := new(memory.Pool)
	pool.SetLimits(64<<20, 64<<20)
	f.Fuzz(func(t *testing.T, text, value string, content []byte) {
		e, err := callback.NewEnvelope(text)
		if err != nil {
			return
		}
		look := func(name string) string {
			if name == "result.status" {
				return "424"
			}
			return value
		}
		body := deliver.Fill(e.Fill(look), deliver.Bytes(content), pool.For(memory.Nobody))
		first, again := opened(t, body), opened(t, body)
		if first != again {
			t.Errorf("%q is %q, and then %q", text, first, again)
		}
		if e.IsJSON() && (!json.Valid([]byte(first)) || !utf8.ValidString(first)) {
			t.Errorf("%q with %q and %q becomes %q", text, value, content, first)
		}
	})
	if used := pool.Used(); used != 0 {
		f.Errorf("%d bytes are still taken", used)
	}
}
