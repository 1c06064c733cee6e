package inject

import (
	"bytes"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// part is a part of a multipart/form-data body.
type part struct {
	// start and end are where its delimiter and the next one stand in the body.
	start, end int
	// header has the lines of its header, without the CRLF of the last.
	header  []byte
	content []byte
	name    string
	// file: it has a file name, so all readers take it for a file.
	file bool
	// maybeFile: only some readers take it for a file.
	maybeFile bool
	// fields are the fields of the header that say how the content is to be read.
	fields map[string]string
}

// readFields are the fields of a part's header that have a meaning here. None may be there
// twice.
var readFields = []string{"content-disposition", "content-length", "content-transfer-encoding", "content-type"}

// readPart reads what stands between two delimiters.
func readPart(text []byte) (part, error) {
	within := text[:min(len(text), maxPartHeader)]
	length := bytes.Index(within, []byte("\r\n\r\n"))
	switch {
	case length < 0 && len(within) < len(text):
		return part{}, fmt.Errorf("%w: its header is longer than %d bytes, or has no end", ErrNotForm, maxPartHeader)
	case length < 0:
		return part{}, fmt.Errorf("%w: its header has no end", ErrNotForm)
	}
	p := part{header: text[:length], content: text[length+2*len(crlf):], fields: make(map[string]string)}
	for line := range strings.SplitSeq(string(p.header), "\r\n") {
		if err := p.readLine(line); err != nil {
			return part{}, err
		}
	}
	if err := p.readDisposition(); err != nil {
		return part{}, err
	}
	if p.isNested() && !p.file {
		return part{}, fmt.Errorf("%w: it has parts of its own", ErrAmbiguous)
	}
	return p, nil
}

// readLine reads a line of the header. One that continues another, or has a control
// character such as LF, is none.
func (p *part) readLine(line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !httpguts.ValidHeaderFieldName(name) || !utf8.ValidString(value) ||
		strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%w: its header has a line that is none, or a bare line end", ErrNotForm)
	}
	if name = strings.ToLower(name); !slices.Contains(readFields, name) {
		return nil
	}
	if _, twice := p.fields[name]; twice {
		return fmt.Errorf("%w: its header has %s twice", ErrAmbiguous, name)
	}
	p.fields[name] = strings.Trim(value, " ")
	return nil
}

// readDisposition finds out how the part is named, and whether it is a file.
func (p *part) readDisposition() error {
	d, err := parseTagged(p.fields["content-disposition"])
	if err != nil {
		return fmt.Errorf("%w, in Content-Disposition", err)
	}
	if d.kind != "form-data" {
		return fmt.Errorf("%w: its Content-Disposition is not form-data", ErrNotForm)
	}
	if d.mentions("name", "name", "filename", "filename*") {
		return fmt.Errorf("%w: some readers find another name in its Content-Disposition", ErrAmbiguous)
	}
	p.name, _ = d.get("name")
	fileName, isFile := d.get("filename")
	_, extended := d.get("filename*")
	_, typed := p.fields["content-type"]
	p.file = isFile && (fileName != "" || typed)
	p.maybeFile = !p.file && (isFile || extended)
	return nil
}

// isNested reports whether the part is a multipart message itself.
func (p *part) isNested() bool {
	kind, _, _ := strings.Cut(strings.ToLower(p.fields["content-type"]), "/")
	return strings.TrimSpace(kind) == "multipart"
}

// isNamed reports whether all readers know the part by that name. It is an error if only
// some do.
func (p *part) isNamed(name string) (bool, error) {
	others := spellings(p.name)
	if p.name == name {
		if len(others) > 0 || p.maybeFile || p.isNested() {
			return false, ErrAmbiguous
		}
		return true, nil
	}
	if slices.ContainsFunc(append(others, p.name), func(s string) bool { return strings.EqualFold(s, name) }) {
		return false, ErrAmbiguous
	}
	return false, nil
}

