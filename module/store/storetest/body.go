package storetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var bodies = []test{
	{"a body is read as it was stored", bodyIsRead},
	{"a body that a record refers to stays", bodyOfARecordStays},
	{"a body that is not what was stored is damaged", otherBodyIsDamaged},
}

func (h *house) putBody(data []byte) callback.Body {
	h.Helper()
	b, err := h.store.PutBody(h.Context(), data)
	if err != nil {
		h.Fatalf("storing a body: %v", err)
	}
	if b.File == "" || b.Size != int64(len(data)) || b.Sum != sha256.Sum256(data) {
		h.Fatalf("a body of %d bytes is referred to as %q, %d bytes, sum %x", len(data), b.File, b.Size, b.Sum)
	}
	return b
}

// stripped returns a body as a record that was read refers to it.
func stripped(b callback.Body) callback.Body {
	b.Data = nil
	return b
}

func (h *house) wantBody(when string, b callback.Body, want []byte) {
	h.Helper()
	content, err := h.store.OpenBody(h.Context(), stripped(b))
	if err != nil {
		h.Fatalf("%s: opening a body: %v", when, err)
	}
	got, err := io.ReadAll(content)
	if err = errors.Join(err, content.Close()); err != nil {
		h.Fatalf("%s: reading a body: %v", when, err)
	}
	if !bytes.Equal(got, want) {
		h.Errorf("%s: a body of %d bytes came back as %d others", when, len(want), len(got))
	}
}

func patterned(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return data
}

func bodyIsRead(h *house) {
	var put []callback.Body
	sizes := []int{1, 64 << 10, 64<<10 + 1, 3 << 20}
	for _, size := range sizes {
		put = append(put, h.putBody(patterned(size)))
	}
	for i, b := range put {
		for range 2 {
			h.wantBody("at once", b, patterned(sizes[i]))
		}
	}
	if same := h.putBody(patterned(1)); same.File == put[0].File {
		h.Error("two bodies share a file, so one could not be deleted without the other")
	}
}

func bodyOfARecordStays(h *house) {
	r := h.newRecord()
	call, ack := patterned(100<<10), patterned(80<<10)
	callBody, ackBody := h.putBody(call), h.putBody(ack)
	c := h.create(r)
	_, updated := h.update(store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Call = &callback.Call{Method: "POST", Body: callBody}
		next.Ack = &callback.Response{Status: 202, Body: ackBody}
		return store.Change{Next: &next}, nil
	})
	h.wait(c)
	h.wait(updated)
	for _, when := range []string{"after reopening", "after reopening again"} {
		h.reopen()
		got, _, err := h.store.Find(h.Context(), store.ByID(r.ID))
		if err != nil {
			h.Fatal(err)
		}
		if got.Call.Body.Data != nil || got.Ack.Body.Data != nil {
			h.Errorf("%s: the record holds what is in a file", when)
		}
		h.wantBody(when, got.Call.Body, call)
		h.wantBody(when, got.Ack.Body, ack)
	}
}

func otherBodyIsDamaged(h *house) {
	one, other := h.putBody(patterned(70<<10)), h.putBody(make([]byte, 70<<10))
	sum, size, file := one, one, one
	sum.Sum[31] ^= 1
	size.Size++
	file.File = other.File
	for name, b := range map[string]callback.Body{"its sum": sum, "its size": size, "its file": file} {
		if content, err := h.store.OpenBody(h.Context(), stripped(b)); !errors.Is(err, store.ErrDamaged) || content != nil {
			h.Errorf("%s is another: %v", name, err)
		}
	}
	h.wantBody("as it was stored", one, patterned(70<<10))
}
