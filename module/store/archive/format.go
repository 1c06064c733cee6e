// Package archive moves what is in a store to another one, by a file that has all of it: an
// archive.
//
// An archive begins with a line that says what it is. Frames follow, each with its kind (1
// byte), its length (4 bytes) and its content: the head; then policies and callbacks, a policy
// before the first callback that needs it, and behind each callback its bodies, in pieces; then
// the end. The last 32 bytes are the SHA-256 of all before.
package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// title is the first line of an archive.
const title = "caddy-callback archive 1\n"

// kind says what a frame holds.
type kind byte

// The kinds of frames.
const (
	headFrame   kind = 'H'
	policyFrame kind = 'P'
	recordFrame kind = 'R'
	pieceFrame  kind = 'B'
	endFrame    kind = 'E'
)

// maxFrame is how long the content of a frame can be: above the largest record and policy that
// a store takes.
const maxFrame = 4 << 20

// head is the content of the first frame.
type head struct {
	// Release is that of this module by which the archive was made, and Store the id of the
	// store.
	Release string `json:"release"`
	Store   string `json:"store"`
	// Secrets are those that the store has kept itself.
	Secrets [][]byte `json:"secrets,omitempty"`
}

// Counts are what an archive has.
type Counts struct {
	Callbacks int   `json:"callbacks"`
	Policies  int   `json:"policies"`
	Bodies    int   `json:"bodies"`
	Bytes     int64 `json:"bodyBytes"`
}

// Errors of archives.
var (
	// ErrNone: the file is no archive.
	ErrNone = errors.New("it is not an archive that caddy callback export has made, or a later release has made it")
	// ErrDamaged: an archive is not as it was written.
	ErrDamaged = errors.New("the archive is damaged")
	// ErrCut: the end of an archive is missing.
	ErrCut = errors.New("the archive is incomplete: its end is missing; export was interrupted, or the file was not copied whole")
)

func damaged(what string) error { return fmt.Errorf("%w: %s", ErrDamaged, what) }

// writer writes frames.
type writer struct {
	out *bufio.Writer
	sum hash.Hash
}

func newWriter(w io.Writer) *writer {
	return &writer{out: bufio.NewWriterSize(w, 64<<10), sum: sha256.New()}
}

// put writes bytes that count for the sum. The first error stays, and flush returns it.
func (w *writer) put(parts ...[]byte) {
	for _, b := range parts {
		w.sum.Write(b)
		_, _ = w.out.Write(b)
	}
}

// frame writes a frame, whose content comes in parts.
func (w *writer) frame(k kind, parts ...[]byte) error {
	length := 0
	for _, b := range parts {
		length += len(b)
	}
	if length > maxFrame {
		return fmt.Errorf("a part of %d bytes does not fit into an archive", length)
	}
	w.put(binary.BigEndian.AppendUint32([]byte{byte(k)}, uint32(length)))
	w.put(parts...)
	return nil
}

// document writes a frame with a JSON document.
func (w *writer) document(k kind, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.frame(k, b)
}

// end writes the sum.
func (w *writer) end() error {
	_, _ = w.out.Write(w.sum.Sum(nil))
	return w.out.Flush()
}

// reader reads frames.
type reader struct {
	in      *bufio.Reader
	sum     hash.Hash
	content bytes.Buffer
}

func newReader(r io.Reader) (*reader, error) {
	in := &reader{in: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	begin, err := in.in.Peek(len(title))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if string(begin) != title {
		return nil, ErrNone
	}
	_, err = in.take(len(title))
	return in, err
}

// step is how many bytes are read at once. Memory is taken as bytes come, not as they are
// announced.
const step = 64 << 10

// take reads bytes, which are valid until the next call.
func (r *reader) take(n int) ([]byte, error) {
	r.content.Reset()
	for n > 0 {
		some := min(n, step)
		r.content.Grow(some)
		b := r.content.AvailableBuffer()[:some]
		if _, err := io.ReadFull(r.in, b); err != nil {
			return nil, cut(err)
		}
		r.content.Write(b)
		n -= some
	}
	r.sum.Write(r.content.Bytes())
	return r.content.Bytes(), nil
}

// cut returns the error of an archive that ends too early.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCut
	}
	return err
}

// frame reads a frame. Its content is valid until the next call.
func (r *reader) frame() (kind, []byte, error) {
	first, err := r.take(5)
	if err != nil {
		return 0, nil, err
	}
	k, length := kind(first[0]), binary.BigEndian.Uint32(first[1:])
	if length > maxFrame {
		return 0, nil, damaged("a part of it is longer than any can be")
	}
	content, err := r.take(int(length))
	return k, content, err
}

// end reads the sum, behind which there must be nothing.
func (r *reader) end() error {
	want := r.sum.Sum(nil)
	got, err := r.take(len(want))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return damaged("its checksum is another one")
	}
	if _, err := r.in.Peek(1); err == nil {
		return damaged("something follows its end")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// files lists the bodies of a record that are not in the record itself, each once.
func files(r *callback.Record) (bodies []*callback.Body) {
	seen := make(map[string]bool)
	for _, b := range r.Bodies() {
		if b.File != "" && !seen[b.File] {
			seen[b.File] = true
			bodies = append(bodies, b)
		}
	}
	return bodies
}

// leaveNodes takes the nodes out of a record: those of another store mean nothing.
func leaveNodes(r *callback.Record) { r.Owner, r.Flight, r.Asking = 0, 0, 0 }
