package inject

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrField is wrapped by the error about a field of a form that does not hold the JSON in
// which a value is looked for, or put.
var ErrField = errors.New("field is not usable JSON")

// splitField splits the name of a field at its first dot: some senders put JSON into a
// field of a form, and the rest is a path in that. ok is false if there is none.
func splitField(name string) (field Location, path path, ok bool) {
	before, after, found := strings.Cut(name, ".")
	if !found || before == "" || strings.HasPrefix(after, "/") {
		return Location{}, path, false
	}
	path, err := parsePath(after)
	return Location{In: Form, Name: before}, path, err == nil
}

// checkFieldName refuses the name of a field that looks like one with a path, and is none.
func checkFieldName(name string) error {
	field, after, found := strings.Cut(name, ".")
	if !found {
		return nil
	}
	hint := "; after the name of the field write a dotted path in the JSON that the field holds, such as payload.data.0.id"
	switch {
	case field == "" || after == "" || strings.HasSuffix(after, ".") || strings.Contains(name, ".."):
		return fmt.Errorf("%w: form name %q has an empty part%s", ErrLocation, name, hint)
	case strings.HasPrefix(after, "/"):
		return fmt.Errorf("%w: form name %q has a slash after its dot%s", ErrLocation, name, hint)
	case strings.HasPrefix(after, "$"):
		return fmt.Errorf("%w: form name %q has a $ after its dot%s", ErrLocation, name, hint)
	case strings.ContainsAny(after, "[]"):
		return fmt.Errorf("%w: form name %q has brackets after its dot%s", ErrLocation, name, hint)
	case slices.Contains(strings.Split(after, "."), "*"):
		return fmt.Errorf("%w: form name %q has a *, and no path means several members%s", ErrLocation, name, hint)
	case strings.Count(after, ".") >= MaxDepth:
		return fmt.Errorf("%w: the path in form name %q has more than %d parts", ErrLocation, name, MaxDepth)
	}
	return nil
}

// readForm reads a field of that name or, if there is none, the JSON in the field that
// stands before the first dot.
func (m *Message) readForm(at Location) (Value, error) {
	values, err := m.readFields(at)
	if err != nil {
		return Value{}, err
	}
	field, path, ok := splitField(at.Name)
	if len(values) > 0 || !ok {
		return withoutMark(at, values)
	}
	text, there, err := m.readHolder(field)
	if err != nil || !there {
		return Value{}, err
	}
	spot, err := scan(text, path, 0)
	if err == nil {
		err = spot.ambiguous
	}
	if err != nil {
		return Value{}, fmt.Errorf("%w: %s: %w", ErrField, field, err)
	}
	if !spot.found {
		return Value{}, nil
	}
	return jsonValue(text[spot.start:spot.end]), nil
}

// withoutMark returns the one value of a field. Some readers read past a byte order mark in
// it.
func withoutMark(at Location, values []string) (Value, error) {
	value, err := only(at, values)
	if strings.HasPrefix(value.Text, string(byteOrderMark)) {
		return Value{}, fmt.Errorf("%w: %s begins with a byte order mark", ErrAmbiguous, at)
	}
	return value, err
}

// readHolder returns the one value of a field that may hold JSON.
func (m *Message) readHolder(field Location) (text []byte, there bool, err error) {
	values, err := m.readFields(field)
	if err != nil || len(values) == 0 {
		return nil, false, err
	}
	value, err := only(field, values)
	return []byte(value.Text), true, err
}

// readFields returns the values of all fields of that name, if all readers would read the
// same.
func (m *Message) readFields(at Location) ([]string, error) {
	contentType := m.Header.Get("Content-Type")
	switch {
	case !IsForm(contentType):
		return nil, fmt.Errorf("%w: its Content-Type is %q", ErrNotForm, contentType)
	case IsMultipart(contentType):
		return m.multipartValues(at.Name)
	}
	form := bytes.TrimPrefix(m.Body, byteOrderMark)
	if i := bytes.IndexFunc(form, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		return nil, fmt.Errorf("%w: it has a control character at byte %d", ErrNotForm, i)
	}
	return readParameter(at, string(form))
}

// formValues returns the values at a location in a form. A body in parts, and JSON in a
// field, are read as Read does it.
func (m *Message) formValues(at Location) ([]string, error) {
	contentType := m.Header.Get("Content-Type")
	switch {
	case len(m.Body) == 0:
		return nil, nil
	case !IsForm(contentType):
		return nil, fmt.Errorf("%w: its Content-Type is %q", ErrNotForm, contentType)
	case !IsMultipart(contentType):
		if values := GetForm(bytes.TrimPrefix(m.Body, byteOrderMark), at.Name); len(values) > 0 {
			return values, nil
		}
		if _, _, ok := splitField(at.Name); !ok {
			return nil, nil
		}
	}
	value, err := m.Read(at)
	if err != nil || value == (Value{}) {
		return nil, err
	}
	return []string{value.Text}, nil
}

// setForm puts a value into a field of that name if there is one, else into the JSON in the
// field that stands before the first dot, else into another field of that name.
func (m *Message) setForm(name, value string) error {
	field, path, ok := splitField(name)
	if !ok || len(m.Body) == 0 {
		return m.setField(name, value)
	}
	values, err := m.readFields(Location{In: Form, Name: name})
	if err != nil {
		return err
	}
	if len(values) > 0 {
		return m.setField(name, value)
	}
	text, there, err := m.readHolder(field)
	if err != nil {
		return err
	}
	if !there || !holdsMembers(text) {
		return m.setField(name, value)
	}
	changed, err := SetJSON(nil, text, path.text, Quote(value))
	if err != nil {
		return fmt.Errorf("%w, in %s", err, field)
	}
	if IsMultipart(m.Header.Get("Content-Type")) {
		return m.replaceParts(field.Name, changed)
	}
	m.Body = SetForm(m.Room[:0], m.Body, field.Name, string(changed))
	return nil
}

// holdsMembers reports whether a text is a JSON object or array.
func holdsMembers(text []byte) bool {
	spot, err := scan(text, path{}, 0)
	return err == nil && (text[spot.start] == '{' || text[spot.start] == '[')
}

// setField puts a value into the field of that name.
func (m *Message) setField(name, value string) error {
	if IsMultipart(m.Header.Get("Content-Type")) {
		return m.setPart(name, value)
	}
	m.Body = SetForm(m.Room[:0], m.Body, name, value)
	return nil
}
