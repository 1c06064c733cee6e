package verify

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// kind says what stands in a place of the text that is signed.
type kind int

const (
	isText kind = iota
	isID
	isTime
	isBody
	isMethod
	isURL
)

// piece is a part of the text that is signed.
type piece struct {
	kind kind
	text string
}

func text(s string) piece { return piece{text: s} }

// named are the pieces that a Custom can name in braces.
var named = map[string]kind{"timestamp": isTime, "body": isBody, "method": isMethod, "url": isURL}

// maxSigns bounds the text that says what is signed, in bytes.
const maxSigns = 256

// parseSigns reads a text like "{timestamp}.{body}".
func parseSigns(signs string) (pieces []piece, err error) {
	if len(signs) > maxSigns {
		return nil, fmt.Errorf("signs has more than %d bytes", maxSigns)
	}
	for rest := signs; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return nil, fmt.Errorf("signs %q has a brace that ends nothing", signs)
		}
		if before != "" {
			pieces = append(pieces, text(before))
		}
		if !found {
			break
		}
		name, left, closed := strings.Cut(after, "}")
		k, known := named[name]
		if !closed || !known {
			return nil, fmt.Errorf("signs %q must have {timestamp}, {body}, {url} or {method} where it has braces", signs)
		}
		if has(pieces, k) {
			return nil, fmt.Errorf("signs %q has {%s} twice", signs, name)
		}
		pieces, rest = append(pieces, piece{kind: k}), left
	}
	if !has(pieces, isBody) {
		return nil, fmt.Errorf("signs %q does not have {body}: anybody could change the body", signs)
	}
	return pieces, nil
}

func has(pieces []piece, k kind) bool {
	return slices.ContainsFunc(pieces, func(p piece) bool { return p.kind == k })
}

// writeSigned writes the text that is signed of a call to one of its URLs.
func writeSigned(w io.Writer, pieces []piece, s shown, m Message, to string) {
	for _, p := range pieces {
		switch p.kind {
		case isText:
			_, _ = io.WriteString(w, p.text)
		case isID:
			_, _ = io.WriteString(w, s.id)
		case isTime:
			_, _ = io.WriteString(w, s.timestamp)
		case isBody:
			_, _ = w.Write(m.Body)
		case isMethod:
			_, _ = io.WriteString(w, m.Method)
		case isURL:
			_, _ = io.WriteString(w, to)
		}
	}
}
