package store

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// shape is what this release knows of a stored structure: its members, by their keys.
// A member that is no structure, or holds none, has the value nil.
type shape map[uint64]*member

// member is a member of a structure that is, or lists, structures itself.
type member struct {
	// field is the index of the Go field.
	field int
	shape shape
}

// recordShape is the shape of a record.
var recordShape = shapeOf(reflect.TypeFor[callback.Record]())

// unknownField is the name of the Go field for members that are not known.
const unknownField = "Unknown"

// shapeOf returns the shape of a structure, nil for a type that keeps no unknown members.
func shapeOf(t reflect.Type) shape {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	if _, keeps := t.FieldByName(unknownField); !keeps {
		return nil
	}
	s := make(shape)
	for i := range t.NumField() {
		text, _, _ := strings.Cut(t.Field(i).Tag.Get("cbor"), ",")
		key, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			continue
		}
		s[key] = nil
		if inner := shapeOf(t.Field(i).Type); inner != nil {
			s[key] = &member{field: i, shape: inner}
		}
	}
	return s
}

// transfer goes through an encoded structure and its Go value at once. take is called with
// the members of each structure that are not known. The bytes are returned with what put
// returns added to each structure.
type transfer struct {
	take func(v reflect.Value, encoded []byte)
	put  func(v reflect.Value) string
}

// keepUnknown puts the members that are not known into the record that was decoded from
// the payload.
func keepUnknown(payload []byte, r *callback.Record) error {
	t := transfer{
		take: func(v reflect.Value, encoded []byte) { v.SetString(string(encoded)) },
		put:  func(reflect.Value) string { return "" },
	}
	_, err := t.run(payload, r)
	return err
}

// addUnknown returns the payload with the members that are not known, which an encoded
// record is still without.
func addUnknown(payload []byte, r *callback.Record) ([]byte, error) {
	t := transfer{
		take: func(reflect.Value, []byte) {},
		put:  func(v reflect.Value) string { return v.String() },
	}
	return t.run(payload, r)
}

func (t transfer) run(payload []byte, r *callback.Record) ([]byte, error) {
	out, rest, ok := t.item(nil, payload, reflect.ValueOf(r), recordShape)
	if !ok || len(rest) > 0 {
		return nil, fmt.Errorf("%w: a record cannot be read", ErrDamaged)
	}
	return out, nil
}

// item handles one item, which is a structure, a list of structures, or neither. It returns
// out with the item appended, and what follows the item.
func (t transfer) item(out, b []byte, v reflect.Value, s shape) (_, rest []byte, ok bool) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	major, count, rest, ok := readHead(b)
	switch {
	case ok && major == cborMap && v.Kind() == reflect.Struct:
		return t.structure(out, rest, count, v, s)
	case ok && major == cborArray && v.Kind() == reflect.Slice && count == uint64(v.Len()):
		out = appendHead(out, cborArray, count)
		for i := 0; ok && i < v.Len(); i++ {
			out, rest, ok = t.item(out, rest, v.Index(i), s)
		}
		return out, rest, ok
	}
	whole, rest, ok := cutItem(b)
	return append(out, whole...), rest, ok
}

// structure handles the members of a structure, of which there are count.
func (t transfer) structure(out, rest []byte, count uint64, v reflect.Value, s shape) (_, _ []byte, ok bool) {
	kept := v.FieldByName(unknownField)
	more := t.put(kept)
	var unknown []byte
	out = appendHead(out, cborMap, count+countMembers([]byte(more)))
	for range count {
		begin := rest
		key, value, ok := cutItem(rest)
		if !ok {
			return nil, nil, false
		}
		major, number, _, _ := readHead(key)
		inner, known := s[number]
		if known = known && major == 0; known && inner != nil {
			if out, rest, ok = t.item(append(out, key...), value, v.Field(inner.field), inner.shape); !ok {
				return nil, nil, false
			}
			continue
		}
		if _, rest, ok = cutItem(value); !ok {
			return nil, nil, false
		}
		whole := begin[:len(begin)-len(rest)]
		out = append(out, whole...)
		if !known {
			unknown = append(unknown, whole...)
		}
	}
	t.take(kept, unknown)
	return append(out, more...), rest, true
}

// countMembers returns how many keys with their values there are.
func countMembers(b []byte) (n uint64) {
	for ok := true; len(b) > 0 && ok; n++ {
		if _, b, ok = cutItem(b); ok {
			_, b, ok = cutItem(b)
		}
	}
	return n
}

// appendHead appends the head of an item with that major type and argument.
func appendHead(b []byte, major byte, argument uint64) []byte {
	major <<= 5
	switch {
	case argument < 24:
		return append(b, major|byte(argument))
	case argument <= 0xff:
		return append(b, major|24, byte(argument))
	case argument <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(argument))
	case argument <= 0xffffffff:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(argument))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), argument)
}
