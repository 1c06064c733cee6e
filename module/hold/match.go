package hold

import (
	"fmt"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// byBody tells those that are looked for in a body from all others.
func byBody(all []Match) (head, body []Match) {
	for _, m := range all {
		if m.InBody() {
			body = append(body, m)
		} else {
			head = append(head, m)
		}
	}
	return head, body
}

// placesOf returns where matches are looked for.
func placesOf(all []Match) (places []inject.Location) {
	for _, m := range all {
		places = append(places, m.Location)
	}
	return places
}

// checkPatterns makes sure that the values are patterns.
func (m Match) checkPatterns() error {
	for _, pattern := range m.Values {
		if strings.HasPrefix(pattern, "!") {
			return fmt.Errorf("%s: %q would say what does not match, which is not possible here; list the values that do", m.Location, pattern)
		}
		if err := inject.CheckPattern(pattern); err != nil {
			return fmt.Errorf("%s: %w", m.Location, err)
		}
	}
	return nil
}
