package config

import "testing"

func TestMistypedWordIsRecognized(t *testing.T) {
	t.Parallel()
	words := []string{"ack", "ask", "call", "failed", "failed_body", "redir", "url", "use_body"}
	for mistyped, want := range map[string]string{
		"fail":        "failed",
		"faild":       "failed",
		"failde":      "failed",
		"failed-body": "failed_body",
		"rediR":       "redir",
		"redirect":    "",
		"urll":        "url",
		"usebody":     "use_body",
		"akc":         "ack",
		"x":           "",
		"":            "",
		"timeout":     "",
	} {
		if got := Nearest(mistyped, words); got != want {
			t.Errorf("%q: %q, want %q", mistyped, got, want)
		}
	}
}
