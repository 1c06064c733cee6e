package engine

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/unpack"
)

func TestBodyIsOpenedUnpacked(t *testing.T) {
	b := newBed(t, plenty, callback.Policy{})
	text := string(bytes.Repeat([]byte("all work and no play "), 1000))
	for name, c := range map[string]struct {
		body callback.Body
		want error
	}{
		"in the record": {callback.NewBody(gzipped(t, text)), nil},
		"garbage":       {callback.NewBody([]byte(text)), unpack.ErrUnreadable},
		"cut short":     {callback.NewBody(gzipped(t, text)[:50]), unpack.ErrUnreadable},
	} {
		content, err := b.Bodies(callback.UUID{1}).Unpacked(t.Context(), c.body, "gzip")
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			got, err := io.ReadAll(content)
			if closing := content.Close(); string(got) != text || content.Size != int64(len(text)) || !content.Varies || err != nil || closing != nil {
				t.Errorf("%s: %d of %d bytes, %v, %v", name, len(got), content.Size, err, closing)
			}
		}
		if n := b.memory.Used(); n != 0 {
			t.Errorf("%s: %d bytes are still counted", name, n)
		}
	}
	b.SetLimits(Limits{MaxMemory: 1000, MaxBody: 1000})
	if _, err := b.Bodies(callback.UUID{1}).Unpacked(t.Context(), callback.NewBody(gzipped(t, text)), "gzip"); !errors.Is(err, ErrBusy) {
		t.Errorf("without memory: %v", err)
	}
}
