package verify

import (
	"errors"
	"strings"
	"unicode"
)

// minSecret is how many bytes a secret must have at least.
const minSecret = 16

// checkText refuses what is no secret of any scheme.
func checkText(secret string) error {
	switch {
	case secret == "":
		return errors.New("the secret is empty")
	case strings.TrimSpace(secret) != secret:
		return errors.New("the secret begins or ends with white space; take that out")
	case strings.ContainsFunc(secret, unicode.IsControl):
		return errors.New("the secret has several lines, or other characters that cannot be seen")
	}
	return nil
}
