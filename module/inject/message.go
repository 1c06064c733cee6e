package inject

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/unpack"
)

// ErrNotForm is wrapped by every error about a form field and a body that is no form, by
// its Content-Type or by how it is written.
var ErrNotForm = errors.New("body is not a form")

// Message is the part of an HTTP message that values are read from and put into. A
// response has no query.
type Message struct {
	Header http.Header
	// Query is the raw query.
	Query string
	Body  []byte
	// Room is where a body goes into which a value was put, if its capacity is enough: see
	// Growth.
	Room []byte
	// Unpacked is the body for those who look into it, if it is packed; nil if they cannot.
	Unpacked *unpack.Body
	// plain says that the body is read as it stands, whatever the header says of its coding.
	plain bool
}

// Values returns the values at the location, in order: none if nothing is there, and
// several if a header, a parameter or a field is given more than once. JSON and XML are read
// whatever the Content-Type says.
//
// It is an error if the body cannot be read in the way that the location requires; the
// error wraps ErrNotForm, ErrNotJSON or ErrPath, is one of Read about a form or XML, or says
// why the body cannot be unpacked. An empty body has no form fields and no elements, which is
// no error. A body whose coding is not known is read as it stands.
func (m *Message) Values(at Location) ([]string, error) {
	if at.InBody() && m.Coding() != "" {
		var err error
		if m, err = m.asItStands(); err != nil {
			return nil, err
		}
	}
	switch at.In {
	case Header:
		return m.Header.Values(at.Name), nil
	case Query:
		return GetQuery(m.Query, at.Name), nil
	case Form:
		return m.formValues(at)
	case JSON:
		value, found, err := GetJSON(m.Body, at.Name)
		if err != nil || !found {
			return nil, err
		}
		return []string{value}, nil
	case XML:
		value, found, err := m.readXML(at)
		if err == nil {
			err = value.checkWhole(at)
		}
		if err != nil || !found {
			return nil, err
		}
		return []string{value.Text}, nil
	}
	return nil, at.Validate()
}

// Get returns the first value at the location, "" if there is none. Its errors are
// those of Values.
func (m *Message) Get(at Location) (string, error) {
	values, err := m.Values(at)
	if err != nil || len(values) == 0 {
		return "", err
	}
	return values[0], nil
}

// Only returns the value at the location if there is one, or the same several times, else
// "". Its errors are those of Values.
func (m *Message) Only(at Location) (string, error) {
	values, err := m.Values(at)
	if err != nil || len(values) == 0 || slices.ContainsFunc(values, func(v string) bool { return v != values[0] }) {
		return "", err
	}
	return values[0], nil
}

// Set puts a value at the location, in place of what is there. The value of a JSON
// member becomes a string. The errors are those of SetJSON and SetXML, and of Read for a
// form.
func (m *Message) Set(at Location, value string) error {
	switch at.In {
	case Header:
		m.Header.Set(at.Name, value)
	case Query:
		m.Query = SetQuery(m.Query, at.Name, value)
	case Form:
		return m.setForm(at.Name, value)
	case JSON:
		return m.SetLiteral(at, Quote(value))
	case XML:
		body, err := SetXML(m.Room[:0], m.Body, at.Name, value)
		if err != nil {
			return err
		}
		m.Body = body
	}
	return nil
}

// SetLiteral puts a JSON literal at the location, which must be one in a JSON body.
func (m *Message) SetLiteral(at Location, literal []byte) error {
	body, err := SetJSON(m.Room[:0], m.Body, at.Name, literal)
	if err != nil {
		return err
	}
	m.Body = body
	return nil
}

// Growth returns by how many bytes the body becomes longer at most when that value, or a
// literal of that length, is put into it, and what is taken meanwhile.
func (m *Message) Growth(at Location, value string) int {
	if !at.InBody() {
		return 0
	}
	// A character becomes six at most, such as \u0001 or &quot;, and a part of a path is
	// surrounded by quotes, a colon and braces, or by tags.
	const escaped, surrounding, tags = 6, 5, len("<></>") + 2*maxPrefix
	grow := escaped*(len(value)+len(at.Name)) + surrounding*(len(at.Name)+2)
	switch at.In {
	case JSON:
		return grow
	case XML:
		return grow + tags*(strings.Count(at.Name, "/")+1)
	}
	if _, _, ok := splitField(at.Name); ok {
		// The field is taken out, changed, and escaped again.
		grow = maxEscaped*grow + (maxEscaped+2)*len(m.Body)
	}
	// A part begins with a delimiter, which has 70 bytes at most, and its header.
	const part = 200
	return grow + part
}
