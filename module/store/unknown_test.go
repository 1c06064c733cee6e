package store_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// wholeRecord returns a record that has every structure that a record can have.
func wholeRecord() *callback.Record {
	r := richRecord()
	r.Latest, r.Answer = r.Call, r.Ack
	r.Own = &callback.Own{Ask: "/ask", Reply: &callback.Fields{Type: callback.TypeResponse, Body: "hello"}}
	r.Request = &callback.Request{Method: "POST", URI: "/", Body: callback.NewBody([]byte("request"))}
	r.Job = &callback.Job{Block: callback.ThenBlock}
	r.Delivery = &callback.Delivery{URL: "https://client.example.com/", Total: 3}
	r.Outbox = []callback.Parcel{{Phase: callback.Failed, Call: r.Call, Failure: r.Failure}, {Phase: callback.Resolved, Call: r.Call}}
	return r
}

// later are members of a later release.
func later() map[any]any {
	return map[any]any{
		uint64(63): "text", uint64(200): []any{uint64(1), map[any]any{uint64(1): "nested", "name": nil}}, uint64(1 << 40): []byte{1, 2, 3},
		int64(-7): true, "name": 1.5,
	}
}

// extend adds members of a later release to every structure below value, a decoded record,
// and returns how many structures it has. Structures are the only maps in a record.
func extend(value any) (structures int) {
	switch v := value.(type) {
	case map[any]any:
		structures = 1
		for _, inner := range v {
			structures += extend(inner)
		}
		for key, inner := range later() {
			v[key] = inner
		}
	case []any:
		for _, inner := range v {
			structures += extend(inner)
		}
	}
	return structures
}

// generic decodes the payload of a record without knowing what it is.
func generic(t *testing.T, record []byte) map[any]any {
	t.Helper()
	var value map[any]any
	mode, err := cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid}.DecMode()
	if err == nil {
		err = mode.Unmarshal(record[envelopeLength:], &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func ofLaterRelease(t *testing.T, value map[any]any) []byte {
	t.Helper()
	payload, err := cbor.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return envelope(payload)
}

func decode(t *testing.T, b []byte) *callback.Record {
	t.Helper()
	r, err := store.DecodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMembersOfALaterReleaseSurviveInEveryStructure(t *testing.T) {
	want := generic(t, encode(t, wholeRecord()))
	// The record, four calls, two responses and a request with a body each, three failures,
	// and one each of reply, own reply, own, job and delivery; two parcels.
	if n := extend(want); n != 1+4*2+2*2+2+2+1+2+1+1+2 {
		t.Fatalf("the record has %d structures", n)
	}
	r := decode(t, ofLaterRelease(t, want))
	if !r.HasUnknown() {
		t.Error("nothing unknown was found")
	}
	for range 2 {
		b := encode(t, r)
		if got := generic(t, b); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		if len(b) > r.Size() {
			t.Errorf("%d bytes, and it says %d", len(b), r.Size())
		}
		r = decode(t, b)
	}
}

func TestMembersOfALaterReleaseLeaveWithTheirStructure(t *testing.T) {
	value := generic(t, encode(t, wholeRecord()))
	extend(value)
	r := decode(t, ofLaterRelease(t, value))
	next := *r
	next.Reason, next.Job, next.Latest = "changed", nil, nil
	next.Call = &callback.Call{Method: "PUT"}
	delivery := *r.Delivery
	delivery.Attempts = 7
	next.Delivery, next.Outbox = &delivery, r.Outbox[1:]

	got := decode(t, encode(t, &next))
	if got.Reason != "changed" || got.Job != nil || got.Latest != nil || got.Call.Unknown != "" || got.Delivery.Attempts != 7 {
		t.Errorf("%+v", got)
	}
	if got.Unknown != r.Unknown || got.Delivery.Unknown != r.Delivery.Unknown || len(got.Outbox) != 1 || got.Outbox[0].Unknown != r.Outbox[1].Unknown ||
		got.Ack.Body.Unknown != r.Ack.Body.Unknown || r.Unknown == "" {
		t.Errorf("%+v", got)
	}
}

func TestRecordThatThisReleaseKnowsHasNothingUnknown(t *testing.T) {
	r := decode(t, encode(t, wholeRecord()))
	if r.HasUnknown() || !reflect.DeepEqual(r, wholeRecord()) {
		t.Errorf("got %+v", r)
	}
}

// A structure that keeps no unknown members would lose them without any error.
func TestEveryStructureOfARecordKeepsUnknownMembers(t *testing.T) {
	seen := make(map[reflect.Type]bool)
	var look func(reflect.Type)
	look = func(s reflect.Type) {
		for s.Kind() == reflect.Pointer || s.Kind() == reflect.Slice {
			s = s.Elem()
		}
		if s.Kind() != reflect.Struct || seen[s] || s == reflect.TypeFor[callback.Field]() {
			return
		}
		seen[s] = true
		if f, ok := s.FieldByName("Unknown"); !ok || f.Tag.Get("cbor") != "-" {
			t.Errorf("%s has no place for them", s)
		}
		for i := range s.NumField() {
			if s.Field(i).Tag.Get("cbor") != "-" {
				look(s.Field(i).Type)
			}
		}
	}
	look(reflect.TypeFor[callback.Record]())
	if len(seen) < 12 {
		t.Errorf("a record has only %d structures", len(seen))
	}
}

// Whatever place a structure has in a record, HasUnknown looks at it.
func TestUnknownMembersAreFoundInEveryStructure(t *testing.T) {
	var set func(v reflect.Value, found func())
	set = func(v reflect.Value, found func()) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				set(v.Elem(), found)
			}
		case reflect.Slice:
			for i := range v.Len() {
				set(v.Index(i), found)
			}
		case reflect.Struct:
			if f := v.FieldByName("Unknown"); f.IsValid() {
				f.SetString("\x18\xc8\x01")
				found()
				f.SetString("")
			}
			for i := range v.NumField() {
				if v.Type().Field(i).Tag.Get("cbor") != "-" && v.Field(i).CanSet() {
					set(v.Field(i), found)
				}
			}
		}
	}
	r, places := decode(t, encode(t, wholeRecord())), 0
	set(reflect.ValueOf(r), func() {
		places++
		if !r.HasUnknown() {
			t.Errorf("place %d: not found", places)
		}
		if back := decode(t, encode(t, r)); !reflect.DeepEqual(back, r) {
			t.Errorf("place %d: got %+v", places, back)
		}
	})
	if places != 24 {
		t.Errorf("there are %d places", places)
	}
}

func TestUnknownMembersOfADamagedRecordAreDamage(t *testing.T) {
	for name, payload := range map[string][]byte{
		"one too few": {0xa2, 0x02, 0x01, 0x18, 0xc8}, "cut": {0xa2, 0x02, 0x01, 0x18, 0xc8, 0x63, 'n', 'e'}, "a tag": {0xa2, 0x02, 0x01, 0x18, 0xc8, 0xc1, 0x00},
		"one twice": {0xa3, 0x02, 0x01, 0x18, 0xc8, 0x01, 0x18, 0xc8, 0x02}, "indefinite": {0xa2, 0x02, 0x01, 0x18, 0xc8, 0x9f, 0xff},
	} {
		if r, err := store.DecodeRecord(envelope(payload)); !errors.Is(err, store.ErrDamaged) || r != nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}
