package inject

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// IsThere reports whether the value says anything: a text that is not empty, a JSON value
// other than null, false, "", [] and {}, or an XML element with elements in it.
func (v Value) IsThere() bool {
	switch v.first {
	case '{', '[':
		return strings.TrimSpace(v.Text[1:len(v.Text)-1]) != ""
	case 'n', 'f':
		return false
	}
	return v.nested || v.Text != ""
}

// Matches reports whether the value fits one of the patterns, or, if there are none, whether
// it is there. A pattern is an exact value, or a class like 4xx: an integer from 400 to
// 499, as a number or in decimal digits. JSON numbers are compared by what they say: 1.0
// is 1.
func (v Value) Matches(patterns []string) bool {
	if len(patterns) == 0 {
		return v.IsThere()
	}
	return slices.ContainsFunc(patterns, v.matches)
}

func (v Value) matches(pattern string) bool {
	if v.Text == "" && v.first == 0 {
		return false
	}
	if hundreds, ok := classOf(pattern); ok && v.inClass(hundreds) || v.Text == pattern {
		return true
	}
	if !v.isNumber() {
		return false
	}
	mine, ok := parseNumber(v.Text)
	theirs, number := parseNumber(pattern)
	return ok && number && mine == theirs
}

// isNumber reports whether the value is a JSON number.
func (v Value) isNumber() bool { return v.first == '-' || '0' <= v.first && v.first <= '9' }

// classOf returns the hundreds of a class of numbers, such as 4 for 4xx.
func classOf(pattern string) (hundreds int, ok bool) {
	if len(pattern) != 3 || pattern[0] < '1' || pattern[0] > '9' || !strings.EqualFold(pattern[1:], "xx") {
		return 0, false
	}
	return int(pattern[0] - '0'), true
}

// inClass reports whether the value is an integer with so many hundreds, below a thousand.
func (v Value) inClass(hundreds int) bool {
	text := v.Text
	if v.isNumber() {
		n, ok := parseNumber(text)
		if !ok || n.exponent < 0 || n.exponent > 2 || n.negative {
			return false
		}
		text = n.digits + strings.Repeat("0", n.exponent)
	}
	if len(text) != 3 {
		return false
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && int(n)/100 == hundreds
}

// number is a decimal number in its shortest form: digits times ten to the exponent.
type number struct {
	negative bool
	digits   string
	exponent int
}

// parseNumber reads a JSON number. ok is false for any other text, and for an exponent that
// no sender means.
func parseNumber(text string) (n number, ok bool) {
	s := scanner{text: []byte(text)}
	if s.number() != nil || s.pos != len(text) {
		return number{}, false
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	if exponent != "" {
		e, err := strconv.ParseInt(exponent, 10, 16)
		if err != nil {
			return number{}, false
		}
		n.exponent = int(e)
	}
	mantissa, n.negative = strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	n.exponent -= len(fraction)
	digits := strings.TrimLeft(whole+fraction, "0")
	n.digits = strings.TrimRight(digits, "0")
	n.exponent += len(digits) - len(n.digits)
	if n.digits == "" {
		return number{}, true
	}
	return n, true
}

// CheckPattern makes sure that a pattern can match, and looks like nothing that it is not.
// The error says what to write.
func CheckPattern(pattern string) error {
	switch {
	case pattern == "":
		return errors.New("an empty value is what absent ones have, too; remove it, or write no value at all for: is there")
	case pattern == "*":
		return errors.New("* is no pattern; write no value at all for: is there")
	case strings.HasPrefix(pattern, "!"):
		return fmt.Errorf("%q would say what does not match, which is not possible here; list the values that do, or say with succeeded which are good", pattern)
	}
	return nil
}

// checkSpelling refuses names in a JSON body that are written as in other languages, and
// that no body would have.
func checkSpelling(name string) error {
	if strings.HasPrefix(name, "/") {
		return nil
	}
	hint := "; write a dotted path such as data.0.id, or an RFC 6901 pointer such as /data/0/id if the member really has that name"
	switch {
	case strings.HasPrefix(name, "$"):
		return fmt.Errorf("%w: json path %q begins with a $%s", ErrLocation, name, hint)
	case strings.ContainsAny(name, "[]"):
		return fmt.Errorf("%w: json path %q has brackets%s", ErrLocation, name, hint)
	case slices.Contains(strings.Split(name, "."), "*"):
		return fmt.Errorf("%w: json path %q has a *, and no path means several members%s", ErrLocation, name, hint)
	}
	return nil
}
