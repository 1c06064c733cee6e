package inject

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

func (s *scanner) fault(what string) error {
	return fmt.Errorf("%s at byte %d", what, s.pos)
}

func (s *scanner) unexpected() error {
	if s.pos >= len(s.text) {
		return s.fault("unexpected end")
	}
	return s.fault("unexpected character")
}

// peek returns the next byte, or the zero byte, which begins no token, at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) colon() error {
	s.skipSpace()
	if s.peek() != ':' {
		return s.unexpected()
	}
	s.pos++
	s.skipSpace()
	return nil
}

func (s *scanner) name() error {
	if s.peek() != '"' {
		return s.unexpected()
	}
	return s.string()
}

func (s *scanner) scalar() error {
	switch s.peek() {
	case '"':
		return s.string()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

func (s *scanner) word(word string) error {
	for i := range len(word) {
		if s.peek() != word[i] {
			return s.unexpected()
		}
		s.pos++
	}
	return nil
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.peek() == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if c := s.peek(); c != 'e' && c != 'E' {
		return nil
	}
	s.pos++
	if c := s.peek(); c == '+' || c == '-' {
		s.pos++
	}
	return s.digits()
}

func (s *scanner) digits() error {
	start := s.pos
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.pos++
	}
	if s.pos == start {
		return s.unexpected()
	}
	return nil
}

func (s *scanner) string() error {
	s.pos++
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		case c < ' ':
			return s.unexpected()
		case c < utf8.RuneSelf:
			s.pos++
		default:
			r, size := utf8.DecodeRune(s.text[s.pos:])
			if r == utf8.RuneError && size == 1 {
				return s.fault("not UTF-8")
			}
			s.pos += size
		}
	}
	return s.unexpected()
}

func (s *scanner) escape() error {
	s.pos++
	c := s.peek()
	if strings.IndexByte(`"\/bfnrtu`, c) < 0 {
		return s.unexpected()
	}
	s.pos++
	if c != 'u' {
		return nil
	}
	for range 4 {
		if !isHex(s.peek()) {
			return s.unexpected()
		}
		s.pos++
	}
	return nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// unquote returns the text of a string that has been scanned. Like encoding/json it
// reads half a surrogate pair as U+FFFD.
func unquote(literal []byte) []byte {
	rest := literal[1 : len(literal)-1]
	i := bytes.IndexByte(rest, '\\')
	if i < 0 {
		return rest
	}
	text := make([]byte, 0, len(rest))
	for ; i >= 0; i = bytes.IndexByte(rest, '\\') {
		text = append(text, rest[:i]...)
		c := rest[i+1]
		rest = rest[i+2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			var r rune
			r, rest = codePoint(rest)
			text = utf8.AppendRune(text, r)
			continue
		}
		text = append(text, c)
	}
	return append(text, rest...)
}

// codePoint reads the four digits of a \u escape at the beginning of text, and the
// second half of a surrogate pair as well if they are the first half.
func codePoint(text []byte) (r rune, rest []byte) {
	r, rest = hexUnit(text), text[4:]
	if utf16.IsSurrogate(r) && bytes.HasPrefix(rest, []byte(`\u`)) {
		if pair := utf16.DecodeRune(r, hexUnit(rest[2:])); pair != utf8.RuneError {
			return pair, rest[6:]
		}
	}
	return r, rest
}

func hexUnit(text []byte) rune {
	var unit rune
	for _, c := range text[:4] {
		switch {
		case c >= 'a':
			c -= 'a' - 10
		case c >= 'A':
			c -= 'A' - 10
		default:
			c -= '0'
		}
		unit = unit<<4 | rune(c)
	}
	return unit
}
