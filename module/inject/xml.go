package inject

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

var (
	// ErrNotXML is wrapped by every error about a body that is not exactly one XML 1.0
	// document in UTF-8, without a DTD, with all prefixes declared, and nested no deeper
	// than MaxDepth.
	ErrNotXML = errors.New("body is not usable XML")

	// ErrValue is wrapped by every error about a value that no XML document can hold. It
	// is about the value to be put, not about the request.
	ErrValue = errors.New("value is not usable in XML")
)

// SetXML appends to dst a copy of body with a value at the path: in place of all content of
// an element, or of what an attribute holds. A path is the local names of elements from the root
// on, such as /Order/Status, and may end with that of an attribute, such as /Order/@id.
//
// Nothing else in body changes, except that a byte order mark is left out, and that an element
// that is said to be nil (xsi:nil) is not any more: readers would skip the value. A missing element
// becomes the last in its parent and gets its prefix, and with that its namespace; missing
// parents are made; a missing attribute becomes the last. It is an error if the root has
// another name, if a parent has text and no elements, if the prefix that elements would get is
// longer than maxPrefix, or if an element along the path or the attribute is there twice, in
// whatever namespaces.
func SetXML(dst, body []byte, path, value string) ([]byte, error) {
	p, err := parseXMLPath(path)
	if err != nil {
		return nil, err
	}
	if !HoldsXML(value) {
		return nil, fmt.Errorf("%w: xml %s: it has a character that XML does not have", ErrValue, path)
	}
	at, err := locateXML(body, p)
	if err != nil {
		return nil, err
	}
	switch {
	case at.depth == 0:
		return nil, fmt.Errorf("%w: xml %s: the root element has another name", ErrPath, path)
	case at.ascii && strings.ContainsFunc(path, func(r rune) bool { return r >= utf8.RuneSelf }):
		return nil, fmt.Errorf("%w: xml %s: it has no place in US-ASCII", ErrPath, path)
	case at.depth < len(p.steps) && at.hasText && !at.hasElements:
		return nil, fmt.Errorf("%w: xml %s: no place for %q in a text at byte %d", ErrPath, path, p.steps[at.depth], at.start)
	case len(at.prefix()) > maxPrefix:
		return nil, fmt.Errorf("%w: xml %s: a prefix longer than %d bytes before %q", ErrPath, path, maxPrefix, p.steps[at.depth-1])
	}
	start, end, before, after := at.splice(p)
	dst = slices.Grow(dst, start+len(notNil)+len(before)+len(value)+len(after)+len(body)-end)
	from := len(body) - len(bytes.TrimPrefix(body, byteOrderMark))
	if at.isNil && (p.attribute == "" || at.depth < len(p.steps)) {
		dst = append(append(dst, body[from:at.nilValue.start]...), notNil...)
		from = at.nilValue.end
	}
	dst = append(append(dst, body[from:start]...), before...)
	dst = appendEscapedXML(dst, value)
	return append(append(dst, after...), body[end:]...), nil
}

// notNil is the value of xsi:nil at an element that has content.
const notNil = "false"

// maxPrefix is how long the prefix of an element can be into which something is put. Each
// element that is made gets it.
const maxPrefix = 256

// GetXML returns the value at the path in body, and whether it is there: what an attribute
// holds, or the text of an element, without comments and processing instructions, and without
// the white space around it. It is an error if body is no XML, if an element along the path
// or the attribute is there twice, in whatever namespaces, if there are elements in the
// element, or if an element along the path has content although it is said to be nil.
func GetXML(body []byte, path string) (value string, found bool, err error) {
	v, found, err := findXML(body, path)
	if err == nil {
		err = v.checkWhole(Location{In: XML, Name: path})
	}
	if err != nil {
		return "", false, err
	}
	return v.Text, found, nil
}

// HoldsXML reports whether an XML document can hold a value.
func HoldsXML(value string) bool {
	return utf8.ValidString(value) && !strings.ContainsFunc(value, func(r rune) bool { return !isXML(r) })
}

// findXML returns the value at the path, and whether it is there. Of an element with elements
// in it, it returns only that it has some.
func findXML(body []byte, path string) (v Value, found bool, err error) {
	p, err := parseXMLPath(path)
	if err != nil {
		return Value{}, false, err
	}
	at, err := locateXML(body, p)
	switch {
	case err != nil || at.depth < len(p.steps):
		return Value{}, false, err
	case p.attribute != "":
		return textValue(appendText(nil, body[at.value.start:at.value.end], true)), at.hasAttribute, nil
	case at.isNil && (at.hasText || at.hasElements):
		return Value{}, false, fmt.Errorf("%w: xml %s: something in an element that is nil, at byte %d", ErrAmbiguous, path, at.start)
	case at.hasElements:
		return Value{nested: true}, true, nil
	case at.closed:
		return Value{}, true, nil
	}
	return textValue(characterData(body[at.start:at.end])), true, nil
}