// checkText makes sure that all readers find the same text in the part.
func (p *part) checkText() error {
	encoding := strings.ToLower(p.fields["content-transfer-encoding"])
	length, hasLength := p.fields["content-length"]
	switch {
	case !slices.Contains([]string{"", "7bit", "8bit", "binary"}, encoding):
		return fmt.Errorf("%w: its Content-Transfer-Encoding is %q", ErrAmbiguous, encoding)
	case hasLength && length != strconv.Itoa(len(p.content)):
		return fmt.Errorf("%w: its Content-Length is not its length", ErrAmbiguous)
	case !utf8.Valid(p.content):
		return fmt.Errorf("%w: it is not UTF-8", ErrAmbiguous)
	}
	contentType, typed := p.fields["content-type"]
	if !typed {
		return nil
	}
	t, err := parseTagged(contentType)
	if err != nil {
		return fmt.Errorf("%w, in the Content-Type of a part", err)
	}
	if charset, given := t.get("charset"); given && !isUTF8(charset) {
		return fmt.Errorf("%w but %q", ErrCharset, charset)
	}
	return nil
}

// spellings returns what a name in a header is for readers that undo escapes; none if it is
// the same for all.
func spellings(name string) (others []string) {
	if plain, err := url.PathUnescape(name); err == nil && plain != name {
		others = append(others, plain)
	}
	if strings.Contains(name, `\`) {
		others = append(others, unescapeQuoted(name), strings.ReplaceAll(name, `\`, ""))
	}
	if strings.Contains(name, "=?") {
		plain, err := new(mime.WordDecoder).DecodeHeader(name)
		if err != nil || plain != name {
			others = append(others, plain)
		}
	}
	return others
}

// tagged is the value of a header with parameters, such as `form-data; name="a"`.
type tagged struct {
	// kind is what stands before the parameters, in lower case.
	kind string
	// names are those of the parameters, in lower case. values come without quotes, and
	// with the escapes that they have.
	names, values []string
}

// get returns a parameter, and whether it is there.
func (t tagged) get(name string) (string, bool) {
	if i := slices.Index(t.names, name); i >= 0 {
		return t.values[i], true
	}
	return "", false
}

// mentions reports whether a reader that looks for a parameter in the text finds it where
// there is another one.
func (t tagged) mentions(word string, expected ...string) bool {
	for i, name := range t.names {
		if strings.Contains(name, word) && !slices.Contains(expected, name) || misleads(t.values[i]) {
			return true
		}
	}
	return false
}

// misleads reports whether a value looks like parameters itself.
func misleads(value string) bool {
	value = strings.ToLower(value)
	return strings.Contains(value, "name=") || strings.Contains(value, "name*") || strings.Contains(value, "boundary=")
}

// parseTagged reads a header with parameters. It is stricter than RFC 9110: it takes only
// what all readers read in the same way.
func parseTagged(text string) (t tagged, err error) {
	kind, rest, more := strings.Cut(text, ";")
	t.kind = strings.ToLower(strings.Trim(kind, " \t"))
	for more {
		if rest = strings.TrimLeft(rest, " \t"); rest == "" {
			break
		}
		name, after, ok := strings.Cut(rest, "=")
		name = strings.ToLower(name)
		if !ok || !httpguts.ValidHeaderFieldName(name) || slices.Contains(t.names, name) {
			return t, fmt.Errorf("%w: readers can differ about the parameters", ErrAmbiguous)
		}
		if strings.Contains(name, "*") && name != "filename*" {
			return t, fmt.Errorf("%w: some readers do not know the parameter %s", ErrAmbiguous, name)
		}
		value, after, ok := cutValue(after)
		if after = strings.TrimLeft(after, " \t"); !ok || after != "" && after[0] != ';' {
			return t, fmt.Errorf("%w: readers can differ about the parameters", ErrAmbiguous)
		}
		t.names, t.values = append(t.names, name), append(t.values, value)
		_, rest, more = strings.Cut(after, ";")
	}
	return t, nil
}

// cutValue returns the token or the quoted string that a text begins with, and what
// follows. A string must end in the same place for readers that know escapes in it and for
// those that do not.
func cutValue(text string) (value, rest string, ok bool) {
	quoted, isQuoted := strings.CutPrefix(text, `"`)
	if !isQuoted {
		end := strings.IndexAny(text, "; \t")
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], httpguts.ValidHeaderFieldName(text[:end])
	}
	value, rest, ok = strings.Cut(quoted, `"`)
	escapes := len(value) - len(strings.TrimRight(value, `\`))
	return value, rest, ok && escapes%2 == 0
}

// unescapeQuoted undoes the escapes of a quoted string.
func unescapeQuoted(value string) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' && i+1 < len(value) {
			i++
		}
		b.WriteByte(value[i])
	}
	return b.String()
}
