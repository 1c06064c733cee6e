package unpack

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

const (
	frameMagic = 0xfd2fb528
	// maxWindow is the largest window that a sender may use (RFC 9659).
	maxWindow = 8 << 20
	// minWindow is the smallest window that a frame can have.
	minWindow = 1 << 10
	// maxBlock is the size of the largest block.
	maxBlock = 128 << 10
	// zstdTables is more than the tables of a decoder take, with its buffer.
	zstdTables = 128 << 10
)

// frame reads a packed body that is one frame of zstd, which can be no other body to
// anybody (RFC 8878, section 3.1.1): not several frames, none that is skipped, and none
// with a dictionary. It gives the decoder no larger window than the content can need.
type frame struct {
	packed *bufio.Reader
	// ready is what the decoder gets next, of head or of the packed body.
	ready []byte
	head  [18]byte
	// content is how many bytes the frame says that it has unpacked, or negative.
	content int64
	window  uint64
	// left is how many bytes of a block, or of the checksum, are still to come.
	left     int
	last     bool
	checksum bool
}

// newFrame reads the header of a frame that may have that many bytes at most unpacked.
func newFrame(packed *bufio.Reader, most int64) (*frame, error) {
	f := &frame{packed: packed}
	fixed := f.head[:5]
	if _, err := io.ReadFull(packed, fixed); err != nil {
		return nil, noEOF(err)
	}
	descriptor := fixed[4]
	single := descriptor&(1<<5) != 0
	switch {
	case binary.LittleEndian.Uint32(fixed)&^0xf == 0x184d2a50:
		return nil, unreadable("it begins with a frame that readers skip")
	case binary.LittleEndian.Uint32(fixed) != frameMagic, descriptor&(1<<3) != 0:
		return nil, unreadable("it is not valid %s", zstdCoding)
	case descriptor&3 != 0:
		return nil, unreadable("it needs a dictionary")
	}
	f.checksum = descriptor&(1<<2) != 0
	if err := f.readSizes(single, int(descriptor>>6)); err != nil {
		return nil, err
	}
	switch {
	case f.content > most:
		return nil, unreadable("it has more than %d bytes unpacked", most)
	case f.window > maxWindow:
		return nil, unreadable("its window has %d bytes, more than %d", f.window, maxWindow)
	}
	if !single {
		f.narrow(most)
	}
	return f, nil
}

// readSizes reads the window and the size of the content.
func (f *frame) readSizes(single bool, size int) error {
	rest := f.head[5:5]
	length := []int{0, 2, 4, 8}[size]
	if single && length == 0 {
		length = 1
	}
	if !single {
		length++
	}
	rest = rest[:length]
	if _, err := io.ReadFull(f.packed, rest); err != nil {
		return noEOF(err)
	}
	f.ready = f.head[:5+length]
	if !single {
		base := uint64(1) << (10 + rest[0]>>3)
		f.window = base + base/8*uint64(rest[0]&7)
		rest = rest[1:]
	}
	var value [8]byte
	copy(value[:], rest)
	content := binary.LittleEndian.Uint64(value[:])
	switch len(rest) {
	case 0:
		f.content = -1
		return nil
	case 2:
		content += 256
	}
	if content > 1<<62 {
		return unreadable("its content has %d bytes", content)
	}
	f.content = int64(content)
	if single {
		f.window = max(content, minWindow)
	}
	return nil
}

// narrow gives a frame the smallest window that content of so many bytes can need: what a
// sender announces costs nothing.
func (f *frame) narrow(most int64) {
	if f.content >= 0 {
		most = f.content
	}
	// A block may be larger packed than unpacked.
	log := max(10, 1+bits.Len64(uint64(most)))
	if window := uint64(1) << log; window < f.window {
		f.window = window
		f.head[5] = byte(log-10) << 3
	}
}

// memory returns how much memory it takes to unpack the frame: the decoder has the window
// twice, or, if it is a large one, with a megabyte more.
func (f *frame) memory() int64 {
	window := int64(f.window)
	return window + min(window, 1<<20) + 3*min(window, maxBlock) + zstdTables
}

// open begins to unpack the frame.
func (f *frame) open() (io.Reader, func(), error) {
	d, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, nil, err
	}
	return &frameReader{d, f}, d.Close, nil
}

// frameReader reads a frame unpacked, to its end.
type frameReader struct {
	*zstd.Decoder
	frame *frame
}

// Read implements io.Reader.
func (r *frameReader) Read(p []byte) (int, error) {
	n, err := r.Decoder.Read(p)
	if errors.Is(err, io.EOF) && !r.frame.ended() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// ended reports whether all of the frame has been read.
func (f *frame) ended() bool { return f.last && !f.checksum && f.left == 0 && len(f.ready) == 0 }

// Read implements io.Reader: it reads the frame packed, and nothing after it.
func (f *frame) Read(p []byte) (int, error) {
	if len(f.ready) == 0 && f.left == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	if len(f.ready) > 0 {
		n := copy(p, f.ready)
		f.ready = f.ready[n:]
		return n, nil
	}
	n, err := f.packed.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, noEOF(err)
}

// next goes on to the next block or to the checksum.
func (f *frame) next() error {
	switch {
	case f.last && f.checksum:
		f.checksum, f.left = false, 4
		return nil
	case f.last:
		return io.EOF
	}
	header := f.head[:3]
	if _, err := io.ReadFull(f.packed, header); err != nil {
		return noEOF(err)
	}
	value := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
	f.ready, f.last, f.left = header, value&1 != 0, value>>3
	if value>>1&3 == 1 {
		// A byte that is repeated.
		f.left = 1
	}
	return nil
}
