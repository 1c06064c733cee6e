package page_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/page"
)

func TestLanguageSuitsTheReader(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		accepted []string
		offered  string
		want     string
	}{
		{nil, "de en", "de"},
		{nil, "", ""},
		{[]string{"en"}, "de en", "en"},
		{[]string{"EN-us, de;q=0.5"}, "de en", "en"},
		{[]string{"de;q=0.5, en;q=0.9"}, "de en", "en"},
		{[]string{"fr, en;q=0.1", "de;q=0.2"}, "en de", "de"},
		{[]string{"fr"}, "de en", "de"},
		{[]string{"en;q=0, *"}, "de en", "de"},
		{[]string{"zh-Hant-TW"}, "en zh-hant", "zh-hant"},
		{[]string{"zh-x-private"}, "en zh", "zh"},
		{[]string{"pt"}, "en pt-BR", "pt-BR"},
		{[]string{"en;level=1, de"}, "en de", "de"},
		{[]string{"x, -, ;;, de;q=NaN, de;q=a"}, "en de", "en"},
		{[]string{strings.Repeat("xx,", 40) + "de"}, "en de", "en"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Accept-Language"] = test.accepted
		if got := page.Language(r, strings.Fields(test.offered)); got != test.want {
			t.Errorf("%q of %q: %q, want %q", test.accepted, test.offered, got, test.want)
		}
	}
}

func TestLanguageIsSaidOnceInVary(t *testing.T) {
	t.Parallel()
	h := make(http.Header)
	page.VaryLanguage(h)
	page.VaryLanguage(h)
	if got := h.Values("Vary"); len(got) != 1 || got[0] != "Accept-Language" {
		t.Error(got)
	}
}
