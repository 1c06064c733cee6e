package callback_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/linear"
)

func TestDeliveryThatComesBackIsKnown(t *testing.T) {
	t.Parallel()
	other := callback.NewSecret()
	own := secret.Origin("store")
	for _, foreign := range []callback.Origin{secret.Origin("another"), secret.Origin(""), other.Origin("store")} {
		if foreign == own || len(foreign) != 22 {
			t.Errorf("the mark of another store is %s, and this one's %s", foreign, own)
		}
	}
	if secret.Origin("store") != own || strings.ContainsAny(string(own), ",; ") {
		t.Errorf("the mark is %s", own)
	}
	foreign := other.Origin("store")
	for name, c := range map[string]struct {
		lines []string
		want  bool
	}{
		"none":                     {nil, false},
		"empty":                    {[]string{""}, false},
		"own":                      {[]string{own.Value(false)}, true},
		"own, and permitted":       {[]string{own.Value(true)}, false},
		"another's":                {[]string{foreign.Value(false)}, false},
		"both":                     {[]string{foreign.Value(false), own.Value(false)}, true},
		"both in one line":         {[]string{foreign.Value(true) + ",  " + own.Value(false) + " "}, true},
		"permitted of another":     {[]string{own.Value(false) + ", " + foreign.Value(true)}, true},
		"once permitted, once not": {[]string{own.Value(true), own.Value(false)}, true},
		"with another parameter":   {[]string{string(own) + "; a"}, true},
		"its beginning":            {[]string{string(own)[:21]}, false},
	} {
		if got := own.ComesBack(http.Header{callback.OriginHeader: c.lines}); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestManyMarksCostWhatTheirLengthCosts(t *testing.T) {
	own := secret.Origin("store")
	linear.Check(t, 500, func(n int) func() {
		h := http.Header{callback.OriginHeader: {strings.Repeat("a;b,", n)}}
		return func() { own.ComesBack(h) }
	})
}
