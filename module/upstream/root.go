package upstream

import "github.com/caddy-callback/caddy-callback/module/inject"

// rootEnd finds the end of the root element of the XML document that a body consists of,
// while the body comes. It does not check the document: it only says when it is time to look
// at it.
type rootEnd struct {
	depth int
	in    part
	// quote is the quote that an attribute in a tag began with, zero outside of one.
	quote byte
	// last is the byte before in a tag or an instruction, and run how many of the bytes
	// before can begin the end of a comment or a section.
	last byte
	run  int
}

// part is the part of a document in which a byte is.
type part uint8

const (
	inText part = iota
	inMarkup
	inStartTag
	inEndTag
	inInstruction
	inDeclaration
	inDash
	inComment
	inSection
)

// add takes the next bytes. It reports whether the root element has ended, or whether the body
// cannot be XML that is read, and how many of the bytes say so.
func (r *rootEnd) add(b []byte) (n int, ended bool) {
	for i, c := range b {
		if r.next(c) {
			return i + 1, true
		}
	}
	return len(b), false
}

func (r *rootEnd) next(c byte) bool {
	switch r.in {
	case inText:
		if c == '<' {
			r.in = inMarkup
			return false
		}
		return r.depth == 0 && !precedes(c)
	case inMarkup:
		r.in, r.last, r.run, r.quote = afterOpening(c), 0, 0, 0
	case inStartTag:
		return r.startTag(c)
	case inEndTag:
		if c == '>' {
			r.depth--
			return r.leave()
		}
	case inInstruction:
		if c == '>' && r.last == '?' {
			r.in = inText
		}
		r.last = c
	case inDeclaration:
		switch c {
		case '-':
			r.in = inDash
		case '[':
			r.in = inSection
		default:
			return true
		}
	case inDash:
		r.in = inComment
		return c != '-'
	case inComment:
		r.closes(c, '-')
	case inSection:
		r.closes(c, ']')
	}
	return false
}

// precedes reports whether a byte can stand before the root element, outside of markup.
func precedes(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', 0xef, 0xbb, 0xbf:
		return true
	}
	return false
}

// afterOpening returns the part that a byte after "<" begins.
func afterOpening(c byte) part {
	switch c {
	case '/':
		return inEndTag
	case '!':
		return inDeclaration
	case '?':
		return inInstruction
	}
	return inStartTag
}

func (r *rootEnd) startTag(c byte) bool {
	switch {
	case r.quote != 0:
		if c == r.quote {
			r.quote = 0
		}
	case c == '"' || c == '\'':
		r.quote = c
	case c == '>' && r.last == '/':
		return r.leave()
	case c == '>':
		r.in = inText
		r.depth++
		return r.depth > inject.MaxDepth
	}
	r.last = c
	return false
}

// leave ends an element, and reports whether that was the root.
func (r *rootEnd) leave() bool {
	r.in = inText
	return r.depth <= 0
}

// closes ends a comment or a section after two marks and a ">".
func (r *rootEnd) closes(c, mark byte) {
	switch {
	case c == mark:
		r.run++
	case c == '>' && r.run >= 2:
		r.in = inText
	default:
		r.run = 0
	}
}
