package unpack_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/unpack"
)

const plenty = 64 << 20

// pool returns memory that is more than enough, or has that many bytes.
func pool(bytes int64) *memory.Pool {
	p := new(memory.Pool)
	p.SetLimits(bytes, bytes)
	return p
}

// pack packs content with what newWriter returns.
func pack[W io.WriteCloser](t testing.TB, content []byte, newWriter func(io.Writer) (W, error)) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := newWriter(&b)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, content []byte) []byte {
	return pack(t, content, func(w io.Writer) (*gzip.Writer, error) { return gzip.NewWriter(w), nil })
}

func zlibbed(t testing.TB, content []byte) []byte {
	return pack(t, content, func(w io.Writer) (*zlib.Writer, error) { return zlib.NewWriter(w), nil })
}

func deflated(t testing.TB, content []byte) []byte {
	return pack(t, content, func(w io.Writer) (*flate.Writer, error) { return flate.NewWriter(w, flate.BestCompression) })
}

// frame returns content as a frame of zstd that does not say how large it is.
func frame(t testing.TB, content []byte, options ...zstd.EOption) []byte {
	return pack(t, content, func(w io.Writer) (*zstd.Encoder, error) {
		return zstd.NewWriter(flushing{w}, append([]zstd.EOption{zstd.WithEncoderConcurrency(1)}, options...)...)
	})
}

// flushing hides what else a writer can do.
type flushing struct{ io.Writer }

// sized returns content as a frame of zstd that says how large it is.
func sized(t testing.TB, content []byte) []byte {
	e, err := zstd.NewWriter(nil, zstd.WithZeroFrames(true))
	if err != nil {
		t.Fatal(err)
	}
	return e.EncodeAll(content, nil)
}

// header returns the beginning of a frame of zstd, with that window and no size.
func header(window byte) []byte { return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window} }

// block returns a block of a frame of zstd.
func block(last bool, kind, size int, content ...byte) []byte {
	n := size<<3 | kind<<1
	if last {
		n |= 1
	}
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16)}, content...)
}

const (
	raw = iota
	repeated
)

// text is content that packs as JSON does.
func text(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		b.WriteString(`{"item":`)
		_ = binary.Write(&b, binary.LittleEndian, uint32(i*2654435761))
		b.WriteString(`}`)
	}
	return b.Bytes()[:n]
}

// read unpacks a body, in memory and as a stream, which must give the same. All memory is
// given back.
func read(t testing.TB, coding string, packed []byte, limit int64) ([]byte, error) {
	t.Helper()
	p := pool(plenty)
	buffer, err := unpack.Read(coding, packed, limit, p.For(memory.Nobody))
	content := bytes.Clone(buffer.Bytes())
	buffer.Release()
	r, streamErr := unpack.Open(coding, piecemeal(packed), unpack.Most(int64(len(packed)), limit), p.For(memory.Nobody))
	if streamErr == nil {
		var streamed []byte
		streamed, streamErr = io.ReadAll(r)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if streamErr == nil && !bytes.Equal(streamed, content) {
			t.Errorf("%s: a stream of it has %d bytes, want %d", coding, len(streamed), len(content))
		}
	}
	if (err == nil) != (streamErr == nil) {
		t.Errorf("%s: %v, and as a stream %v", coding, err, streamErr)
	}
	if n := p.Used(); n != 0 {
		t.Errorf("%s: %d bytes are still taken", coding, n)
	}
	return content, err
}

// piecemeal returns a reader of a body that brings little at a time.
func piecemeal(body []byte) io.Reader {
	if len(body) > 10_000 {
		return iotest.HalfReader(bytes.NewReader(body))
	}
	return iotest.OneByteReader(bytes.NewReader(body))
}

func TestWhatWasPackedIsUnpacked(t *testing.T) {
	t.Parallel()
	for _, content := range [][]byte{nil, []byte("x"), []byte(`{"status":"failed"}`), text(5000), text(200_000)} {
		for name, c := range map[string]struct {
			coding string
			packed []byte
		}{
			"gzip":                      {"gzip", gzipped(t, content)},
			"deflate":                   {"deflate", zlibbed(t, content)},
			"deflate without its frame": {"deflate", deflated(t, content)},
			"zstd":                      {"zstd", frame(t, content, zstd.WithZeroFrames(true))},
			"zstd with its size":        {"zstd", sized(t, content)},
			"zstd, no checksum":         {"zstd", frame(t, content, zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true))},
			"zstd, the best":            {"zstd", frame(t, content, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20), zstd.WithZeroFrames(true))},
		} {
			got, err := read(t, c.coding, c.packed, 4<<20)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s of %d bytes: %d bytes, %v", name, len(content), len(got), err)
			}
		}
	}
}

