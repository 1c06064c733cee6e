package quoted_test

import (
	"io"
	"runtime"
	"strings"
	"testing"
)

// endless is a text or another body without an end.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		copied := copy(p[n:], e.text[e.at:])
		n += copied
		e.at = (e.at + copied) % len(e.text)
	}
	return len(p), nil
}

// counted counts what is written to it.
type counted int64

func (c *counted) Write(p []byte) (int, error) {
	*c += counted(len(p))
	return len(p), nil
}

// TestDocumentsTakeNoMemoryForTheirBodies writes bodies that are far larger than all that
// is allocated meanwhile.
func TestDocumentsTakeNoMemoryForTheirBodies(t *testing.T) {
	const most = 64 << 10
	piece := make([]byte, 32<<10)
	for name, c := range map[string]struct {
		text string
		size int64
	}{
		"text":         {"order 17 is done, ä€😀", 64 << 20},
		"much escaped": {"<\u2028\x00>", 8 << 20},
		"base64":       {"\xff\x00\x80\xfe", 64 << 20},
	} {
		text := strings.Repeat(c.text, 1000)
		whole := c.size / int64(len(text)) * int64(len(text))
		open := func() (io.ReadCloser, error) {
			return io.NopCloser(io.LimitReader(&endless{text: text}, whole)), nil
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		d := document(t, open, piece)
		r, err := d.Open(piece)
		if err != nil {
			t.Fatal(err)
		}
		var written counted
		_, err = io.Copy(&written, r)
		runtime.ReadMemStats(&after)
		if err != nil || int64(written) != d.Size() || d.Size() < whole {
			t.Fatalf("%s: %d bytes of %d were written, with %v", name, written, d.Size(), err)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > most {
			t.Errorf("%s: %d bytes were allocated", name, allocated)
		}
	}
}
