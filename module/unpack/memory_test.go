package unpack_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/caddy-callback/caddy-callback/module/linear"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/unpack"
)

// bombs are bodies that are small, and would be large.
func bombs(t testing.TB) map[string][2]string {
	huge := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	extra := pack(t, nil, func(w io.Writer) (*gzip.Writer, error) {
		z := gzip.NewWriter(w)
		z.Extra = make([]byte, 0xffff)
		return z, nil
	})
	named := append([]byte{0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte("n"), 1<<20)...)
	all := make(map[string][2]string)
	add := func(name, coding string, packed []byte) { all[name] = [2]string{coding, string(packed)} }
	add("zeros", "gzip", gzipped(t, make([]byte, 5<<20)))
	add("zeros in deflate", "deflate", deflated(t, make([]byte, 5<<20)))
	add("zeros in zstd", "zstd", frame(t, make([]byte, 5<<20)))
	add("packed twice", "gzip", gzipped(t, gzipped(t, make([]byte, 5<<20))))
	add("the same again", "gzip", gzipped(t, huge))
	add("many members", "gzip", bytes.Repeat(gzipped(t, nil), 10_000))
	add("many empty blocks", "deflate", bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 50_000))
	add("a huge field in the header", "gzip", extra)
	add("a huge name", "gzip", named)
	add("many empty blocks in zstd", "zstd", append(header(13<<3), bytes.Repeat(block(false, raw, 0), 50_000)...))
	add("a byte many times", "zstd", append(header(13<<3), bytes.Repeat(block(false, repeated, 128<<10, 'x'), 10_000)...))
	add("frames that are skipped", "zstd", bytes.Repeat([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, 20_000))
	add("a frame of 4 GiB to skip", "zstd", []byte{0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff})
	add("a huge window", "zstd", append(header(0xff), block(true, raw, 1, 'x')...))
	add("a large window for nothing", "zstd", append(header(13<<3), block(true, raw, 1, 'x')...))
	add("a large window for much", "zstd", frame(t, noise(6<<20), zstd.WithWindowSize(8<<20)))
	return all
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b)
	return b
}

// TestBombsTakeNoMoreMemoryThanIsCounted does not run beside other tests, because it looks
// at the memory of all.
func TestBombsTakeNoMoreMemoryThanIsCounted(t *testing.T) {
	const limit = 10 << 20
	for name, bomb := range bombs(t) {
		packed := []byte(bomb[1])
		p := pool(plenty)
		counted := int64(0)
		look := func() {
			r, err := unpack.Open(bomb[0], bytes.NewReader(packed), unpack.Most(int64(len(packed)), limit), p.For(memory.Nobody))
			if err != nil {
				return
			}
			piece := make([]byte, 8<<10)
			for err == nil {
				counted = max(counted, p.Used())
				_, err = r.Read(piece)
			}
			if closing := r.Close(); closing != nil {
				t.Error(closing)
			}
		}
		look()
		if name == "a large window for nothing" && counted > 1<<20 {
			t.Errorf("%s: %d bytes are counted", name, counted)
		}
		if took := allocated(look); took > counted+64<<10 {
			t.Errorf("%s: %d bytes are allocated, and %d counted", name, took, counted)
		}
	}
}

// allocated returns how many bytes a function allocates, in the best case.
func allocated(f func()) int64 {
	least := int64(1) << 62
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, int64(after.TotalAlloc-before.TotalAlloc))
	}
	return least
}

func TestBombsTakeNoTime(t *testing.T) {
	for name, unit := range map[string]struct {
		coding     string
		head, unit []byte
	}{
		"empty blocks of deflate":  {"deflate", nil, []byte{0, 0, 0, 0xff, 0xff}},
		"empty blocks of zstd":     {"zstd", header(13 << 3), block(false, raw, 0)},
		"blocks of zstd":           {"zstd", header(13 << 3), block(false, raw, 1, 'x')},
		"frames that are skipped":  {"zstd", nil, []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}},
		"members of gzip":          {"gzip", nil, gzipped(t, nil)},
		"a field of a gzip header": {"gzip", []byte{0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0}, []byte("n")},
	} {
		t.Run(name, func(t *testing.T) {
			linear.Check(t, 10_000, func(n int) func() {
				packed := append(bytes.Clone(unit.head), bytes.Repeat(unit.unit, n)...)
				return func() {
					if b, err := unpack.Read(unit.coding, packed, 10<<20, pool(plenty).For(memory.Nobody)); !errors.Is(err, unpack.ErrUnreadable) {
						t.Errorf("%d bytes, %v", len(b.Bytes()), err)
					}
				}
			})
		})
	}
}

func TestWithoutMemoryNothingIsUnpacked(t *testing.T) {
	t.Parallel()
	content := text(600_000)
	for coding, packed := range map[string][]byte{"gzip": gzipped(t, content), "deflate": zlibbed(t, content), "zstd": frame(t, content)} {
		for _, there := range []int64{0, 60_000, 500_000} {
			p := pool(there)
			b := unpack.NewBody(packed, plenty, p.For(memory.Nobody))
			if got, err := b.Bytes(coding); !errors.Is(err, memory.ErrBusy) || got != nil || !b.WasBusy() {
				t.Errorf("%s with %d bytes: %d bytes, %v", coding, there, len(got), err)
			}
			p.SetLimits(plenty, plenty)
			if got, err := b.Bytes(coding); err != nil || !bytes.Equal(got, content) || b.WasBusy() {
				t.Errorf("%s with memory: %d bytes, %v", coding, len(got), err)
			}
			if n := p.Used(); n < int64(len(content)) {
				t.Errorf("%s: %d bytes are counted", coding, n)
			}
			b.Release()
			if got, err := b.Bytes(coding); err == nil || got != nil {
				t.Errorf("%s after its end: %d bytes, %v", coding, len(got), err)
			}
			if n := p.Used(); n != 0 {
				t.Errorf("%s: %d bytes are still counted", coding, n)
			}
		}
	}
}

func TestBodyIsUnpackedOnce(t *testing.T) {
	t.Parallel()
	p := pool(plenty)
	for _, packed := range [][]byte{gzipped(t, text(1000)), []byte("garbage garbage")} {
		b := unpack.NewBody(packed, plenty, p.For(memory.Nobody))
		first, firstErr := b.Bytes("gzip")
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if again, err := b.Bytes("gzip"); !errors.Is(err, firstErr) || len(again) != len(first) || len(again) > 0 && &again[0] != &first[0] {
					t.Errorf("it was unpacked again: %v", err)
				}
			})
		}
		all.Wait()
		b.Release()
	}
	var none *unpack.Body
	if none.Release(); none.WasBusy() {
		t.Error("a body that is not there is busy")
	}
}
