package inject

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf8"
)

func (s *xmlScanner) fault(what string) error {
	return fmt.Errorf("%s at byte %d", what, s.pos)
}

func (s *xmlScanner) unexpected() error {
	if s.pos >= len(s.text) {
		return s.fault("unexpected end")
	}
	return s.fault("unexpected character")
}

// peek returns the next byte, or the zero byte, which no XML has, at the end.
func (s *xmlScanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// starts reports whether what comes next is that.
func (s *xmlScanner) starts(with string) bool {
	return len(s.text)-s.pos >= len(with) && string(s.text[s.pos:s.pos+len(with)]) == with
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// skipSpace goes past white space, and reports whether there was any.
func (s *xmlScanner) skipSpace() bool {
	start := s.pos
	for s.pos < len(s.text) && isSpace(s.text[s.pos]) {
		s.pos++
	}
	return s.pos > start
}

// until goes past the next place where that stands.
func (s *xmlScanner) until(end string) error {
	i := bytes.Index(s.text[s.pos:], []byte(end))
	if i < 0 {
		s.pos = len(s.text)
		return s.unexpected()
	}
	s.pos += i + len(end)
	return nil
}

// word goes past a name without a prefix.
func (s *xmlScanner) word() error {
	start := s.pos
	for s.pos < len(s.text) {
		r, size := rune(s.text[s.pos]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(s.text[s.pos:])
		}
		if !isNameRune(r, s.pos == start) {
			break
		}
		s.pos += size
	}
	if s.pos == start {
		return s.unexpected()
	}
	return nil
}

// name goes past a name, which may have a prefix, and returns it.
func (s *xmlScanner) name() ([]byte, error) {
	start := s.pos
	err := s.word()
	if err == nil && s.peek() == ':' {
		s.pos++
		err = s.word()
	}
	return s.text[start:s.pos], err
}

// attribute goes past an attribute, and returns its name and what stands between its
// quotes.
func (s *xmlScanner) attribute() (name, value []byte, err error) {
	if name, err = s.name(); err != nil {
		return nil, nil, err
	}
	s.skipSpace()
	if s.peek() != '=' {
		return nil, nil, s.unexpected()
	}
	s.pos++
	s.skipSpace()
	quote := s.peek()
	if quote != '"' && quote != '\'' {
		return nil, nil, s.unexpected()
	}
	s.pos++
	end := bytes.IndexByte(s.text[s.pos:], quote)
	if end < 0 {
		s.pos = len(s.text)
		return nil, nil, s.unexpected()
	}
	value = s.text[s.pos : s.pos+end]
	if i := bytes.IndexByte(value, '<'); i >= 0 {
		s.pos += i
		return nil, nil, s.unexpected()
	}
	if err := s.references(value); err != nil {
		return nil, nil, err
	}
	s.pos += end + 1
	return name, value, nil
}

// references checks the references in a text that begins at the position.
func (s *xmlScanner) references(text []byte) error {
	for i := 0; ; {
		next := bytes.IndexByte(text[i:], '&')
		if next < 0 {
			return nil
		}
		i += next
		_, size := reference(text[i:])
		if size == 0 {
			s.pos += i
			return s.fault("unknown entity, or a reference to no character,")
		}
		i += size
	}
}

// longestReference is the longest reference, &#x0010FFFF; with some zeros more.
const longestReference = 32

// reference returns the character that the reference at the beginning of a text stands for,
// and how long the reference is: 0 if it is none. There are no entities but the five that XML
// has of its own.
func reference(text []byte) (r rune, size int) {
	end := bytes.IndexByte(text[:min(len(text), longestReference)], ';')
	if end < 2 {
		return 0, 0
	}
	name, size := string(text[1:end]), end+1
	switch name {
	case "lt":
		return '<', size
	case "gt":
		return '>', size
	case "amp":
		return '&', size
	case "apos":
		return '\'', size
	case "quot":
		return '"', size
	}
	if name[0] != '#' {
		return 0, 0
	}
	digits, base := name[1:], 10
	if digits != "" && digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	// ParseUint takes digits alone: no sign, and with a base no underscore.
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n > unicode.MaxRune || !isXML(rune(n)) {
		return 0, 0
	}
	return rune(n), size
}

// isXML reports whether a document can have a character.
func isXML(r rune) bool {
	switch {
	case r < ' ':
		return r == '\t' || r == '\n' || r == '\r'
	case r == 0xfffe || r == 0xffff:
		return false
	}
	return utf8.ValidRune(r)
}

// checkCharacters makes sure that a text is UTF-8, and has only characters that XML allows.
func (s *xmlScanner) checkCharacters() error {
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		if c < utf8.RuneSelf {
			if !isXML(rune(c)) {
				return s.fault("unexpected character")
			}
			s.pos++
			continue
		}
		r, size := utf8.DecodeRune(s.text[s.pos:])
		switch {
		case r == utf8.RuneError && size == 1:
			return s.fault("not UTF-8")
		case !isXML(r):
			return s.fault("unexpected character")
		}
		s.pos += size
	}
	s.pos = 0
	return nil
}

// isName reports whether a text is a name without a prefix.
func isName(text string) bool {
	for i, r := range text {
		if !isNameRune(r, i == 0) {
			return false
		}
	}
	return text != ""
}

// isNameRune reports whether a name without a prefix can have a character, or begin with it.
func isNameRune(r rune, first bool) bool {
	if r < utf8.RuneSelf {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', r == '_':
			return true
		}
		return !first && ('0' <= r && r <= '9' || r == '-' || r == '.')
	}
	return unicode.Is(nameStart, r) || !first && unicode.Is(nameRest, r)
}

// nameStart and nameRest are what names begin with, and what else they have, beyond ASCII
// (XML 1.0, fifth edition, section 2.3).
var (
	nameStart = &unicode.RangeTable{
		R16: []unicode.Range16{
			{0xc0, 0xd6, 1}, {0xd8, 0xf6, 1}, {0xf8, 0x2ff, 1}, {0x370, 0x37d, 1}, {0x37f, 0x1fff, 1}, {0x200c, 0x200d, 1},
			{0x2070, 0x218f, 1}, {0x2c00, 0x2fef, 1}, {0x3001, 0xd7ff, 1}, {0xf900, 0xfdcf, 1}, {0xfdf0, 0xfffd, 1},
		},
		R32:         []unicode.Range32{{0x10000, 0xeffff, 1}},
		LatinOffset: 2,
	}
	nameRest = &unicode.RangeTable{
		R16:         []unicode.Range16{{0xb7, 0xb7, 1}, {0x300, 0x36f, 1}, {0x203f, 0x2040, 1}},
		LatinOffset: 1,
	}
)