// textValue returns the value that a text says.
func textValue(text []byte) Value {
	return Value{Text: string(bytes.TrimFunc(text, func(r rune) bool { return r < utf8.RuneSelf && isSpace(byte(r)) }))}
}

// locateXML returns where the path leads in a body. It is an error if readers could read the
// path differently.
func locateXML(body []byte, p xmlPath) (xmlSpot, error) {
	at, err := scanXML(body, p)
	switch {
	case errors.Is(err, ErrCharset):
		return xmlSpot{}, err
	case err != nil:
		return xmlSpot{}, fmt.Errorf("%w: xml %s: %w", ErrNotXML, p.text, err)
	case at.ambiguous != nil:
		return xmlSpot{}, fmt.Errorf("%w: xml %s: %w", ErrAmbiguous, p.text, at.ambiguous)
	}
	return at, nil
}

// prefix returns the prefix of the element with its colon, empty for none.
func (at xmlSpot) prefix() string { return string(at.name[:bytes.IndexByte(at.name, ':')+1]) }

// splice returns the texts that must stand around an escaped value at the path, and which
// bytes all that takes the place of.
func (at xmlSpot) splice(p xmlPath) (start, end int, before, after string) {
	missing := p.steps[at.depth:]
	switch {
	case len(missing) > 0:
		before, after = elements(at.prefix(), missing, p.attribute)
	case p.attribute != "" && at.hasAttribute:
		return at.value.start, at.value.end, "", ""
	case p.attribute != "":
		return at.attributesEnd, at.attributesEnd, " " + p.attribute + `="`, `"`
	}
	switch {
	case at.closed:
		return at.start, at.end, ">" + before, after + "</" + string(at.name) + ">"
	case len(missing) > 0:
		return at.end, at.end, before, after
	}
	return at.start, at.end, "", ""
}

// elements returns what stands around a value in elements within each other, the innermost
// of which has it, or an attribute with it.
func elements(prefix string, steps []string, attribute string) (before, after string) {
	for i, step := range steps {
		name := prefix + step
		if i == len(steps)-1 && attribute != "" {
			return before + "<" + name + " " + attribute + `="`, `"/>` + after
		}
		before, after = before+"<"+name+">", "</"+name+">"+after
	}
	return before, after
}

// appendEscapedXML appends a value as it stands in an element or between quotes. It is ASCII,
// and has no white space that a reader would read as another.
func appendEscapedXML(dst []byte, value string) []byte {
	for _, r := range value {
		switch {
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '"':
			dst = append(dst, "&quot;"...)
		case r == '\'':
			dst = append(dst, "&apos;"...)
		case r < ' ' || r > '~':
			dst = fmt.Appendf(dst, "&#%d;", r)
		default:
			dst = append(dst, byte(r))
		}
	}
	return dst
}

// characterData returns the text of an element in which there are no elements.
func characterData(content []byte) []byte {
	var text []byte
	for {
		i := bytes.IndexByte(content, '<')
		if i < 0 {
			return appendText(text, content, false)
		}
		text = appendText(text, content[:i], false)
		content = content[i:]
		end := "?>"
		switch {
		case bytes.HasPrefix(content, []byte("<!--")):
			end = "-->"
		case bytes.HasPrefix(content, []byte("<![CDATA[")):
			end = "]]>"
			text = appendLines(text, content[len("<![CDATA["):bytes.Index(content, []byte(end))])
		}
		content = content[bytes.Index(content, []byte(end))+len(end):]
	}
}

// appendText appends what a text means. In an attribute each white space is a space, unless
// it is escaped.
func appendText(to, text []byte, attribute bool) []byte {
	for {
		plain, rest := text, []byte(nil)
		if i := bytes.IndexByte(text, '&'); i >= 0 {
			plain, rest = text[:i], text[i:]
		}
		from := len(to)
		to = appendLines(to, plain)
		if attribute {
			for i, c := range to[from:] {
				if isSpace(c) {
					to[from+i] = ' '
				}
			}
		}
		if rest == nil {
			return to
		}
		r, size := reference(rest)
		to = utf8.AppendRune(to, r)
		text = rest[size:]
	}
}

// appendLines appends a text with its line ends as line feeds (XML 1.0, section 2.11).
func appendLines(to, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '\r')
		if i < 0 {
			return append(to, text...)
		}
		to = append(append(to, text[:i]...), '\n')
		text = bytes.TrimPrefix(text[i+1:], []byte("\n"))
	}
}
