package inject

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// path is a parsed JSON path.
type path struct {
	text    string
	parts   []string
	pointer bool
}

func parsePath(text string) (path, error) {
	if text == "" {
		return path{}, fmt.Errorf("%w: json needs a path", ErrLocation)
	}
	if !utf8.ValidString(text) {
		return path{}, fmt.Errorf("%w: json path is not UTF-8", ErrLocation)
	}
	p := path{text: text}
	if pointer, ok := strings.CutPrefix(text, "/"); ok {
		p.pointer = true
		p.parts = strings.Split(pointer, "/")
	} else {
		p.parts = strings.Split(text, ".")
	}
	if len(p.parts) > MaxDepth {
		return path{}, fmt.Errorf("%w: json path has more than %d parts", ErrLocation, MaxDepth)
	}
	for i, part := range p.parts {
		if !p.pointer && part == "" {
			return path{}, fmt.Errorf("%w: json path %q has an empty part", ErrLocation, text)
		}
		if p.pointer {
			name, ok := unescapePointer(part)
			if !ok {
				return path{}, fmt.Errorf("%w: json path %q has a ~ that neither 0 nor 1 follows", ErrLocation, text)
			}
			p.parts[i] = name
		}
	}
	return p, nil
}

// pointerEscapes is applied in one pass, so that ~01 becomes ~1 and not a slash.
var pointerEscapes = strings.NewReplacer("~0", "~", "~1", "/")

func unescapePointer(part string) (name string, ok bool) {
	escapes := strings.Count(part, "~0") + strings.Count(part, "~1")
	return pointerEscapes.Replace(part), escapes == strings.Count(part, "~")
}

// appends says whether the i-th part names the place after an array's last element.
func (p path) appends(i int) bool {
	return p.pointer && p.parts[i] == "-"
}

// index returns the i-th part as an array index; ok is false if it is none. As in
// RFC 6901 an index has no leading zeros.
func (p path) index(i int) (index int, ok bool) {
	part := p.parts[i]
	if len(part) > 1 && part[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(part, 10, 64)
	// What does not fit an int is the greatest one: beyond any array's end.
	return int(min(n, math.MaxInt)), err == nil || errors.Is(err, strconv.ErrRange)
}
