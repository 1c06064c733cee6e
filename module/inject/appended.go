package inject

import "strings"

// SplitAppended returns the raw query with what was appended to the parameters of that
// name made parameters of their own: some software adds "?a=b" to a URL that has a query
// already, and "&c=d" to that. Their values end at the first question mark, unless whole,
// which may be nil, says that a value is one as it stands.
func SplitAppended(raw, name string, whole func(value string) bool) string {
	if !strings.Contains(raw, "?") && !strings.Contains(raw, "%3") {
		return raw
	}
	var b strings.Builder
	b.Grow(len(raw))
	separator := ""
	for segment := range strings.SplitSeq(raw, "&") {
		b.WriteString(separator)
		separator = "&"
		key, value, ok := split(segment)
		if !ok || key != name || whole != nil && whole(unescape(value)) {
			b.WriteString(segment)
			continue
		}
		end, rest := cutAppended(value)
		if end < 0 {
			b.WriteString(segment)
			continue
		}
		b.WriteString(segment[:len(segment)-len(value)+end])
		if rest != "" {
			b.WriteString("&" + rest)
		}
	}
	return b.String()
}

// escapedQuery has the signs of a query that was escaped together with the value that it
// was appended to.
var escapedQuery = strings.NewReplacer("%3F", "?", "%3f", "?", "%3D", "=", "%3d", "=", "%26", "&")

// cutAppended returns where an escaped value ends, -1 if nothing was appended to it, and
// what was appended.
func cutAppended(value string) (end int, rest string) {
	mark := strings.IndexByte(value, '?')
	escaped := escapedMark(value)
	switch {
	case escaped >= 0 && (mark < 0 || escaped < mark):
		return escaped, escapedQuery.Replace(value[escaped+len("%3F"):])
	case mark >= 0:
		return mark, value[mark+1:]
	}
	return -1, ""
}

// escapedMark returns where the first escaped question mark stands, -1 if there is none.
func escapedMark(value string) int {
	upper, lower := strings.Index(value, "%3F"), strings.Index(value, "%3f")
	if upper < 0 || lower >= 0 && lower < upper {
		return lower
	}
	return upper
}
