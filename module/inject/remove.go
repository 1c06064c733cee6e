package inject

import "strings"

// RemoveQuery returns the raw query, or the text of a form body, without the
// parameters of that name. The others keep their order and every byte.
func RemoveQuery(raw, name string) string {
	return KeepQuery(raw, func(segment string) bool {
		key, _, ok := split(segment)
		return ok && key != name
	})
}

// KeepQuery returns the raw query with those of its segments that are kept. They keep their
// order and every byte.
func KeepQuery(raw string, keep func(segment string) bool) string {
	var b strings.Builder
	for segment := range strings.SplitSeq(raw, "&") {
		if !keep(segment) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(segment)
	}
	return b.String()
}
