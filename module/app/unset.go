package app

import (
	"cmp"
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-callback/caddy-callback/module/config"
)

// Known replaces the placeholders that are known when the configuration is
// loaded. If nothing would be left, the text is returned unchanged, so that the checks
// refuse it: an option that was meant to be set is never left to its default.
func Known(text string) string {
	return cmp.Or(caddy.NewReplacer().ReplaceKnown(text, ""), text)
}

// secretOf returns a secret that is configured as a placeholder.
func secretOf(text string) (string, error) {
	repl := caddy.NewReplacer()
	if unset := config.Unset(text, repl.GetString); unset != "" {
		return "", fmt.Errorf("%s is empty or not set", unset)
	}
	return repl.ReplaceKnown(text, ""), nil
}

// Secret returns the secret that a directive has as a placeholder. Errors say which one is empty or
// not set.
func Secret(text string) (string, error) { return secretOf(text) }

// Text is an option's text as it is configured.
type Text struct{ Option, Text string }

// Because returns the error that a placeholder in one of the texts is empty, if that can be
// why a check has failed; else the check's own error.
func Because(err error, texts ...Text) error {
	if err == nil {
		return nil
	}
	repl := caddy.NewReplacer()
	for _, t := range texts {
		if unset := config.Unset(t.Text, repl.GetString); unset != "" {
			return fmt.Errorf("%s: %s is empty or not set", t.Option, unset)
		}
	}
	return err
}
