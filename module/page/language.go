package page

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Language returns which of the offered languages (BCP 47) suits a client best that says in
// Accept-Language what its person reads: for each of these, from the dearest on, the language
// itself or what is left of it without its last parts (RFC 4647, section 3.4), or one that is
// closer described. If none suits, it is the first.
func Language(r *http.Request, offered []string) string {
	if len(offered) == 0 {
		return ""
	}
	for _, wanted := range languagesOf(r.Header.Values("Accept-Language")) {
		for tag := wanted; tag != ""; tag = shorter(tag) {
			if i := slices.IndexFunc(offered, func(o string) bool { return strings.EqualFold(o, tag) }); i >= 0 {
				return offered[i]
			}
		}
		if i := slices.IndexFunc(offered, func(o string) bool { return strings.HasPrefix(strings.ToLower(o), wanted+"-") }); i >= 0 {
			return offered[i]
		}
	}
	return offered[0]
}

// VaryLanguage says that an answer depends on the language.
func VaryLanguage(h http.Header) {
	const name = "Accept-Language"
	if !slices.Contains(h.Values("Vary"), name) {
		h.Add("Vary", name)
	}
}

// maxLanguages bounds how many languages of a client are looked at.
const maxLanguages = 32

// languagesOf returns the languages in lines of Accept-Language, in small letters, the dearest
// first. Those that are refused, and "*", are left out.
func languagesOf(lines []string) []string {
	type weighed struct {
		tag     string
		quality float64
	}
	var all []weighed
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			tag, parameter, weighs := strings.Cut(element, ";")
			tag = strings.ToLower(strings.TrimSpace(tag))
			quality := 1.0
			if weighs {
				name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
				q, err := strconv.ParseFloat(value, 64)
				if name != "q" || err != nil {
					continue
				}
				quality = q
			}
			if tag == "" || tag == "*" || !(quality > 0) || len(all) == maxLanguages {
				continue
			}
			all = append(all, weighed{tag, quality})
		}
	}
	slices.SortStableFunc(all, func(a, b weighed) int {
		switch {
		case a.quality > b.quality:
			return -1
		case a.quality < b.quality:
			return 1
		}
		return 0
	})
	tags := make([]string, len(all))
	for i, w := range all {
		tags[i] = w.tag
	}
	return tags
}

// shorter returns a language without its last part, and without a single letter that then
// stands at the end; "" if nothing is left.
func shorter(tag string) string {
	i := strings.LastIndexByte(tag, '-')
	if i < 0 {
		return ""
	}
	tag = tag[:i]
	if i = strings.LastIndexByte(tag, '-'); i == len(tag)-2 {
		tag = tag[:max(i, 0)]
	}
	return tag
}
