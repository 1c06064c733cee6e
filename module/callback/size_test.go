package callback_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// walk visits everything in a value that is stored, the parts before the whole. It fills
// in what is empty: a slice gets one element, a string one letter.
func walk(v reflect.Value, path string, visit func(path string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		walk(v.Elem(), path, visit)
		return
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			// A body with a file has no data in the record.
			inFile := v.Type() == reflect.TypeFor[callback.Body]() && f.Name == "File"
			if f.IsExported() && f.Tag.Get("cbor") != "-" && !inFile {
				walk(v.Field(i), path+"."+f.Name, visit)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			walk(v.Index(i), fmt.Sprintf("%s[%d]", path, i), visit)
		}
	case reflect.String:
		if v.Len() == 0 {
			v.SetString("x")
		}
	}
	visit(path, v)
}

// full returns a record with every field filled, and calls visit for each part of it.
func full(visit func(path string, v reflect.Value)) *callback.Record {
	r := new(callback.Record)
	walk(reflect.ValueOf(r), "", visit)
	return r
}

func TestSizeCountsEverythingThatCanGrow(t *testing.T) {
	const grown = 10_000
	var growing []string
	r := full(func(path string, v reflect.Value) {
		if v.Kind() == reflect.String || v.Kind() == reflect.Slice {
			growing = append(growing, path)
		}
	})
	size := r.Size()
	for _, name := range growing {
		larger := full(func(path string, v reflect.Value) {
			switch {
			case path != name:
			case v.Kind() == reflect.String:
				v.SetString(strings.Repeat("x", grown))
			default:
				v.Set(reflect.MakeSlice(v.Type(), grown, grown))
			}
		})
		if strings.HasPrefix(name, ".Outbox") && len(larger.Outbox) == grown {
			for i := range larger.Outbox {
				larger.Outbox[i].Call = new(callback.Call)
			}
		}
		if larger.Size() < size+grown-1 {
			t.Errorf("%s does not count: %d bytes were %d", name, larger.Size(), size)
		}
	}
}

func TestBodiesInFilesTakeNoRoomInTheRecord(t *testing.T) {
	r := full(func(string, reflect.Value) {})
	size := r.Size()
	for _, b := range r.Bodies() {
		*b = callback.Body{File: "f", Data: make([]byte, 1<<20), Size: 1 << 20}
	}
	if r.Size() > size+1024 {
		t.Errorf("%d bytes were %d", r.Size(), size)
	}
}

func TestBodiesAreAllThereAre(t *testing.T) {
	var want []*callback.Body
	r := full(func(_ string, v reflect.Value) {
		if v.CanAddr() {
			if b, is := v.Addr().Interface().(*callback.Body); is {
				want = append(want, b)
			}
		}
	})
	got := r.Bodies()
	if len(got) != len(want) || len(want) != 6 {
		t.Errorf("%d of %d bodies", len(got), len(want))
	}
	for _, b := range want {
		if !slices.Contains(got, b) {
			t.Errorf("a body is missing: %p is not in %v", b, got)
		}
	}
}
