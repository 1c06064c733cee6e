package answer

import (
	"net/http"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestClientsNameEventStreams(t *testing.T) {
	for _, c := range []struct {
		accept []string
		want   bool
	}{
		{nil, false},
		{[]string{"*/*"}, false},
		{[]string{"text/*"}, false},
		{[]string{"text/html, */*;q=0.8"}, false},
		{[]string{"text/event-stream"}, true},
		{[]string{"Text/Event-Stream ; charset=utf-8"}, true},
		{[]string{"application/json, text/event-stream"}, true},
		{[]string{"application/json", "text/event-stream;q=0.1"}, true},
		{[]string{"text/event-stream;q=0"}, false},
		{[]string{"text/event-stream; q=0.000, */*"}, false},
		{[]string{"text/event-streams, xtext/event-stream"}, false},
		{[]string{"text/event-stream;q=soon"}, false},
	} {
		if got := TakesEvents(http.Header{"Accept": c.accept}); got != c.want {
			t.Errorf("%q: %v", c.accept, got)
		}
	}
}

func TestEventIDsAreKnownAgain(t *testing.T) {
	id, proof := callback.NewUUID(), callback.NewUUID()
	for _, want := range []EventID{
		{Callback: id, Ended: true}, {Callback: id, Proof: proof}, {Callback: id, Calls: 17, Proof: proof}, {Callback: id, Calls: 999999999, Proof: proof},
	} {
		if got, ours := EventIDOf(http.Header{LastEventID: {want.String()}}); !ours || got != want {
			t.Errorf("%s is %+v, %v", want, got, ours)
		}
	}
}

// Upstreams have streams and ids of their own.
func TestIDsOfOtherStreamsAreNotOurs(t *testing.T) {
	id, proof := callback.NewUUID().String(), callback.NewUUID().String()
	for _, lines := range [][]string{
		nil, {""}, {"17"}, {id}, {id + "."}, {id + ".17"}, {id + ".17."}, {id + ".-1." + proof}, {id + ".01." + proof}, {id + ".1000000000." + proof},
		{id + ".ended"}, {id + ".end." + proof}, {id + ".1." + proof + " "}, {id + ".1." + proof, id + ".1." + proof}, {id + ".end\n"},
		{"00000000-0000-0000-0000-000000000000.end"}, {id + ".1.00000000-0000-0000-0000-000000000000"}, {id[:35] + "-.end"},
	} {
		if got, ours := EventIDOf(http.Header{LastEventID: lines}); ours {
			t.Errorf("%q is %+v", lines, got)
		}
	}
}
