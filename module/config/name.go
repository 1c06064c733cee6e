package config

import (
	"fmt"
	"regexp"
	"strings"
)

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// IsName reports whether a text can name something in a configuration: at most 64
// letters, digits, underscores and hyphens.
func IsName(text string) bool { return plainWord.MatchString(text) }

// CheckPrefix makes sure that text can begin the names of headers.
func CheckPrefix(text string) error {
	if !strings.HasSuffix(text, "-") || !plainWord.MatchString(text) || strings.Contains(text, "_") {
		return fmt.Errorf("%q must be at most 64 letters, digits and hyphens, with a hyphen at the end, as in X-Link-", text)
	}
	return nil
}
