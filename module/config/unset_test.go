package config

import "testing"

func TestEmptyPlaceholderIsNamed(t *testing.T) {
	t.Parallel()
	get := valuesOf(map[string]string{"env.A": "1", "file./run/a b": "2", "env.EMPTY": ""})
	for text, want := range map[string]string{
		"":                            "",
		"plain":                       "",
		"{env.A}{file./run/a b}":      "",
		"{http.request.host}{x}":      "",
		"{env.B}":                     "{env.B}",
		"https://{env.A}/{env.EMPTY}": "{env.EMPTY}",
		"{file.none}{env.B}":          "{file.none}",
	} {
		if got := Unset(text, get); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
