package quoted_test

import (
	"io"
	"testing"
)

// chunks is a reader that brings at most some bytes at a time.
type chunks struct {
	r    io.Reader
	most int
}

func (c chunks) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.most)]) }

// FuzzDocument compares documents with what json.Marshal writes.
func FuzzDocument(f *testing.F) {
	for _, body := range []string{"", "text", "<\u2028\u2029ä€😀&\x00\x7f\\\"", "\xed\xa0\xbd", "text \xf0\x9f\x98", "\xff\xff\xff"} {
		f.Add([]byte(body), byte(16), byte(1))
		f.Add([]byte(body), byte(40), byte(7))
	}
	f.Fuzz(func(t *testing.T, body []byte, piece, most byte) {
		check(t, body, func(r io.Reader) io.Reader { return chunks{r, 1 + int(most)} }, make([]byte, piece))
	})
}
