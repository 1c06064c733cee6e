package answer

import (
	"encoding/base64"
	"errors"
	"io"
	"unicode/utf8"
)

// EventStream is the media type of event streams.
const EventStream = "text/event-stream"

// Events writes an event stream (HTML standard, section 9.2). It buffers nothing beyond the
// piece of memory that it has.
//
// What partners send stands in it, and cannot forge events: each of its lines, wherever a
// reader sees the end of one, has a field name of ours before it. A reader sees LF for each of
// these ends, whatever it was.
type Events struct {
	w io.Writer
	// in is what data is read into, out what is written at once.
	in, out []byte
	// begun says that the line that is being written has its field name, returned that the
	// last one has ended with CR.
	begun, returned bool
	err             error
}

// NewEvents returns a writer of events. The piece has 128 bytes at least; the larger it is,
// up to some 64 KiB, the faster.
func NewEvents(w io.Writer, piece []byte) *Events {
	half := len(piece) / 2
	return &Events{w: w, in: piece[:half], out: piece[half:half]}
}

// Mark tells the reader an id without an event: it comes back with that.
func (e *Events) Mark(id string) error {
	e.field("id", id)
	return e.end()
}

// Comment writes a comment, which readers skip.
func (e *Events) Comment() error {
	e.add(":\n")
	return e.end()
}

// Event writes an event. Name and id hold no line breaks. The data is text in UTF-8, or goes
// in base64. The error is that of the data or that of the writer; an event that has not ended
// is none to the reader.
func (e *Events) Event(name, id string, data io.Reader, inBase64 bool) error {
	e.field("event", name)
	e.field("id", id)
	e.begun, e.returned = false, false
	if inBase64 {
		e.begin()
		to := base64.NewEncoder(base64.StdEncoding, (*verbatim)(e))
		e.copy(data, func(b []byte) { _, _ = to.Write(b) })
		_ = to.Close()
	} else {
		e.copy(data, e.text)
		e.begin()
	}
	e.add("\n")
	return e.end()
}

// end ends an event or a comment, and writes what is left of it.
func (e *Events) end() error {
	e.add("\n")
	e.flush()
	return e.err
}

func (e *Events) field(name, value string) {
	e.add(name)
	e.add(": ")
	e.add(value)
	e.add("\n")
}

// copy hands all of data on, in pieces.
func (e *Events) copy(data io.Reader, take func([]byte)) {
	for e.err == nil {
		n, err := data.Read(e.in)
		take(e.in[:n])
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil && e.err == nil:
			e.err = err
		}
	}
}

// text writes a piece of text.
func (e *Events) text(b []byte) {
	for len(b) > 0 {
		if e.returned && b[0] == '\n' {
			// It belongs to the CR before it.
			b, e.returned = b[1:], false
			continue
		}
		e.returned = false
		e.begin()
		n := 0
		for n < len(b) && b[n] != '\n' && b[n] != '\r' {
			n++
		}
		addTo(e, b[:n])
		if n < len(b) {
			e.add("\n")
			e.begun, e.returned = false, b[n] == '\r'
			n++
		}
		b = b[n:]
	}
}

// begin makes sure that the line of data has its field name.
func (e *Events) begin() {
	if !e.begun {
		e.add("data: ")
		e.begun = true
	}
}

func (e *Events) add(s string) { addTo(e, s) }

func addTo[T string | []byte](e *Events, s T) {
	for len(s) > 0 && e.err == nil {
		if len(e.out) == cap(e.out) {
			e.flush()
		}
		n := copy(e.out[len(e.out):cap(e.out)], s)
		e.out = e.out[:len(e.out)+n]
		s = s[n:]
	}
}

// flush writes what was added.
func (e *Events) flush() {
	if e.err == nil && len(e.out) > 0 {
		_, e.err = e.w.Write(e.out)
	}
	e.out = e.out[:0]
}

// verbatim writes what needs no field names.
type verbatim Events

// Write implements io.Writer.
func (v *verbatim) Write(b []byte) (int, error) {
	addTo((*Events)(v), b)
	return len(b), v.err
}

// IsText reports whether data is UTF-8. It reads all of it, unless it is not, in pieces of
// that size, which is 4 at least.
func IsText(data io.Reader, piece []byte) (bool, error) {
	for kept := 0; ; {
		n, err := data.Read(piece[kept:])
		n += kept
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		whole := piece[:n]
		if err == nil {
			whole = whole[:n-unfinished(whole)]
		}
		if !utf8.Valid(whole) {
			return false, nil
		}
		if err != nil {
			return true, nil
		}
		kept = copy(piece, piece[len(whole):n])
	}
}

// unfinished returns how many bytes at the end of b begin a character without ending it.
func unfinished(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if first := b[len(b)-n]; utf8.RuneStart(first) {
			if utf8.FullRune(b[len(b)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}
