package inject

import (
	"iter"
	"net/url"
	"slices"
	"strings"
)

// isAlike reports whether PHP, and what follows it, takes the parameter in a segment for one
// of that name: it undoes each escape that is one, leaves out the spaces before a name, cuts it
// at a NUL and at brackets, and makes underscores of spaces, dots and an open bracket. For Node's
// qs, brackets around a name change nothing.
func isAlike[T string | []byte](segment T, name string) bool {
	key := keyOf(segment)
	for len(key) > 0 && (key[0] == '+' || key[0] == ' ') || len(key) > 2 && string(key[:3]) == "%20" {
		if key[0] == '%' {
			key = key[3:]
		} else {
			key = key[1:]
		}
	}
	// Only what can be the name, and what ends it, is copied: a body can be large.
	return len(key) > 0 && alike(unescapeEach(string(key[:min(len(key), maxEscaped*(len(name)+len("[]")))])), name)
}

// unescapeEach undoes each escape that is one, and leaves the rest as it is.
func unescapeEach(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		size := 1
		if _, err := url.QueryUnescape(text[i:min(len(text), i+maxEscaped)]); text[i] == '%' && err == nil {
			size = maxEscaped
		}
		b.WriteString(unescape(text[i : i+size]))
		i += size
	}
	return b.String()
}

// isAlike reports whether some readers take the part for one of that name.
func (p *part) isAlike(name string) bool {
	return slices.ContainsFunc(append(spellings(p.name), p.name), func(s string) bool { return alike(s, name) })
}

// alike reports whether a name is taken for another.
func alike(key, name string) bool {
	if name != "" && strings.HasPrefix(key, "["+name+"]") {
		return true
	}
	key, _, _ = strings.Cut(strings.TrimLeft(key, " "), "\x00")
	array, _, isArray := strings.Cut(key, "[")
	name = underscores.Replace(strings.TrimLeft(name, " "))
	return name != "" && (underscores.Replace(key) == name || isArray && underscores.Replace(array) == name)
}

var underscores = strings.NewReplacer(" ", "_", ".", "_", "[", "_")

// appendWithoutAlike appends a segment without the parameters after a semicolon that some
// readers take for one of that name.
func appendWithoutAlike[T string | []byte](dst []byte, segment T, name string) []byte {
	for i, part := range enumerate(segment, ';') {
		if i > 0 {
			if isNamed(part, name) || isAlike(part, name) {
				continue
			}
			dst = append(dst, ';')
		}
		dst = append(dst, part...)
	}
	return dst
}

// enumerate yields what stands between separators, with its number.
func enumerate[T string | []byte](raw T, separator byte) iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i, begin := 0, 0; begin <= len(raw); i++ {
			end := begin
			for end < len(raw) && raw[end] != separator {
				end++
			}
			if !yield(i, raw[begin:end]) {
				return
			}
			begin = end + 1
		}
	}
}
