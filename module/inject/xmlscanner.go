package inject

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// xmlSpot is where a path leads in an XML text: its deepest element that is there.
type xmlSpot struct {
	// depth is how many steps of the path are there.
	depth int
	// name is the element's name, with its prefix.
	name []byte
	// start and end are its content. An element that is closed where it is opened has
	// none; then they are the "/>".
	start, end int
	closed     bool
	// hasText and hasElements say what its content has.
	hasText, hasElements bool
	// attributesEnd is where its last attribute ends, or else its name.
	attributesEnd int
	// value is what stands between the quotes of the attribute that the path leads to, if
	// it is there.
	hasAttribute bool
	value        span
	// isNil says that it is said to be nil (xsi:nil), and nilValue where: between these quotes.
	isNil    bool
	nilValue span

	ascii     bool  // the document is declared to be US-ASCII
	ambiguous error // why a reader might take another value
}

type span struct{ start, end int }

// openElement is an element that has begun and not ended.
type openElement struct {
	name []byte
	// onPath says that it is the first of the name that the path has at its depth.
	onPath               bool
	hasText, hasElements bool
	// outside is how many declarations of namespaces count outside of it.
	outside int
}

// xmlScanner checks one XML document and follows a path through it, in a single pass and
// without a copy.
//
// encoding/xml does not say where attributes stand, and has all attributes of a tag in
// memory at many times their size. It also takes what other readers refuse or read
// differently: several roots, text beside the root, a DTD, attributes twice or not apart,
// prefixes that nothing declares, XML declarations in odd places, targets and characters that
// XML does not have, and references to half a surrogate pair. Tests hold the scanner to it
// all the same: what is taken here, encoding/xml reads as the same.
type xmlScanner struct {
	text []byte
	pos  int
	path xmlPath
	at   xmlSpot
	// open are the elements around the position, the root first.
	open []openElement
	// rooted says that the root has begun, ascii that the document is declared to be US-ASCII.
	rooted bool
	ascii  bool
	spaces namespaces
	// attributes are where those of the latest tag begin.
	attributes []int
}

// scanXML checks that text is exactly one XML document, and returns where the path leads in
// it.
func scanXML(text []byte, p xmlPath) (xmlSpot, error) {
	s := xmlScanner{text: text, path: p}
	if err := s.checkCharacters(); err != nil {
		return xmlSpot{}, err
	}
	if bytes.HasPrefix(text, byteOrderMark) {
		s.pos = len(byteOrderMark)
	}
	if err := s.declaration(); err != nil {
		return xmlSpot{}, err
	}
	for s.pos < len(s.text) {
		if err := s.next(); err != nil {
			return xmlSpot{}, err
		}
	}
	switch {
	case !s.rooted:
		return xmlSpot{}, s.fault("no element")
	case len(s.open) > 0:
		return xmlSpot{}, s.unexpected()
	}
	s.at.ascii = s.ascii
	return s.at, nil
}

// next goes past what comes next.
func (s *xmlScanner) next() error {
	switch {
	case s.peek() != '<':
		return s.characters()
	case s.starts("</"):
		return s.endTag()
	case s.starts("<!--"):
		return s.comment()
	case s.starts("<![CDATA["):
		return s.section()
	case s.starts("<!"):
		return s.fault("a DTD, which can change what a document says,")
	case s.starts("<?"):
		return s.instruction()
	}
	return s.startTag()
}

// characters goes past text between tags.
func (s *xmlScanner) characters() error {
	text := s.text[s.pos:]
	if i := bytes.IndexByte(text, '<'); i >= 0 {
		text = text[:i]
	}
	if i := bytes.IndexFunc(text, func(r rune) bool { return r > ' ' }); i >= 0 {
		if len(s.open) == 0 {
			s.pos += i
			return s.fault("text outside of the root element")
		}
		s.open[len(s.open)-1].hasText = true
	}
	if i := bytes.Index(text, []byte("]]>")); i >= 0 {
		s.pos += i
		return s.unexpected()
	}
	if err := s.references(text); err != nil {
		return err
	}
	s.pos += len(text)
	return nil
}

// section goes past a CDATA section.
func (s *xmlScanner) section() error {
	if len(s.open) == 0 {
		return s.fault("text outside of the root element")
	}
	s.open[len(s.open)-1].hasText = true
	return s.until("]]>")
}

func (s *xmlScanner) comment() error {
	s.pos += len("<!--")
	if err := s.until("--"); err != nil {
		return err
	}
	if s.peek() != '>' {
		return s.unexpected()
	}
	s.pos++
	return nil
}

// instruction goes past a processing instruction.
func (s *xmlScanner) instruction() error {
	start := s.pos
	s.pos += len("<?")
	target := s.pos
	if err := s.word(); err != nil {
		return err
	}
	if strings.EqualFold(string(s.text[target:s.pos]), "xml") {
		s.pos = start
		return s.fault("an XML declaration")
	}
	if !s.starts("?>") && !isSpace(s.peek()) {
		return s.unexpected()
	}
	return s.until("?>")
}

// declaration goes past the XML declaration, if there is one.
func (s *xmlScanner) declaration() error {
	if !s.starts("<?xml") || s.pos+len("<?xml") < len(s.text) && !isSpace(s.text[s.pos+len("<?xml")]) {
		return nil
	}
	s.pos += len("<?xml")
	expected := []string{"version", "encoding", "standalone"}
	for s.skipSpace() && !s.starts("?>") {
		start := s.pos
		name, value, err := s.attribute()
		if err != nil {
			return err
		}
		i := slices.Index(expected, string(name))
		if i < 0 || i > 0 && expected[0] == "version" {
			s.pos = start
			return s.unexpected()
		}
		expected = expected[i+1:]
		if err := s.checkDeclared(string(name), string(value)); err != nil {
			return err
		}
	}
	if !s.starts("?>") || len(expected) == 3 {
		return s.unexpected()
	}
	s.pos += len("?>")
	return nil
}

// checkDeclared checks what the XML declaration says, up to the position.
func (s *xmlScanner) checkDeclared(name, value string) error {
	switch {
	case name == "version" && value != "1.0":
		return s.fault("a version other than 1.0 before what is")
	case name == "standalone" && value != "yes" && value != "no":
		return s.fault("neither yes nor no before what is")
	case name == "encoding" && strings.EqualFold(value, "us-ascii"):
		s.ascii = true
		if i := bytes.IndexFunc(s.text[s.pos:], func(r rune) bool { return r >= utf8.RuneSelf }); i >= 0 {
			s.pos += i
			return s.fault("not US-ASCII, as it is declared,")
		}
	case name == "encoding" && !strings.EqualFold(value, "utf-8"):
		return fmt.Errorf("%w: the XML declares another encoding", ErrCharset)
	}
	return nil
}
