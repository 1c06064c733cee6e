package inject

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

func (s *xmlScanner) startTag() error {
	start := s.pos
	depth, err := s.begin()
	if err != nil {
		return err
	}
	e := openElement{outside: len(s.spaces.bound)}
	if e.name, err = s.name(); err != nil {
		return err
	}
	attributesEnd, err := s.readAttributes()
	if err != nil {
		return err
	}
	content := s.pos
	closed := s.peek() == '/'
	if closed {
		s.pos++
	}
	if s.peek() != '>' {
		return s.unexpected()
	}
	s.pos++
	if !closed {
		content = s.pos
	}
	if err := s.checkNames(e.name, start); err != nil {
		return err
	}
	if e.onPath = s.follows(e.name, start, depth); e.onPath {
		if s.at.isNil {
			s.confuse("an element in one that is nil", start)
		}
		s.at = xmlSpot{depth: depth + 1, name: e.name, start: content, closed: closed, attributesEnd: attributesEnd, ambiguous: s.at.ambiguous}
		s.findAttribute()
		s.findNil()
	}
	s.open = append(s.open, e)
	if closed {
		s.close(s.pos)
	}
	return nil
}

// begin goes to the name of an element, and returns how many are around it.
func (s *xmlScanner) begin() (depth int, err error) {
	depth = len(s.open)
	switch {
	case depth == 0 && s.rooted:
		return 0, s.fault("a second root element")
	case depth >= MaxDepth:
		return 0, s.fault(fmt.Sprintf("nested deeper than %d levels", MaxDepth))
	case depth > 0:
		s.open[depth-1].hasElements = true
	}
	s.rooted = true
	s.pos++
	return depth, nil
}

func (s *xmlScanner) endTag() error {
	end := s.pos
	s.pos += len("</")
	start := s.pos
	name, err := s.name()
	if err != nil {
		return err
	}
	if len(s.open) == 0 || !bytes.Equal(name, s.open[len(s.open)-1].name) {
		s.pos = start
		return s.fault("an end tag of another element")
	}
	if s.skipSpace(); s.peek() != '>' {
		return s.unexpected()
	}
	s.pos++
	s.close(end)
	return nil
}

// close ends the innermost element, whose content ends there.
func (s *xmlScanner) close(end int) {
	depth := len(s.open)
	e := s.open[depth-1]
	s.open = s.open[:depth-1]
	s.spaces.leave(e.outside)
	if e.onPath && depth == s.at.depth {
		s.at.end, s.at.hasText, s.at.hasElements = end, e.hasText, e.hasElements
	}
}

// readAttributes goes past the attributes of a tag, and returns where the last one ends.
func (s *xmlScanner) readAttributes() (end int, err error) {
	s.attributes = s.attributes[:0]
	for {
		end = s.pos
		apart := s.skipSpace()
		if c := s.peek(); c == '>' || c == '/' {
			return end, nil
		}
		if !apart {
			return 0, s.unexpected()
		}
		start := s.pos
		name, value, err := s.attribute()
		if err != nil {
			return 0, err
		}
		s.attributes = append(s.attributes, start)
		if prefix, ok := declares(name); ok {
			if fault := s.spaces.declare(prefix, string(appendText(nil, value, true))); fault != "" {
				s.pos = start
				return 0, s.fault(fault)
			}
		}
	}
}

// checkNames makes sure that the prefixes in the tag that begins there are declared, and
// that no attribute is there twice.
func (s *xmlScanner) checkNames(name []byte, start int) error {
	prefix, _ := splitName(name)
	if space, ok := s.spaces.of(prefix); !ok || space == xmlnsSpace {
		s.pos = start
		return s.fault("a prefix that nothing declares, in the element")
	}
	for _, at := range s.attributes {
		if prefix, _ := splitName(s.attributeName(at)); len(prefix) > 0 {
			if _, ok := s.spaces.of(prefix); !ok {
				s.pos = at
				return s.fault("a prefix that nothing declares, in the attribute")
			}
		}
	}
	if len(s.attributes) < 2 {
		return nil
	}
	slices.SortFunc(s.attributes, s.compareAttributes)
	for i, at := range s.attributes[1:] {
		if s.compareAttributes(s.attributes[i], at) == 0 {
			s.pos = max(s.attributes[i], at)
			return s.fault("an attribute for the second time")
		}
	}
	return nil
}

// attributeName returns the name of the attribute that begins there.
func (s *xmlScanner) attributeName(at int) []byte {
	return s.text[at : at+bytes.IndexAny(s.text[at:], "= \t\r\n")]
}

// compareAttributes orders attributes so that those of the same name stand together.
func (s *xmlScanner) compareAttributes(a, b int) int {
	ofA, localA := splitName(s.attributeName(a))
	ofB, localB := splitName(s.attributeName(b))
	if c := bytes.Compare(localA, localB); c != 0 {
		return c
	}
	spaceA, _ := s.spaces.of(ofA)
	spaceB, _ := s.spaces.of(ofB)
	return cmp.Compare(spaceA, spaceB)
}

// follows reports whether the path leads to the element that begins there.
func (s *xmlScanner) follows(name []byte, start, depth int) bool {
	if depth > 0 && !s.open[depth-1].onPath || depth >= len(s.path.steps) {
		return false
	}
	if _, local := splitName(name); string(local) != s.path.steps[depth] {
		return false
	}
	if s.at.depth > depth {
		s.confuse(strconv.Quote(s.path.steps[depth])+" twice", start)
		return false
	}
	return true
}

// findAttribute looks for the attribute that the path leads to, if it leads to one of the
// element that has just begun.
func (s *xmlScanner) findAttribute() {
	if s.path.attribute == "" || s.at.depth < len(s.path.steps) {
		return
	}
	after := s.pos
	for _, at := range s.attributes {
		name := s.attributeName(at)
		if _, local := splitName(name); string(local) != s.path.attribute {
			continue
		}
		if _, ok := declares(name); ok {
			continue
		}
		if s.at.hasAttribute {
			s.confuse(strconv.Quote("@"+s.path.attribute)+" twice", at)
			continue
		}
		s.pos = at
		_, value, _ := s.attribute()
		s.at.hasAttribute, s.at.value = true, span{s.pos - 1 - len(value), s.pos - 1}
	}
	s.pos = after
}

// findNil finds out whether the element that has just begun is said to be nil: readers that know
// its schema skip what is in it (XML Schema, part 1, section 2.6.2).
func (s *xmlScanner) findNil() {
	const instance = "http://www.w3.org/2001/XMLSchema-instance"
	after := s.pos
	for _, at := range s.attributes {
		prefix, local := splitName(s.attributeName(at))
		if string(local) != "nil" || s.spaces.uri(prefix) != instance {
			continue
		}
		s.pos = at
		_, value, _ := s.attribute()
		if said := textValue(appendText(nil, value, true)).Text; said == "true" || said == "1" {
			s.at.isNil, s.at.nilValue = true, span{s.pos - 1 - len(value), s.pos - 1}
		}
	}
	s.pos = after
}

func (s *xmlScanner) confuse(what string, at int) {
	if s.at.ambiguous == nil {
		s.at.ambiguous = fmt.Errorf("%s, at byte %d", what, at)
	}
}
