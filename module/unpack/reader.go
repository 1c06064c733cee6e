package unpack

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"

	"github.com/caddy-callback/caddy-callback/module/memory"
)

const (
	// bufferBytes is how much of a packed body is read at once.
	bufferBytes = 4 << 10
	// flateMemory is what reading gzip or deflate takes: a window of 32 KiB, tables, a buffer,
	// and what a header of gzip can hold.
	flateMemory = 128 << 10
)

// Reader reads a body unpacked. Its errors are those of the packed body's own reader, or
// wrap ErrUnreadable. It comes to io.EOF only after a body that is whole and as its coding
// wants it, and that nothing follows.
type Reader struct {
	coding string
	source source
	packed *bufio.Reader
	in     io.Reader
	close  func()
	// most is how many bytes may come, and left how many of them have not.
	most, left int64
	lease      *memory.Lease
	err        error
}

// source is a packed body, and the error of reading it.
type source struct {
	io.Reader
	err error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// Open begins to unpack a body, which may have that many bytes at most. What that takes
// comes from s until the reader is closed: memory.ErrBusy if there is none. The packed body
// itself is not closed.
func Open(coding string, packed io.Reader, most int64, s memory.Space) (*Reader, error) {
	r := &Reader{coding: coding, source: source{Reader: packed}, most: most, left: most}
	r.packed = bufio.NewReaderSize(&r.source, bufferBytes)
	if err := r.begin(s); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Reader) begin(s memory.Space) (err error) {
	need := int64(flateMemory)
	var f *frame
	if r.coding == zstdCoding {
		if f, err = newFrame(r.packed, r.most); err != nil {
			return r.explain(err)
		}
		need = f.memory()
	}
	if r.lease, err = s.Reserve(need); err != nil {
		return err
	}
	switch r.coding {
	case gzipCoding:
		err = r.beginGzip()
	case deflateCoding:
		err = r.beginDeflate()
	case zstdCoding:
		r.in, r.close, err = f.open()
	default:
		return unreadable("there is no coding %q", r.coding)
	}
	if err != nil {
		return r.explain(err)
	}
	return nil
}

func (r *Reader) beginGzip() error {
	// Most readers refuse the flags that nobody has given a meaning yet; Go's does not.
	if head, _ := r.packed.Peek(4); len(head) == 4 && head[3]&0xe0 != 0 {
		return unreadable("it is not valid %s", gzipCoding)
	}
	z, err := gzip.NewReader(r.packed)
	if err != nil {
		return err
	}
	// Some readers stop after the first member, and some do not.
	z.Multistream(false)
	r.in = z
	return nil
}

// beginDeflate begins to read what RFC 9110 calls deflate, or the same without its frame,
// which some senders leave out. What could be a frame is one: its checksum decides.
func (r *Reader) beginDeflate() error {
	head, err := r.packed.Peek(2)
	if err != nil && len(head) == 0 {
		return noEOF(err)
	}
	if len(head) < 2 || head[0]&0x0f != 8 || head[0]>>4 > 7 || (int(head[0])<<8|int(head[1]))%31 != 0 {
		r.in = flate.NewReader(r.packed)
		return nil
	}
	r.in, err = zlib.NewReader(r.packed)
	return err
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	n, err := r.in.Read(p)
	switch r.left -= int64(n); {
	case r.left < 0:
		n, r.err = 0, unreadable("it has more than %d bytes unpacked", r.most)
	case err == io.EOF:
		r.err = r.end()
	case err != nil:
		r.err = r.explain(err)
	}
	return n, r.err
}

// end returns io.EOF if the packed body ends here, too.
func (r *Reader) end() error {
	switch _, err := r.packed.ReadByte(); {
	case err == nil:
		return unreadable("something follows the end of its %s", r.coding)
	case err != io.EOF:
		return err
	}
	return io.EOF
}

// explain returns what an error of unpacking means.
func (r *Reader) explain(err error) error {
	switch {
	case r.source.err != nil:
		return r.source.err
	case errors.Is(err, ErrUnreadable):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return unreadable("it is cut short")
	}
	return unreadable("it is not valid %s", r.coding)
}

// Close implements io.Closer.
func (r *Reader) Close() error {
	if r.close != nil {
		r.close()
	}
	r.lease.Release()
	r.close, r.lease, r.in, r.err = nil, nil, nil, io.ErrClosedPipe
	return nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