func TestNothingIsUnpackedThatTwoReadersCouldReadDifferently(t *testing.T) {
	t.Parallel()
	content := []byte(`{"status":"failed"}`)
	gz, zl, df, zs := gzipped(t, content), zlibbed(t, content), deflated(t, content), frame(t, content)
	skipped := append([]byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0}, "abc"...)
	changed := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[(at+len(b))%len(b)] ^= 1
		return b
	}
	flagged := func(b []byte, flag byte) []byte {
		b = bytes.Clone(b)
		b[3] |= flag
		return b
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, c := range map[string]struct {
		coding string
		packed []byte
		want   string
	}{
		"gzip: nothing":                  {"gzip", nil, "cut short"},
		"gzip: garbage":                  {"gzip", []byte("{}garbage garbage"), "not valid gzip"},
		"gzip: text after it":            {"gzip", join(gz, []byte("x")), "follows the end"},
		"gzip: padded":                   {"gzip", join(gz, make([]byte, 512)), "follows the end"},
		"gzip: two members":              {"gzip", join(gz, gz), "follows the end"},
		"gzip: checksum":                 {"gzip", changed(gz, -8), "not valid gzip"},
		"gzip: length":                   {"gzip", changed(gz, -1), "not valid gzip"},
		"gzip: other method":             {"gzip", changed(gz, 2), "not valid gzip"},
		"gzip: encrypted":                {"gzip", flagged(gz, 0x20), "not valid gzip"},
		"gzip: reserved flag":            {"gzip", flagged(gz, 0x40), "not valid gzip"},
		"gzip: reserved flag, too":       {"gzip", flagged(gz, 0x80), "not valid gzip"},
		"deflate: nothing":               {"deflate", nil, "cut short"},
		"deflate: garbage":               {"deflate", []byte("\x07garbage"), "not valid deflate"},
		"deflate: text after it":         {"deflate", join(zl, []byte("x")), "follows the end"},
		"deflate: checksum":              {"deflate", changed(zl, -1), "not valid deflate"},
		"deflate: needs a dictionary":    {"deflate", []byte{0x78, 0xbb, 1, 2, 3, 4, 0, 0}, "not valid deflate"},
		"deflate: raw, text after it":    {"deflate", join(df, []byte("x")), "follows the end"},
		"deflate: gzip":                  {"deflate", gz, "not valid deflate"},
		"zstd: nothing":                  {"zstd", nil, "cut short"},
		"zstd: garbage":                  {"zstd", []byte("{}garbage"), "not valid zstd"},
		"zstd: text after it":            {"zstd", join(zs, []byte("x")), "follows the end"},
		"zstd: two frames":               {"zstd", join(zs, zs), "follows the end"},
		"zstd: a frame to skip after it": {"zstd", join(zs, skipped), "follows the end"},
		"zstd: a frame to skip before":   {"zstd", join(skipped, zs), "frame that readers skip"},
		"zstd: checksum":                 {"zstd", changed(zs, -1), "not valid zstd"},
		"zstd: reserved bit":             {"zstd", changed(zs, 0), "not valid zstd"},
		"zstd: dictionary":               {"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd, 1, 0, 7, 1, 0, 0}, "dictionary"},
		"zstd: reserved block":           {"zstd", join(header(0), block(true, 3, 0)), "not valid zstd"},
		"zstd: other size than it says":  {"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 9, 0, 0, 'x'}, "not valid zstd"},
		"a coding nobody knows":          {"br", gz, "no coding"},
	} {
		if got, err := read(t, c.coding, c.packed, 1<<20); !errors.Is(err, unpack.ErrUnreadable) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v, want an error with %q", name, got, err, c.want)
		}
	}
	for coding, packed := range map[string][]byte{"gzip": gz, "deflate": zl, "zstd": zs} {
		for n := range packed {
			if got, err := read(t, coding, packed[:n], 1<<20); !errors.Is(err, unpack.ErrUnreadable) {
				t.Errorf("%s, %d bytes of %d: %q, %v", coding, n, len(packed), got, err)
			}
		}
	}
}

func TestNothingIsUnpackedBeyondItsBounds(t *testing.T) {
	t.Parallel()
	const small = 64 << 10
	for name, c := range map[string]struct {
		coding  string
		packed  []byte
		limit   int64
		allowed bool
	}{
		"64 KiB of a tiny body":      {"gzip", gzipped(t, make([]byte, small)), 1 << 20, true},
		"more than that":             {"gzip", gzipped(t, make([]byte, small+1)), 1 << 20, false},
		"a hundred times":            {"deflate", zlibbed(t, append(text(2500), make([]byte, 100_000)...)), 1 << 20, true},
		"a thousand times":           {"deflate", deflated(t, make([]byte, 900_000)), 1 << 20, false},
		"max_body_size":              {"gzip", gzipped(t, text(10_000)), 10_000, true},
		"one byte more":              {"gzip", gzipped(t, text(10_000)), 9_999, false},
		"zstd within":                {"zstd", frame(t, text(10_000)), 10_000, true},
		"zstd, one byte more":        {"zstd", frame(t, text(10_000)), 9_999, false},
		"zstd that says how much":    {"zstd", sized(t, text(10_000)), 9_999, false},
		"zstd, a byte many times":    {"zstd", join(header(0x58), bytes.Repeat(block(false, repeated, 128<<10, 'x'), 1000), block(true, raw, 0)), 10 << 20, false},
		"zstd, a window of 8 MiB":    {"zstd", join(header(13<<3), block(true, raw, 1, 'x')), 10 << 20, true},
		"zstd, a window of 9 MiB":    {"zstd", join(header(13<<3|1), block(true, raw, 1, 'x')), 10 << 20, false},
		"zstd, a window of 3 TiB":    {"zstd", join(header(0xff), block(true, raw, 1, 'x')), 10 << 20, false},
		"zstd that says 8 EiB":       {"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0}, 10 << 20, false},
		"zstd that says 16 EiB":      {"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0}, 10 << 20, false},
		"zstd of one piece of 9 MiB": {"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0x90, 0, 1, 0, 0}, 10 << 20, false},
	} {
		got, err := read(t, c.coding, c.packed, c.limit)
		if most := unpack.Most(int64(len(c.packed)), c.limit); int64(len(got)) > most {
			t.Errorf("%s: %d bytes, and %d are allowed", name, len(got), most)
		}
		if c.allowed != (err == nil) || !c.allowed && !errors.Is(err, unpack.ErrUnreadable) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(c.packed), err)
		}
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestErrorOfReadingAPackedBodyIsTold(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is broken")
	for coding, packed := range map[string][]byte{"gzip": gzipped(t, text(20_000)), "deflate": zlibbed(t, text(20_000)), "zstd": frame(t, text(20_000))} {
		for n := range len(packed) / 100 {
			body := io.MultiReader(bytes.NewReader(packed[:100*n]), iotest.ErrReader(broken))
			r, err := unpack.Open(coding, body, plenty, pool(plenty).For(memory.Nobody))
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			if !errors.Is(err, broken) || errors.Is(err, unpack.ErrUnreadable) {
				t.Errorf("%s, after %d bytes: %v", coding, 100*n, err)
			}
		}
	}
}

func TestCodingIsReadAsHTTPWantsIt(t *testing.T) {
	t.Parallel()
	for want, all := range map[string][][]string{
		"":              {nil, {""}, {"identity"}, {" , identity,"}},
		"gzip":          {{"gzip"}, {"GZip"}, {"x-gzip"}, {"identity, gzip"}, {"identity", " gzip ,"}},
		"deflate":       {{"Deflate"}},
		"zstd":          {{"zstd"}},
		"gzip, gzip":    {{"gzip, gzip"}, {"gzip", "x-gzip"}},
		"br":            {{"br"}},
		"compress":      {{"compress"}},
		"deflate, zstd": {{"deflate", "zstd"}},
		"gzip;q=1":      {{"gzip;q=1"}},
	} {
		for _, lines := range all {
			got := unpack.CodingOf(lines)
			if known := want == "gzip" || want == "deflate" || want == "zstd"; got != want || unpack.Knows(got) != known {
				t.Errorf("%q: %q, known %t", lines, got, unpack.Knows(got))
			}
		}
	}
}
