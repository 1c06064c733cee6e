package callback_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

const leadingState = "6f1d4f3e-0a52-4a3b-9a0e-2f4c1d6b7a80"

func TestURLsThatLeadBackAreKnownInEverySpelling(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]bool{
		"https://app.example.com/cb/" + leadingState:              true,
		"https://app.example.com:443/cb/" + leadingState:          true,
		"https://app.example.com:/cb/" + leadingState:             true,
		"https://app.example.com:0443/cb/" + leadingState:         true,
		"https://APP.example.com.:443/cb/" + leadingState:         true,
		"HTTPS://app.example.com/x/..//cb/" + leadingState + "?":  true,
		"/x/%2e%2e/cb/" + leadingState:                            true,
		"https://app.example.com:4430/cb/" + leadingState:         false,
		"https://app.example.com:80/cb/" + leadingState:           false,
		"https://app.example.com:x/cb/" + leadingState:            false,
		"https://app.example.com.evil.example/cb/" + leadingState: false,
		"https://app.example.com/thanks":                          false,
	} {
		for _, base := range []string{"https://app.example.com", "https://app.example.com:443"} {
			if got := callback.LeadsBack(target, base); got != want {
				t.Errorf("%s from %s: %t", target, base, got)
			}
		}
	}
}
