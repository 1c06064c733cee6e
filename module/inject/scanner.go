package inject

import (
	"bytes"
	"fmt"
)

// spot is where a path leads in a JSON text.
type spot struct {
	found      bool
	start, end int  // the value, or the empty gap where it would go
	depth      int  // the part of the path that is missing at the gap
	inObject   bool // the gap is in an object, not in an array
	hasBefore  bool // another member or element comes before the gap

	blocked   error // why the path goes no further
	ambiguous error // why a decoder might take another value
}

// scanner checks one JSON text and follows a path through it, in a single pass. While
// it is on the path, the depth of nesting is also the index of the next part of the
// path.
type scanner struct {
	text []byte
	pos  int
	path path
	at   spot
}

// scan checks that text is exactly one JSON value, and returns where the path leads in
// it. depth is how many levels the text will be nested in, and how many parts of the
// path lead to it.
func scan(text []byte, p path, depth int) (spot, error) {
	s := scanner{text: text, path: p}
	if bytes.HasPrefix(text, byteOrderMark) {
		s.pos = len(byteOrderMark)
	}
	s.skipSpace()
	if s.pos == len(text) {
		return spot{}, s.fault("no value")
	}
	if err := s.value(depth, true); err != nil {
		return spot{}, err
	}
	s.skipSpace()
	if s.pos < len(text) {
		return spot{}, s.fault("more after the value")
	}
	return s.at, nil
}

func (s *scanner) value(depth int, onPath bool) error {
	target := onPath && depth == len(s.path.parts)
	if target {
		s.at.found, s.at.start = true, s.pos
	}
	onPath = onPath && !target
	var err error
	switch s.peek() {
	case '{':
		err = s.object(depth, onPath)
	case '[':
		err = s.array(depth, onPath)
	default:
		if onPath {
			s.block(depth, s.pos, "a scalar")
		}
		err = s.scalar()
	}
	if target {
		s.at.end = s.pos
	}
	return err
}

func (s *scanner) object(depth int, onPath bool) error {
	gap := spot{start: s.pos + 1, depth: depth, inObject: true}
	found := false
	more, err := s.open('}', depth)
	for more && err == nil {
		key := s.pos
		if err := s.name(); err != nil {
			return err
		}
		follow := false
		if onPath {
			same, exact := s.compare(s.text[key:s.pos], depth)
			if same && (found || !exact) {
				s.confuse(depth, key)
			}
			follow = exact && !found
			found = found || exact
		}
		if err := s.colon(); err != nil {
			return err
		}
		if err := s.value(depth+1, follow); err != nil {
			return err
		}
		gap.start, gap.hasBefore = s.pos, true
		more, err = s.next('}')
	}
	if onPath && !found {
		s.miss(gap)
	}
	return err
}

func (s *scanner) array(depth int, onPath bool) error {
	start := s.pos
	gap := spot{start: start + 1, depth: depth}
	index, isIndex := 0, false
	if onPath {
		index, isIndex = s.path.index(depth)
	}
	length := 0
	more, err := s.open(']', depth)
	for more && err == nil {
		if err := s.value(depth+1, isIndex && index == length); err != nil {
			return err
		}
		length++
		gap.start, gap.hasBefore = s.pos, true
		more, err = s.next(']')
	}
	switch {
	case !onPath || isIndex && index < length:
	case isIndex && index == length || s.path.appends(depth):
		s.miss(gap)
	case isIndex:
		s.block(depth, start, "an array that is too short")
	default:
		s.block(depth, start, "an array")
	}
	return err
}

// open goes past the bracket that begins an object or array inside depth others, and
// says whether anything is in it.
func (s *scanner) open(closing byte, depth int) (more bool, err error) {
	if depth >= MaxDepth {
		return false, s.fault(fmt.Sprintf("nested deeper than %d levels", MaxDepth))
	}
	s.pos++
	s.skipSpace()
	if s.peek() == closing {
		s.pos++
		return false, nil
	}
	return true, nil
}

// next goes past what follows a member or element, and says whether it was a comma.
func (s *scanner) next(closing byte) (more bool, err error) {
	s.skipSpace()
	switch s.peek() {
	case ',':
		s.pos++
		s.skipSpace()
		return true, nil
	case closing:
		s.pos++
		return false, nil
	}
	return false, s.unexpected()
}

// compare says whether a member's name, as it is quoted in the text, is the part of the
// path at this depth, and whether it is exactly that. Names that differ only in case
// are the same to encoding/json and others.
func (s *scanner) compare(literal []byte, depth int) (same, exact bool) {
	name, part := unquote(literal), s.path.parts[depth]
	return bytes.EqualFold(name, []byte(part)), string(name) == part
}

func (s *scanner) miss(gap spot) {
	gap.end = gap.start
	gap.ambiguous = s.at.ambiguous
	s.at = gap
}

func (s *scanner) block(depth, pos int, what string) {
	s.at.blocked = fmt.Errorf("no place for %q in %s at byte %d", s.path.parts[depth], what, pos)
}

func (s *scanner) confuse(depth, pos int) {
	if s.at.ambiguous == nil {
		s.at.ambiguous = fmt.Errorf("%q twice, or in another case, at byte %d", s.path.parts[depth], pos)
	}
}
