package upstream

// ending finds the end of what is waited for in a body, while the body comes.
type ending interface {
	// add takes the next bytes. It reports whether it is time to look at the body, and how
	// many of the bytes are looked at then.
	add(b []byte) (n int, ended bool)
}

// endingOf returns what finds the end of what is waited for; nil if nothing is.
func endingOf(fate Fate, packed bool) ending {
	switch {
	case packed:
		return bodyEnd{}
	case fate.isXML():
		return new(rootEnd)
	case fate == KeptJSON || fate == Weighed:
		return new(valueEnd)
	}
	return nil
}

// bodyEnd is the end of a packed body: that of what it holds cannot be seen earlier.
type bodyEnd struct{}

func (bodyEnd) add(b []byte) (n int, ended bool) { return len(b), false }

// valueEnd finds the end of the JSON value that a body consists of, while the body comes.
// It does not check the value: it only says when it is time to look at it.
type valueEnd struct {
	begun, inString, escaped bool
	depth                    int
}

// add takes the next bytes. It reports whether the value has ended, or whether the body cannot
// be JSON, and how many of the bytes say so. The end of a number, or of a word like true, is
// that of the body.
func (v *valueEnd) add(b []byte) (n int, ended bool) {
	for i, c := range b {
		switch {
		case v.escaped:
			v.escaped = false
		case v.inString && c == '\\':
			v.escaped = true
		case c == '"':
			v.inString = !v.inString
			v.begun = true
			if !v.inString && v.depth == 0 {
				return i + 1, true
			}
		case v.inString:
		case c == '{' || c == '[':
			v.begun = true
			v.depth++
		case c == '}' || c == ']':
			v.depth--
			if v.depth <= 0 {
				return i + 1, true
			}
		case !v.begun && !begins(c):
			return i + 1, true
		case c > ' ':
			v.begun = true
		}
	}
	return len(b), false
}

// begins reports whether a byte can stand before a JSON value, or begin a number or a word.
func begins(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', 0xef, 0xbb, 0xbf, '-', 't', 'f', 'n':
		return true
	}
	return '0' <= c && c <= '9'
}
