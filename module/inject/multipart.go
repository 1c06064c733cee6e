package inject

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

const (
	// maxParts bounds the parts of a multipart/form-data body.
	maxParts = 1000
	// maxPartHeader bounds the header of a part, in bytes.
	maxPartHeader = 8 << 10
)

// boundaryForm is the form of a boundary (RFC 2046, section 5.1.1).
var boundaryForm = regexp.MustCompile(`^[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]$`)

var crlf = []byte("\r\n")

// Multipart is a multipart/form-data body that all readers take apart in the same way.
type Multipart struct {
	body []byte
	// delimiter begins each part, and the end.
	delimiter []byte
	// first is where the first part begins, or the end.
	first int
	parts []part
}

// ParseMultipart takes a multipart/form-data body apart (RFC 7578). It is an error that
// wraps ErrNotForm, ErrAmbiguous or ErrCharset if it is none, if readers could take it
// apart differently, or if it has more than 1,000 parts or one whose header is longer than
// 8 KiB. The body must not be changed as long as the result is used.
func ParseMultipart(header http.Header, body []byte) (*Multipart, error) {
	boundary, err := boundaryOf(header)
	if err != nil {
		return nil, err
	}
	f := &Multipart{body: body, delimiter: []byte("--" + boundary)}
	if bytes.HasPrefix(body, crlf) {
		f.first = len(crlf)
	}
	if !bytes.HasPrefix(body[f.first:], f.delimiter) {
		return nil, fmt.Errorf("%w: it does not begin with its boundary", ErrNotForm)
	}
	for start := f.first; ; {
		rest := body[start+len(f.delimiter):]
		if rest, ends := bytes.CutPrefix(rest, []byte("--")); ends {
			return f, f.checkEnd(rest)
		}
		p, end, err := f.part(start)
		if err != nil {
			return nil, err
		}
		if len(f.parts) == maxParts {
			return nil, tooMany()
		}
		f.parts = append(f.parts, p)
		start = end
	}
}

func tooMany() error { return fmt.Errorf("%w: it has more than %d parts", ErrNotForm, maxParts) }

// boundaryOf returns the boundary that a Content-Type gives to all readers.
func boundaryOf(header http.Header) (string, error) {
	lines := header.Values("Content-Type")
	if len(lines) != 1 {
		return "", fmt.Errorf("%w: Content-Type is not there once", ErrNotForm)
	}
	t, err := parseTagged(lines[0])
	if err != nil {
		return "", fmt.Errorf("%w, in Content-Type", err)
	}
	if charset, given := t.get("charset"); given && !isUTF8(charset) {
		return "", fmt.Errorf("%w but %q", ErrCharset, charset)
	}
	boundary, _ := t.get("boundary")
	if t.kind != "multipart/form-data" || t.mentions("boundary", "boundary") || !boundaryForm.MatchString(boundary) {
		return "", fmt.Errorf("%w: its Content-Type has no valid boundary", ErrNotForm)
	}
	return boundary, nil
}

// checkEnd makes sure that nothing but line ends follows the last delimiter.
func (f *Multipart) checkEnd(rest []byte) error {
	for bytes.HasPrefix(rest, crlf) {
		rest = rest[len(crlf):]
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: something follows the last boundary", ErrNotForm)
	}
	return nil
}

// part reads the part whose delimiter stands at start, and returns where the next one
// stands. The delimiter must not stand anywhere else: some readers look for it within
// lines, or do not look at what follows it.
func (f *Multipart) part(start int) (p part, end int, err error) {
	begin := start + len(f.delimiter)
	if !bytes.HasPrefix(f.body[begin:], crlf) {
		return part{}, 0, fmt.Errorf("%w: no CRLF follows the boundary at byte %d", ErrNotForm, start)
	}
	begin += len(crlf)
	length := bytes.Index(f.body[begin:], f.delimiter)
	if length < 0 {
		return part{}, 0, fmt.Errorf("%w: the last boundary is missing", ErrNotForm)
	}
	text, alone := bytes.CutSuffix(f.body[begin:begin+length], crlf)
	if !alone {
		return part{}, 0, fmt.Errorf("%w: the boundary at byte %d is not on a line of its own", ErrNotForm, begin+length)
	}
	p, err = readPart(text)
	if err != nil {
		return part{}, 0, fmt.Errorf("%w, in the part at byte %d", err, start)
	}
	p.start, p.end = start, begin+length
	return p, p.end, nil
}

// values returns what the fields of that name hold. It is an error that wraps ErrAmbiguous
// or ErrCharset if readers could find different ones, or none. Files are no fields.
func (f *Multipart) values(name string) ([][]byte, error) {
	var values [][]byte
	files := false
	for i := range f.parts {
		p := &f.parts[i]
		if charset := p.content; p.name == "_charset_" && !p.file && !isUTF8(string(charset[:min(len(charset), 20)])) {
			return nil, fmt.Errorf("%w but that of the field _charset_", ErrCharset)
		}
		named, err := p.isNamed(name)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: form %s is there as %q", err, name, p.name)
		case !named:
			continue
		case p.file:
			files = true
			continue
		}
		if err := p.checkText(); err != nil {
			return nil, fmt.Errorf("%w, in form %s", err, name)
		}
		values = append(values, p.content)
	}
	if files && len(values) > 0 {
		return nil, fmt.Errorf("%w: form %s is there as a field and as a file", ErrAmbiguous, name)
	}
	return values, nil
}

// Field returns the value of the field of that name, as Message.Read does. found says
// whether there is one.
func (f *Multipart) Field(name string) (value []byte, found bool, err error) {
	values, err := f.values(name)
	if err != nil || len(values) == 0 {
		return nil, false, err
	}
	if slices.ContainsFunc(values, func(v []byte) bool { return !bytes.Equal(v, values[0]) }) {
		return nil, false, several(Location{In: Form, Name: name})
	}
	return values[0], true, nil
}

// Cut removes the parts of that name, each as a whole, and returns what is left. It takes
// the place of the body that was parsed: neither that nor what was found in it can be used
// any more.
func (f *Multipart) Cut(name string) []byte {
	left := f.body[:f.first]
	for i := range f.parts {
		if p := &f.parts[i]; p.name != name {
			left = append(left, f.body[p.start:p.end]...)
		}
	}
	return append(left, f.body[f.end():]...)
}

// end returns where the last delimiter stands.
func (f *Multipart) end() int {
	if len(f.parts) == 0 {
		return f.first
	}
	return f.parts[len(f.parts)-1].end
}

// multipartValues returns the values of the fields of that name in the message's body.
func (m *Message) multipartValues(name string) ([]string, error) {
	f, err := ParseMultipart(m.Header, m.Body)
	if err != nil {
		return nil, err
	}
	all, err := f.values(name)
	values := make([]string, len(all))
	for i, v := range all {
		values[i] = string(v)
	}
	return values, err
}

// quotable reports whether a name of a field stands in a header for all readers as it is.
func quotable(name string) bool {
	control := strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
	return !control && !strings.Contains(name, `"`) && len(spellings(name)) == 0 && !misleads(name)
}
