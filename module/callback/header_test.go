package callback_test

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/linear"
)

var ofTheConnection = []string{
	"Alt-Svc", "Connection", "Content-Length", "Expect", "Http2-Settings", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

var credentials = []string{"Authorization", "Cookie", "Proxy-Authorization"}

func httpHeader(names ...string) http.Header {
	h := make(http.Header)
	for _, name := range names {
		h.Set(name, "value")
	}
	return h
}

func TestConnectionHeadersAreNotKept(t *testing.T) {
	h := httpHeader(append([]string{"Content-Type"}, ofTheConnection...)...)
	for name, kept := range map[string]callback.Header{"call": callback.CallHeader(h), "ack": callback.AckHeader(h)} {
		if len(kept) != 1 || kept.Get("Content-Type") != "value" {
			t.Errorf("of a %s: %v", name, kept)
		}
	}
}

func TestHeadersNamedByConnectionAreNotKept(t *testing.T) {
	h := httpHeader("X-Kept", "X-One", "X-Two", "X-Three")
	h["Connection"] = []string{"close, x-one ,X-TWO", "x-three,,"}
	for name, kept := range map[string]callback.Header{"call": callback.CallHeader(h), "ack": callback.AckHeader(h)} {
		if len(kept) != 1 || kept.Get("X-Kept") != "value" {
			t.Errorf("of a %s: %v", name, kept)
		}
	}
}

func TestCredentialsOfACallAreNeverKept(t *testing.T) {
	h := httpHeader(append([]string{"X-Kept"}, credentials...)...)
	if kept := callback.CallHeader(h); len(kept) != 1 || kept.Get("X-Kept") != "value" {
		t.Errorf("got %v", kept)
	}
}

func TestStoredHeaderIsSortedAndLinesOfOneNameKeepTheirOrder(t *testing.T) {
	h := http.Header{"B": {"3", "1", "2"}, "A": {""}, "C": {"x"}}
	want := callback.Header{{Name: "A", Value: ""}, {Name: "B", Value: "3"}, {Name: "B", Value: "1"}, {Name: "B", Value: "2"}, {Name: "C", Value: "x"}}
	for range 20 {
		if got := callback.CallHeader(h); contents(t, got) != contents(t, want) {
			t.Fatalf("got %v", got)
		}
	}
}

func TestHTTPHeaderIsLeftAlone(t *testing.T) {
	h := httpHeader("Authorization", "Connection", "X-Kept")
	callback.CallHeader(h)
	callback.AckHeader(h)
	if len(h) != 3 {
		t.Errorf("got %v", h)
	}
}

func TestHeaderValuesAreFoundByName(t *testing.T) {
	h := callback.Header{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}, {Name: "A", Value: "3"}}
	if !slices.Equal(h.Values("A"), []string{"1", "3"}) || h.Values("C") != nil {
		t.Errorf("got %v and %v", h.Values("A"), h.Values("C"))
	}
	if h.Get("A") != "1" || h.Get("C") != "" {
		t.Errorf("got %q and %q", h.Get("A"), h.Get("C"))
	}
}

func TestHeaderIsAddedBesideWhatIsThere(t *testing.T) {
	dst := http.Header{"A": {"0"}}
	callback.Header{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}, {Name: "A", Value: "3"}}.AddTo(dst)
	if !slices.Equal(dst["A"], []string{"0", "1", "3"}) || !slices.Equal(dst["B"], []string{"2"}) {
		t.Errorf("got %v", dst)
	}
}

func TestWireHeadersHaveTheirPrefix(t *testing.T) {
	w := callback.NewWire("x-acme-")
	want := []string{
		"X-Acme-Correlation-Id", "X-Acme-Callback-Url", "X-Acme-Status", "X-Acme-Document-Status", "X-Acme-Technical-Status",
		"X-Acme-Error-Code", "X-Acme-Error-Text", "X-Acme-Result-Status",
	}
	if !slices.Equal(w.Names(), want) {
		t.Errorf("got %v", w.Names())
	}
	if p := compiled(t, callback.Policy{HeaderPrefix: "x-acme-"}); p.Wire() != w {
		t.Errorf("a policy with that prefix speaks %v", p.Wire().Names())
	}
}

func TestWireHeadersAreKnownInEverySpelling(t *testing.T) {
	for _, prefix := range []string{callback.DefaultHeaderPrefix, "Acme_", "x.acme.", "X-"} {
		w := callback.NewWire(prefix)
		for _, name := range w.Names() {
			for _, spelling := range []string{name, http.CanonicalHeaderKey(name), swap(name, '-', '_'), swap(name, '_', '-'), swap(name, '-', '.')} {
				if !w.Speaks(spelling) {
					t.Errorf("prefix %s: %s is not known as ours", prefix, spelling)
				}
			}
		}
	}
	w := callback.NewWire(callback.DefaultHeaderPrefix)
	for _, name := range []string{"", "X-Link-", "X-Link-Statuses", "Status", "X-Linkstatus", "XX-Link-Status", "X-Acme-Status"} {
		if w.Speaks(name) {
			t.Errorf("%s is taken for ours", name)
		}
	}
}

func swap(s string, from, to byte) string {
	b := []byte(s)
	for i := range b {
		if b[i] == from {
			b[i] = to
		}
	}
	return string(b)
}

func TestManyHeadersAndConnectionOptionsCostWhatTheirLengthCosts(t *testing.T) {
	linear.Check(t, 500, func(n int) func() {
		h := http.Header{"Connection": {strings.Repeat("z,", 3*n)}}
		for i := range n {
			h["X-"+strconv.Itoa(i)] = []string{""}
		}
		return func() {
			if kept := callback.CallHeader(h); len(kept) != n {
				t.Errorf("%d of %d headers are kept", len(kept), n)
			}
		}
	})
}

func TestManyLinesOfOneNameCostWhatTheirLengthCosts(t *testing.T) {
	linear.Check(t, 5000, func(n int) func() {
		h := callback.Header{{Name: "B", Value: "b"}}
		for range n {
			h = append(h, callback.Field{Name: "A"})
		}
		return func() {
			if got := h.Joined(); len(got["A"]) != 2*(n-1) || got["B"] != "b" {
				t.Errorf("%d bytes of %d lines", len(got["A"]), n)
			}
		}
	})
}

func TestHeaderAndQueryOverTheLimitAreRefused(t *testing.T) {
	exact := http.Header{"A": slices.Repeat([]string{""}, 64<<10-10), "Authorization": {"not counted"}}
	if _, err := callback.NewCall("POST", "", "0123456789", exact, 0); err != nil {
		t.Errorf("64 KiB: %v", err)
	}
	for name, query := range map[string]string{"header and query": "0123456789a", "query": strings.Repeat("q", 64<<10+1)} {
		if _, err := callback.NewCall("POST", "", query, exact, 0); !errors.Is(err, callback.ErrCallHeader) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
