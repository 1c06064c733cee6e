package command

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestEventsAreReadAsTheStandardSaysIt(t *testing.T) {
	t.Parallel()
	r := newEventReader(strings.NewReader("id: 1\n\n:\n\nevent: change\nid: 2\ndata: {\"a\":\"b: c\"}\n\nevent:lost\ndata:{}\n\nunknown: x\n\nevent: change\ndata: {}"))
	for _, want := range []event{
		{id: "1"}, {id: "1"}, {name: "change", id: "2", data: []byte(`{"a":"b: c"}`)}, {name: "lost", id: "2", data: []byte("{}")}, {id: "2"},
	} {
		got, err := r.next()
		if err != nil || got.name != want.name || got.id != want.id || string(got.data) != string(want.data) {
			t.Errorf("%v: read %+v, want %+v", err, got, want)
		}
	}
	if e, err := r.next(); !errors.Is(err, io.EOF) {
		t.Errorf("an event without an end is %+v, %v", e, err)
	}
	if _, err := newEventReader(strings.NewReader(strings.Repeat("x", maxEventLine+1))).next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a line without an end is read: %v", err)
	}
}
