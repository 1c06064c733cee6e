package command

import (
	"bufio"
	"io"
	"strings"
)

// maxEventLine bounds a line of an event stream, in bytes.
const maxEventLine = 64 << 10

// event is an event of a stream (HTML standard, section 9.2).
type event struct {
	name, id string
	data     []byte
}

// eventReader reads events.
type eventReader struct {
	lines *bufio.Scanner
	id    string
}

func newEventReader(r io.Reader) *eventReader {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEventLine)
	return &eventReader{lines: lines}
}

// next returns the next event. One without data tells only the id. The error is that of the
// stream, io.EOF at its end; an event that has not ended is none.
func (r *eventReader) next() (e event, err error) {
	for r.lines.Scan() {
		name, value, _ := strings.Cut(r.lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case r.lines.Text() == "":
			e.id = r.id
			return e, nil
		case name == "event":
			e.name = value
		case name == "id":
			r.id = value
		case name == "data":
			e.data = append(e.data, value...)
		}
	}
	if err := r.lines.Err(); err != nil {
		return event{}, err
	}
	return event{}, io.EOF
}
