package dashboard

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// deepest is how deep lines are indented at most: nothing that is nested deeper takes more
	// room.
	deepest = 40
	// prettyFactor bounds how many times its length a text gets when it is indented.
	prettyFactor = 4
)

// pretty returns JSON with a line for each value. Numbers and texts stay as they are, whatever
// they hold. What is cut off, or no JSON, is indented as far as it looks like it. No more than
// most bytes are read.
func pretty(data []byte, most int) string {
	data = data[:min(len(data), most)]
	p := prettyPrinter{data: data, most: prettyFactor * (len(data) + deepest)}
	for p.at < len(data) && p.out.Len() < p.most {
		p.next()
	}
	if p.at < len(data) {
		p.out.WriteString(" …")
	}
	return p.out.String()
}

// prettyPrinter indents a JSON text.
type prettyPrinter struct {
	data  []byte
	at    int
	depth int
	out   strings.Builder
	most  int
}

// next writes the next piece: a text, a mark, or what stands between marks.
func (p *prettyPrinter) next() {
	c := p.data[p.at]
	switch c {
	case ' ', '\t', '\r', '\n':
		p.at++
		return
	case '"':
		p.text()
		return
	case '{', '[':
		p.open(c)
	case '}', ']':
		p.depth = max(0, p.depth-1)
		p.line()
		p.out.WriteByte(c)
	case ',':
		p.out.WriteByte(c)
		p.line()
	case ':':
		p.out.WriteString(": ")
	default:
		p.out.WriteByte(c)
	}
	p.at++
}

// open begins an object or an array. An empty one stays in its line.
func (p *prettyPrinter) open(c byte) {
	p.out.WriteByte(c)
	end := p.at + 1
	for end < len(p.data) && strings.IndexByte(" \t\r\n", p.data[end]) >= 0 {
		end++
	}
	// In ASCII, what closes comes two after what opens.
	if end < len(p.data) && p.data[end] == c+2 {
		p.out.WriteByte(c + 2)
		p.at = end
		return
	}
	p.at = end - 1
	p.depth++
	p.line()
}

// text writes a text with its quotes.
func (p *prettyPrinter) text() {
	end := p.at + 1
	for end < len(p.data) && p.data[end] != '"' {
		if p.data[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end+1, len(p.data))
	p.out.Write(p.data[p.at:end])
	p.at = end
}

func (p *prettyPrinter) line() {
	p.out.WriteByte('\n')
	for range min(p.depth, deepest) {
		p.out.WriteString("  ")
	}
}

// isText reports whether people can read a body as text: it is UTF-8 without any NUL. cut says
// that it goes on.
func isText(data []byte, cut bool) bool {
	if cut {
		// The last character may be cut.
		for i := 0; i < utf8.UTFMax && len(data) > 0; i++ {
			r, n := utf8.DecodeLastRune(data)
			if r != utf8.RuneError || n > 1 {
				break
			}
			data = data[:len(data)-1]
		}
	}
	return utf8.Valid(data) && bytes.IndexByte(data, 0) < 0
}

// looksLikeJSON reports whether a text begins as JSON documents do.
func looksLikeJSON(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return len(data) > 0 && (data[0] == '{' || data[0] == '[')
}

const hexColumns = 16

// hexDump writes bytes with their places and, where they are visible ASCII, as characters.
func hexDump(data []byte) string {
	var b strings.Builder
	for at := 0; at < len(data); at += hexColumns {
		line := data[at:min(at+hexColumns, len(data))]
		digits, visible := hex.EncodeToString(line), make([]byte, len(line))
		for i, c := range line {
			if visible[i] = c; c < ' ' || c > '~' {
				visible[i] = '.'
			}
		}
		fmt.Fprintf(&b, "%08x ", at)
		for i := 0; i < len(digits); i += 2 {
			b.WriteString(" " + digits[i:i+2])
		}
		b.WriteString(strings.Repeat("   ", hexColumns-len(line)) + "  " + string(visible) + "\n")
	}
	return b.String()
}
