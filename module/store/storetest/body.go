package storetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var bodies = []test{
	{"a body is read as it was stored", bodyIsRead},
	{"a body is read piece by piece, in memory that is taken for it", bodyIsReadInPieces},
	{"a body is written piece by piece, or not at all", bodyIsWrittenInPieces},
	{"a body that a record refers to stays, and goes with the reference", bodyOfARecordStays},
	{"a body goes with its record, wherever that refers to it", bodyGoesWithItsRecord},
	{"a body that moves within its record stays", movedBodyStays},
	{"a body that stands in several places of its record stays until it is gone from all", sharedBodyStays},
	{"a body that was replaced before its commit goes", replacedBodyGoes},
	{"a body that was removed is not damaged", removedBodyIsNotDamaged},
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

// stripped returns a body as it is in a record that was read: without its data.
func stripped(b callback.Body) callback.Body {
	b.Data = nil
	return b
}

func (h *house) wantBody(when string, b callback.Body, want []byte) {
	h.Helper()
	content, err := h.store.OpenBody(h.Context(), stripped(b), h.space())
	if err != nil {
		h.Fatalf("%s: opening a body: %v", when, err)
	}
	got, err := io.ReadAll(content)
	if err = errors.Join(err, content.Close()); err != nil {
		h.Fatalf("%s: reading a body: %v", when, err)
	}
	if !bytes.Equal(got, want) {
		h.Errorf("%s: a body of %d bytes came back as %d different ones", when, len(want), len(got))
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

func bodyIsReadInPieces(h *house) {
	small, large := h.putBody(patterned(100)), h.putBody(patterned(3<<20+1))
	for _, b := range []callback.Body{small, large} {
		content, err := h.store.OpenBody(h.Context(), stripped(b), h.space())
		if err != nil {
			h.Fatal(err)
		}
		read, piece := 0, make([]byte, 10_000)
		for {
			if n := h.memory.Used(); n > 2*store.BodyPiece || n < min(b.Size, store.BodyPiece) {
				h.Fatalf("after %d bytes of %d, %d bytes of memory are taken", read, b.Size, n)
			}
			n, err := content.Read(piece)
			if !bytes.Equal(piece[:n], patterned(int(b.Size))[read:read+n]) {
				h.Fatalf("after %d bytes come others than those that were stored", read)
			}
			if read += n; errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				h.Fatal(err)
			}
		}
		if err := content.Close(); err != nil || int64(read) != b.Size {
			h.Errorf("%d bytes of %d were read: %v", read, b.Size, err)
		}
		if n := h.memory.Used(); n != 0 {
			h.Errorf("after a body was closed, %d bytes are taken", n)
		}
	}
	full := new(memory.Pool)
	full.SetLimits(10, 10)
	if _, err := h.store.OpenBody(h.Context(), stripped(large), full.For(memory.Nobody)); !errors.Is(err, memory.ErrBusy) || full.Used() != 0 {
		h.Errorf("without memory: %v, and %d bytes are taken", err, full.Used())
	}
}

// newBody begins a body and writes data to it.
func (h *house) newBody(data []byte) store.BodyWriter {
	h.Helper()
	w, err := h.store.NewBody(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	for rest := data; len(rest) > 0; {
		n, err := w.Write(rest[:min(len(rest), store.BodyPiece)])
		if err != nil {
			h.Fatal(err)
		}
		rest = rest[n:]
	}
	return w
}

func bodyIsWrittenInPieces(h *house) {
	r := h.newRecord()
	commits := []store.Commit{h.create(r)}
	for i, size := range []int{1, store.BodyPiece, store.BodyPiece + 1, 3 << 20} {
		data := patterned(size)
		h.newBody(data).Abort()
		b, err := h.newBody(data).Commit()
		if err != nil {
			h.Fatal(err)
		}
		if b.File == "" || b.Data != nil || b.Size != int64(size) || b.Sum != sha256.Sum256(data) {
			h.Errorf("a body of %d bytes is referred to as %+v", size, stripped(b))
		}
		h.wantBody("at once", b, data)
		next := *r
		places[i].put(&next, b)
		_, c := h.update(store.ByID(r.ID), become(&next))
		commits, r = append(commits, c), &next
	}
	for _, c := range commits {
		h.wait(c)
	}
	h.newBody(patterned(100_000)).Abort()
	h.reopen()
	for _, b := range r.Bodies() {
		if b.File != "" {
			h.wantBody("after reopening", *b, patterned(int(b.Size)))
		}
	}
}

// places are where a record can refer to bodies.
var places = []struct {
	name string
	put  func(r *callback.Record, b callback.Body)
}{
	{"call", func(r *callback.Record, b callback.Body) { r.Call = &callback.Call{Method: "POST", Body: b} }},
	{"latest call", func(r *callback.Record, b callback.Body) { r.Latest = &callback.Call{Method: "POST", Body: b} }},
	{"ack", func(r *callback.Record, b callback.Body) { r.Ack = &callback.Response{Status: 202, Body: b} }},
	{"answer", func(r *callback.Record, b callback.Body) { r.Answer = &callback.Response{Status: 200, Body: b} }},
	{"request", func(r *callback.Record, b callback.Body) { r.Request = &callback.Request{Method: "POST", Body: b} }},
	{"result to be delivered", func(r *callback.Record, b callback.Body) {
		r.Outbox = []callback.Parcel{
			{Phase: callback.Resolved, Call: &callback.Call{Method: "PUT"}},
			{Phase: callback.Resolved, Call: &callback.Call{Method: "POST", Body: b}},
		}
	}},
}

// inAllPlaces returns the record with a body of its own in every place, and the data
// of each.
func (h *house) inAllPlaces(r callback.Record) (*callback.Record, [][]byte) {
	h.Helper()
	var all [][]byte
	for i, place := range places {
		data := patterned(70<<10 + i)
		place.put(&r, h.putBody(data))
		all = append(all, data)
	}
	return &r, all
}

// dataOf returns the data of a record's body.
func dataOf(b *callback.Body, all [][]byte) []byte { return all[b.Size-70<<10] }

// become returns the decision to replace a callback's record by next.
func become(next *callback.Record) store.Decide {
	return func(*callback.Record) (store.Change, error) { return store.Change{Next: next}, nil }
}

// wantBodyGone waits until a body is removed.
func (h *house) wantBodyGone(when string, b callback.Body) {
	h.Helper()
	h.eventually(when+": removing a body", func() bool {
		content, err := h.store.OpenBody(h.Context(), stripped(b), h.space())
		if err == nil {
			content.Close()
		}
		return err != nil
	})
}

func bodyOfARecordStays(h *house) {
	r := h.newRecord()
	c := h.create(r)
	full, all := h.inAllPlaces(*r)
	_, updated := h.update(store.ByID(r.ID), become(full))
	h.wait(c)
	h.wait(updated)
	for _, when := range []string{"after reopening", "after reopening again"} {
		h.reopen()
		got, _, err := h.store.Find(h.Context(), store.ByID(r.ID))
		if err != nil {
			h.Fatal(err)
		}
		if n := len(got.Bodies()); n != len(places)+1 {
			h.Fatalf("%s: the record refers to %d bodies", when, n)
		}
		for _, b := range got.Bodies() {
			if b.Data != nil {
				h.Errorf("%s: the record holds what is in a file", when)
			}
			if b.File != "" {
				h.wantBody(when, *b, dataOf(b, all))
			}
		}
	}
	// Remove one reference after the other; only its body may go.
	next := *full
	for i, place := range places {
		place.put(&next, callback.Body{})
		record := next
		_, c := h.update(store.ByID(r.ID), become(&record))
		h.wait(c)
		for _, b := range full.Bodies() {
			switch {
			case b.File == "":
			case b.Size == int64(70<<10+i):
				h.wantBodyGone(place.name, *b)
			case b.Size > int64(70<<10+i):
				h.wantBody(place.name+" is gone", *b, dataOf(b, all))
			}
		}
	}
}

func bodyGoesWithItsRecord(h *house) {
	for _, settled := range []bool{true, false} {
		r, _ := h.inAllPlaces(*h.newRecord())
		other, all := h.inAllPlaces(*h.newRecord())
		h.create(other)
		if c := h.create(r); settled {
			h.wait(c)
		}
		_, c := h.update(store.ByID(r.ID), remove)
		h.wait(c)
		for _, b := range r.Bodies() {
			if b.File != "" {
				h.wantBodyGone("after deleting", *b)
			}
		}
		h.reopen()
		for _, b := range other.Bodies() {
			if b.File != "" {
				h.wantBody("of the other callback", *b, dataOf(b, all))
			}
		}
	}
}

func movedBodyStays(h *house) {
	data := patterned(70 << 10)
	for _, settled := range []bool{true, false} {
		r := h.newRecord()
		body := h.putBody(data)
		commits := []store.Commit{h.create(r)}
		for _, place := range append(places, places...) {
			next := *r
			place.put(&next, body)
			_, c := h.update(store.ByID(r.ID), become(&next))
			commits = append(commits, c)
			if settled {
				h.wait(c)
			}
			h.wantBody(place.name, body, data)
		}
		for _, c := range commits {
			h.wait(c)
		}
		h.wantBody("after the commits", body, data)
		h.reopen()
		h.wantBody("after reopening", body, data)
		_, c := h.update(store.ByID(r.ID), become(r))
		h.wait(c)
		h.wantBodyGone("after it was dropped", body)
	}
}

func sharedBodyStays(h *house) {
	data := patterned(70 << 10)
	for _, settled := range []bool{true, false} {
		r := h.newRecord()
		body := h.putBody(data)
		commits := []store.Commit{h.create(r)}
		stand := func(at ...int) {
			next := *r
			for _, i := range at {
				places[i].put(&next, body)
			}
			_, c := h.update(store.ByID(r.ID), become(&next))
			if commits = append(commits, c); settled {
				h.wait(c)
			}
		}
		last := len(places) - 1
		stand(1, last)
		stand(0, 1, last)
		stand(last)
		h.wantBody("in one place of three", body, data)
		for _, c := range commits {
			h.wait(c)
		}
		h.reopen()
		h.wantBody("after reopening", body, data)
		stand(1, last)
		stand()
		h.wait(commits[len(commits)-1])
		h.wantBodyGone("in no place", body)
	}
}

func replacedBodyGoes(h *house) {
	r := h.newRecord()
	commits := []store.Commit{h.create(r)}
	var put []callback.Body
	for i := range 20 {
		body := h.putBody(patterned(70 << 10))
		put = append(put, body)
		next := *r
		places[i%len(places)].put(&next, body)
		_, c := h.update(store.ByID(r.ID), become(&next))
		commits = append(commits, c)
	}
	for _, c := range commits {
		h.wait(c)
	}
	for _, b := range put[:19] {
		h.wantBodyGone("after it was replaced", b)
	}
	h.wantBody("the last one", put[19], patterned(70<<10))
}

func removedBodyIsNotDamaged(h *house) {
	r := h.newRecord()
	h.wait(h.create(r))
	var removed []callback.Body
	for range 2 {
		b := h.putBody(patterned(70 << 10))
		_, c := h.update(store.ByID(r.ID), holding(b))
		h.wait(c)
		removed = append(removed, b)
	}
	_, c := h.update(store.ByID(r.ID), func(*callback.Record) (store.Change, error) { return store.Change{Delete: true}, nil })
	h.wait(c)
	for i, b := range removed {
		h.wantBodyGone("in the end", b)
		if _, err := h.store.OpenBody(h.Context(), stripped(b), h.space()); !errors.Is(err, store.ErrRemoved) || errors.Is(err, store.ErrDamaged) {
			h.Errorf("body %d was removed: %v", i, err)
		}
	}
}

func otherBodyIsDamaged(h *house) {
	one, other := h.putBody(patterned(70<<10)), h.putBody(make([]byte, 70<<10))
	sum, size, file := one, one, one
	sum.Sum[31] ^= 1
	size.Size++
	file.File = other.File
	for name, b := range map[string]callback.Body{"its sum": sum, "its size": size, "its file": file} {
		if content, err := h.store.OpenBody(h.Context(), stripped(b), h.space()); !errors.Is(err, store.ErrDamaged) || content != nil {
			h.Errorf("%s differs: %v", name, err)
		}
	}
	h.wantBody("as it was stored", one, patterned(70<<10))
}
