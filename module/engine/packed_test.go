package engine

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// gzipped returns text as gzip.
func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// packedCall returns a call with a packed body.
func (b *bed) packedCall(t *testing.T, cb *Callback, text string) Incoming {
	t.Helper()
	body := gzipped(t, text)
	return Incoming{State: b.store.Secret().State(cb.ID), Call: &callback.Call{
		Method: "POST", Header: callback.Header{{Name: "Content-Encoding", Value: "gzip"}}, Body: callback.NewBody(body),
		Unpacked: b.Packed(body, b.Memory(memory.OwnerOf(cb.ID))),
	}}
}

func TestCallThatCannotBeLookedIntoForWantOfMemoryChangesNothing(t *testing.T) {
	status := inject.Location{In: inject.JSON, Name: "status"}
	for name, policy := range map[string]callback.Policy{
		"judged by it":  {Failed: []callback.Match{{Location: status, Values: []string{"failed"}}}},
		"not retryable": {Failed: []callback.Match{{Location: status, Values: []string{"failed"}}}, Once: true},
		"replied to":    {Respond: &callback.Respond{Status: 200, Body: "{http.callback.call.body.status}"}},
		"asked about":   {Respond: &callback.Respond{Status: 200, Body: "{http.callback.call.body.status}"}, Ask: "/decide"},
	} {
		b := newBed(t, plenty, policy)
		cb := b.create(t)
		in := b.packedCall(t, cb, `{"status":"ok"}`)
		in.Ask = func(_ context.Context, _ *Callback, _ *callback.Call, fields callback.Fields) *callback.Asked {
			if fields.Body != "ok" {
				t.Errorf("%s: the app is shown %q", name, fields.Body)
			}
			return &callback.Asked{}
		}
		b.SetLimits(Limits{MaxMemory: 1000, MaxBody: 1000, MaxWaiting: plenty.MaxWaiting, MaxHeld: plenty.MaxHeld})
		if v, _, err := b.Receive(t.Context(), in); !errors.Is(err, ErrBusy) {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
		if after, err := b.Find(t.Context(), store.ByID(cb.ID)); err != nil || after.Phase != callback.Waiting || after.Calls != 0 {
			t.Errorf("%s: the callback has changed: %+v, %v", name, after, err)
		}
		b.SetLimits(plenty)
		if v, _, err := b.Receive(t.Context(), in); err != nil || v.Kind != callback.Accepted {
			t.Errorf("%s, with memory: %+v, %v", name, v, err)
		}
		in.Call.Unpacked.Release()
		if n := b.memory.Used(); n != 0 {
			t.Errorf("%s: %d bytes are still counted", name, n)
		}
	}
}
