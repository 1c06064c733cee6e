package inject

import (
	"net/http"
	"strings"
)

// ConnectionOptions are the headers of a message that its Connection lines name. They
// belong to the connection, too (RFC 9110, section 7.6.1).
type ConnectionOptions map[string]bool

// ConnectionOptionsOf returns the connection options that are headers of h, too. It looks at
// each option and at each header once, because a stranger may send thousands of both.
func ConnectionOptionsOf(h http.Header) ConnectionOptions {
	var lines []string
	for name, values := range h {
		if strings.EqualFold(name, "Connection") {
			lines = append(lines, values...)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	there := make(map[string]bool, len(h))
	for name := range h {
		there[strings.ToLower(name)] = true
	}
	options := make(ConnectionOptions)
	for _, line := range lines {
		for option := range strings.SplitSeq(line, ",") {
			if option = strings.ToLower(strings.Trim(option, " \t")); there[option] {
				options[option] = true
			}
		}
	}
	return options
}

// Has reports whether a header is one of the options, in any case.
func (o ConnectionOptions) Has(name string) bool { return len(o) > 0 && o[strings.ToLower(name)] }
