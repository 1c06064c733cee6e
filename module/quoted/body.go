// Package quoted writes JSON documents that hold the body of a message piece by piece, so
// that the body is never in memory as a whole.
package quoted

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
)

// Body is the body of a message that a document holds in the place of a string: as it
// stands if it is UTF-8, and in base64 if not.
type Body struct {
	open func() (io.ReadCloser, error)
	mark string
	text bool
	// size is how many bytes the body has, and quoted how many they are in the document.
	size, quoted int64
}

// Look reads a body once to learn how a document holds it. open opens the body, here and
// for each reader of a document; a body that is still being read may be closed.
//
// All memory that this takes and that grows is piece. It is used until Look returns. Any
// size does: a larger piece, up to some 64 KiB, is faster, and one of less than 16 bytes is
// left alone for a small array.
func Look(open func() (io.ReadCloser, error), piece []byte) (*Body, error) {
	body, err := open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	b := &Body{open: open, mark: rand.Text(), text: true}
	p := newPieces(body, piece)
	for {
		out, err := p.next(quoteText)
		b.quoted += int64(len(out))
		switch {
		case errors.Is(err, errNotText):
			if err := p.skip(); err != nil {
				return nil, err
			}
			b.text, b.size, b.quoted = false, p.size, (p.size+2)/3*4
			return b, nil
		case err != nil:
			return nil, err
		case len(out) == 0:
			b.size = p.size
			return b, nil
		}
	}
}

// Encoding returns "base64" if the body is not UTF-8, and "" if it is.
func (b *Body) Encoding() string {
	if b.text {
		return ""
	}
	return "base64"
}

// MarshalJSON returns a mark, which New replaces by the body. It is random, so that it
// stands nowhere else; what is computed from it is another for each Look.
func (b *Body) MarshalJSON() ([]byte, error) { return json.Marshal(b.mark) }

// quoting returns what writes the body into a document.
func (b *Body) quoting() quoting {
	if b.text {
		return quoteText
	}
	return quoteBase64
}
