package inject

import "strings"

// RemoveQuery returns the raw query, or the text of a form body, without the
// parameters of that name. The others keep their order and every byte.
func RemoveQuery(raw, name string) string {
	var b strings.Builder
	for segment := range strings.SplitSeq(raw, "&") {
		if key, _, ok := split(segment); !ok || key == name {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(segment)
	}
	return b.String()
}
