package quoted

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// Document is a JSON document that may hold a body.
type Document struct {
	// head and tail stand around the body, and have its quotes.
	head, tail []byte
	// body is nil if the document does not hold it.
	body *Body
}

// New returns v as json.Marshal writes it, with the whole body in the place of the string
// that b is. v shows b once; if it does not, or if b is nil, the document holds no body.
// v must not show another Body.
func New(v any, b *Body) (*Document, error) {
	data, err := json.Marshal(v)
	if err != nil || b == nil {
		return &Document{head: data}, err
	}
	switch bytes.Count(data, []byte(b.mark)) {
	case 0:
		return &Document{head: data}, nil
	case 1:
		if at := bytes.Index(data, []byte(`"`+b.mark+`"`)); at >= 0 {
			at++
			return &Document{head: data[:at], tail: data[at+len(b.mark):], body: b}, nil
		}
	}
	return nil, errors.New("the document does not show the body once, as a value of its own")
}

// Size returns how many bytes the document has.
func (d *Document) Size() int64 {
	size := int64(len(d.head) + len(d.tail))
	if d.body != nil {
		size += d.body.quoted
	}
	return size
}

// Open opens the document for reading. The reader is an io.WriterTo, too.
//
// All memory that this takes and that grows is piece, for which the same sizes do as in
// Look. It may be used for something else when the reader is closed, and Read and WriteTo
// have returned. A document that holds no body takes none.
//
// The reader fails with ErrChanged before the end of the document if the body is not what
// Look has seen: if it is shorter or longer, or text no more, or takes more or fewer bytes
// in the document.
func (d *Document) Open(piece []byte) (io.ReadCloser, error) {
	r := &reader{document: d, ready: d.head, last: d.body == nil}
	if r.last {
		return r, nil
	}
	body, err := d.body.open()
	if err != nil {
		return nil, err
	}
	r.body, r.pieces = body, newPieces(body, piece)
	return r, nil
}
