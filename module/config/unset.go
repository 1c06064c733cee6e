package config

import "regexp"

// atLoad matches the placeholders that are replaced when the configuration is loaded.
var atLoad = regexp.MustCompile(`\{((?:env|file|system|time)\.[^{}]*)\}`)

// ReplacedAtLoad reports whether a text has placeholders that are replaced when the
// configuration is loaded.
func ReplacedAtLoad(text string) bool { return atLoad.MatchString(text) }

// Unset returns the first placeholder of a text that is replaced when the configuration is
// loaded and is then empty, "" if there is none. get returns the values by their keys.
func Unset(text string, get func(key string) (string, bool)) string {
	for _, match := range atLoad.FindAllStringSubmatch(text, -1) {
		if value, _ := get(match[1]); value == "" {
			return match[0]
		}
	}
	return ""
}

// How secrets are made. Messages say it where one is missing or too short.
const (
	MakeSecret        = "make one with: openssl rand -base64 32"
	MakeSigningSecret = `make one with: echo "whsec_$(openssl rand -base64 32)"`
)
