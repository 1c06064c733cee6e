package store

import (
	"bytes"
	"math"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

func TestItemsAreCutWhereTheyEnd(t *testing.T) {
	for _, value := range []any{
		0, 23, 24, 255, 256, 65535, 65536, 1 << 32, uint64(math.MaxUint64), -1, -24, -25, -1 << 40, true, nil, 1.5, float32(2),
		"", "text", string(make([]byte, 23)), string(make([]byte, 24)), make([]byte, 300), make([]byte, 70_000),
		[]any{}, []any{1, []any{2, "x"}, map[int]any{3: []any{}}}, map[any]any{}, map[int]any{1: map[string]any{"a": []byte("b")}, 40_000: nil},
		cbor.Tag{Number: 300, Content: []any{1, 2}},
	} {
		b, err := cbor.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		item, rest, ok := cutItem(append(bytes.Clone(b), "more"...))
		if !ok || !bytes.Equal(item, b) || string(rest) != "more" {
			t.Errorf("%v: %x, %q, %t", value, item, rest, ok)
		}
		for n := range min(len(b), 100) {
			if item, _, ok := cutItem(b[:n]); ok {
				t.Errorf("%v, cut to %d bytes: %x", value, n, item)
			}
		}
	}
	for _, b := range [][]byte{
		nil, {0x1c}, {0x5f, 0xff}, {0x9f, 0xff}, {0xbf, 0xff}, {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0xbb, 0x80, 0, 0, 0, 0, 0, 0, 0}, {0xc1},
	} {
		if item, _, ok := cutItem(b); ok {
			t.Errorf("%x: %x", b, item)
		}
	}
}
