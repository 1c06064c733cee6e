package inject

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"
)

// setPart puts a field of that name before all other parts of a multipart/form-data body,
// and removes the other parts of that name, and those that some readers take for one. Every
// other byte stays.
func (m *Message) setPart(name, value string) error {
	f, err := m.parseParts(name)
	if err != nil {
		return err
	}
	if !quotable(name) {
		return fmt.Errorf("%w: form %s cannot be the name of a part, because readers undo escapes in it", ErrAmbiguous, name)
	}
	p := slices.Concat(f.delimiter, []byte("\r\nContent-Disposition: form-data; name=\""+name+"\"\r\n\r\n"), []byte(value), crlf)
	if err := f.checkPart(name, []byte(value), p); err != nil {
		return err
	}
	if bytes.HasPrefix([]byte(value), byteOrderMark) {
		return fmt.Errorf("%w: form %s would begin with a byte order mark", ErrAmbiguous, name)
	}
	body, kept := append(append(m.Room[:0], f.body[:f.first]...), p...), 0
	for i := range f.parts {
		if other := &f.parts[i]; other.name != name && !other.isAlike(name) {
			body, kept = append(body, f.body[other.start:other.end]...), kept+1
		}
	}
	if kept == maxParts {
		return tooMany()
	}
	m.Body = append(body, f.body[f.end():]...)
	return nil
}

// replaceParts puts content into the first part of that name, and removes the others, and those
// that some readers take for one. The header of the part stays, except for what its content made
// right.
func (m *Message) replaceParts(name string, content []byte) error {
	f, err := m.parseParts(name)
	if err != nil {
		return err
	}
	body, placed := append(m.Room[:0], f.body[:f.first]...), false
	for i := range f.parts {
		p := &f.parts[i]
		switch {
		case p.name != name && p.isAlike(name):
		case p.name != name:
			body = append(body, f.body[p.start:p.end]...)
		case !placed:
			placed = true
			changed := slices.Concat(f.delimiter, crlf, p.headerWithoutDigests(), crlf, content, crlf)
			if err := f.checkPart(name, content, changed); err != nil {
				return err
			}
			body = append(body, changed...)
		}
	}
	m.Body = append(body, f.body[f.end():]...)
	return nil
}

// parseParts takes the body apart in order to change the parts of that name. Without a
// body, there are no parts.
func (m *Message) parseParts(name string) (*Multipart, error) {
	body := m.Body
	if len(body) == 0 {
		boundary, err := boundaryOf(m.Header)
		if err != nil {
			return nil, err
		}
		body = []byte("--" + boundary + "--\r\n")
	}
	f, err := ParseMultipart(m.Header, body)
	if err != nil {
		return nil, err
	}
	for i := range f.parts {
		if _, err := f.parts[i].isNamed(name); err != nil {
			return nil, fmt.Errorf("%w: form %s is there as %q", err, name, f.parts[i].name)
		}
	}
	return f, nil
}

// checkPart makes sure that a part can be read again.
func (f *Multipart) checkPart(name string, content, p []byte) error {
	switch {
	case !utf8.Valid(content):
		return fmt.Errorf("%w: the value for form %s is not UTF-8", ErrAmbiguous, name)
	case bytes.Count(p, f.delimiter) > 1:
		return fmt.Errorf("%w: form %s would hold the boundary", ErrAmbiguous, name)
	}
	_, err := readPart(p[len(f.delimiter)+len(crlf) : len(p)-len(crlf)])
	return err
}

// digestsOfParts begin the lines in the header of a part that depend on its content.
var digestsOfParts = []string{"content-length:", "content-md5:", "content-digest:", "digest:", "repr-digest:"}

// headerWithoutDigests returns the lines of the part's header, each with its CRLF, without
// those that would be wrong for another content.
func (p *part) headerWithoutDigests() []byte {
	var header []byte
	for line := range bytes.SplitSeq(p.header, crlf) {
		lower := bytes.ToLower(line)
		if slices.ContainsFunc(digestsOfParts, func(name string) bool { return bytes.HasPrefix(lower, []byte(name)) }) {
			continue
		}
		header = append(append(header, line...), crlf...)
	}
	return header
}
