package inject

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// xmlPath is a parsed XML path.
type xmlPath struct {
	text string
	// steps are the local names of the elements, from the root on.
	steps []string
	// attribute is the local name of an attribute of the last element; empty for the
	// element itself.
	attribute string
}

func parseXMLPath(text string) (xmlPath, error) {
	if err := checkXMLSpelling(text); err != nil {
		return xmlPath{}, err
	}
	p := xmlPath{text: text, steps: strings.Split(text[1:], "/")}
	last := len(p.steps) - 1
	if name, ok := strings.CutPrefix(p.steps[last], "@"); ok {
		p.attribute, p.steps = name, p.steps[:last]
	}
	if len(p.steps) > MaxDepth {
		return xmlPath{}, fmt.Errorf("%w: xml path has more than %d steps", ErrLocation, MaxDepth)
	}
	return p, nil
}

// stepsHint says how an XML path is written.
const stepsHint = "write each step from the root by its local name, such as /Order/Status, or /Order/@id for an attribute"

// checkXMLSpelling refuses paths that are written as in other languages, and those that no
// document could have. The error says what to write.
func checkXMLSpelling(text string) error {
	is := func(what string) error { return fmt.Errorf("%w: xml path %q %s", ErrLocation, text, what) }
	switch {
	case text == "":
		return fmt.Errorf("%w: xml needs a path, such as /Order/Status", ErrLocation)
	case !utf8.ValidString(text):
		return fmt.Errorf("%w: xml path is not UTF-8", ErrLocation)
	case strings.ContainsAny(text, "[]"):
		return is("has brackets, and no path chooses among elements of one name; " + stepsHint)
	case strings.Contains(text, "*"):
		return is("has a *, and no path means several elements; " + stepsHint)
	case strings.Contains(text, "//"):
		return is("has a //, and no path means elements wherever they are; " + stepsHint)
	case strings.ContainsAny(text, "()"):
		return is("has parentheses, and the path of an element means its text already; " + rather(text))
	case !strings.HasPrefix(text, "/"):
		return is("does not begin with a slash; " + rather(text))
	case strings.HasSuffix(text, "/"):
		return is("has an empty step; " + rather(text))
	case strings.Contains(text, ":"):
		return is("has a prefix, and local names are compared, whatever their namespace; " + rather(text))
	}
	return checkSteps(text)
}

// checkSteps makes sure that a path that begins with a slash has names alone.
func checkSteps(text string) error {
	parts := strings.Split(text[1:], "/")
	for i, part := range parts {
		name, isAttribute := strings.CutPrefix(part, "@")
		switch {
		case isAttribute && i < len(parts)-1:
			return fmt.Errorf("%w: xml path %q goes on after an attribute, which has nothing in it; %s", ErrLocation, text, stepsHint)
		case isAttribute && i == 0:
			return fmt.Errorf("%w: xml path %q has an attribute of no element; %s", ErrLocation, text, stepsHint)
		case isAttribute && name == "xmlns":
			return fmt.Errorf("%w: xml path %q leads to the declaration of a namespace, which is no value; choose another attribute", ErrLocation, text)
		case !isName(name):
			return fmt.Errorf("%w: xml path %q has %q, which is the name of nothing in XML; %s", ErrLocation, text, part, stepsHint)
		}
	}
	return nil
}

// otherSteps match what other languages write and no path has.
var otherSteps = regexp.MustCompile(`/[^/]*\([^/]*$|[^/@]*:`)

// rather says what to write instead of a path, as far as it shows what is meant.
func rather(text string) string {
	meant := strings.TrimPrefix(text, "$.")
	if !strings.Contains(meant, "/") {
		meant = strings.ReplaceAll(meant, ".", "/")
	}
	meant = "/" + strings.Trim(otherSteps.ReplaceAllString("/"+meant, ""), "/")
	if checkSteps(meant) != nil {
		return stepsHint
	}
	return "write " + meant
}
