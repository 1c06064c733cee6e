package unpack_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/caddy-callback/caddy-callback/module/unpack"
)

// FuzzUnpack makes sure that whatever comes is unpacked within the bounds, and that what is
// unpacked is what other readers find, too.
func FuzzUnpack(f *testing.F) {
	for _, content := range [][]byte{nil, []byte(`{"a":1}`), text(2000), make([]byte, 70_000)} {
		f.Add(gzipped(f, content), byte(0))
		f.Add(zlibbed(f, content), byte(1))
		f.Add(deflated(f, content), byte(1))
		f.Add(frame(f, content), byte(2))
		f.Add(sized(f, content), byte(2))
	}
	f.Add(append(header(13<<3), block(true, repeated, 1000, 'x')...), byte(2))
	f.Fuzz(func(t *testing.T, packed []byte, which byte) {
		const limit = 1 << 20
		coding := []string{"gzip", "deflate", "zstd"}[which%3]
		content, err := read(t, coding, packed, limit)
		if most := unpack.Most(int64(len(packed)), limit); int64(len(content)) > most {
			t.Fatalf("%d bytes of %d packed", len(content), len(packed))
		}
		if err != nil {
			if !errors.Is(err, unpack.ErrUnreadable) {
				t.Fatal(err)
			}
			return
		}
		if other, err := elsewhere(coding, packed); err != nil || !bytes.Equal(other, content) {
			t.Fatalf("another reader finds %q, %v, and not %q", other, err, content)
		}
	})
}

// elsewhere unpacks a body as other readers do.
func elsewhere(coding string, packed []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(packed))
	case "deflate":
		if r, err = zlib.NewReader(bytes.NewReader(packed)); err != nil {
			r, err = flate.NewReader(bytes.NewReader(packed)), nil
		}
	default:
		d, err := zstd.NewReader(nil)
		if err != nil {
			return nil, err
		}
		defer d.Close()
		return d.DecodeAll(packed, nil)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
