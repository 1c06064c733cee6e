package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/linear"
)

func FuzzStateInParts(f *testing.F) {
	const state = "2d3cd3d3-9e6c-40c0-819f-8c49540f6b83"
	for _, body := range []string{parts("state", state), parts("a", "1", "state", state, "state", state+"?b=2"), parts("State", state), "--B--", ""} {
		f.Add([]byte(body), "state", true)
		f.Add([]byte(body), "a", false)
	}
	header := http.Header{"Content-Type": {partsType}}
	f.Fuzz(func(t *testing.T, body []byte, parameter string, inQuery bool) {
		in := &engine.Incoming{Parameter: parameter, Call: &callback.Call{Body: callback.NewBody(body)}}
		if inQuery {
			in.State, _ = callback.ParseUUID(state)
		}
		if !takePartState(in, header) {
			return
		}
		again := &engine.Incoming{Parameter: parameter, Call: &callback.Call{Body: in.Call.Body}}
		if in.State.IsZero() || takePartState(again, header) {
			t.Errorf("with the state %s the rest is %q", in.State, in.Call.Body.Data)
		}
	})
}

func TestTakingTheStateOutOfPartsIsLinear(t *testing.T) {
	header := http.Header{"Content-Type": {partsType}}
	linear.Check(t, 100, func(n int) func() {
		body := parts(strings.Split(strings.Repeat("state,"+secretText+",b,,", n/2), ",")[:2*n]...)
		return func() {
			in := &engine.Incoming{Parameter: "state", Call: &callback.Call{Body: callback.NewBody([]byte(body))}}
			if !takePartState(in, header) {
				t.Fatal("the state is not found")
			}
		}
	})
}
