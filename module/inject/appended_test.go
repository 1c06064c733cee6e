package inject_test

import (
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

func TestWhatIsAppendedToAValueIsTheRestOfTheQuery(t *testing.T) {
	for name, c := range map[string]struct{ raw, want string }{
		"nothing":                    {"k=v&a=1", "k=v&a=1"},
		"empty":                      {"", ""},
		"a parameter":                {"k=v?a=1", "k=v&a=1"},
		"several":                    {"k=v?a=1&b=2", "k=v&a=1&b=2"},
		"after others":               {"z=0&k=v?a=1", "z=0&k=v&a=1"},
		"a mark alone":               {"k=v?&a=1", "k=v&a=1"},
		"a mark at the end":          {"k=v?", "k=v"},
		"the same again":             {"k=v?k=v", "k=v&k=v"},
		"in each of two":             {"k=v?a=1&k=v?b=2", "k=v&a=1&k=v&b=2"},
		"a second mark stays":        {"k=v?a=1?b=2", "k=v&a=1?b=2"},
		"in an empty value":          {"k=?a=1", "k=&a=1"},
		"no value":                   {"k?a=1", "k?a=1"},
		"in another parameter":       {"k=v&u=/x?a=1", "k=v&u=/x?a=1"},
		"escaped":                    {"k=v%3Fa%3D1%26b%3d2", "k=v&a=1&b=2"},
		"escaped, with other values": {"k=v%3fa=%C3%A4+b%20c%0A&d=%3F", "k=v&a=%C3%A4+b%20c%0A&d=%3F"},
		"escaped name":               {"%6B=v?a=%3F", "%6B=v&a=%3F"},
		"escaped twice stays":        {"k=v%253Fa=1", "k=v%253Fa=1"},
		"whole":                      {"k=w?hole&a=1", "k=w?hole&a=1"},
		"whole and escaped":          {"k=w%3Fhole&a=1", "k=w%3Fhole&a=1"},
		"odd bytes stay":             {"&&=%3&;k=v?b==%zz&\xff", "&&=%3&;k=v?b==%zz&\xff"},
	} {
		whole := func(value string) bool { return value == "w?hole" }
		if got := inject.SplitAppended(c.raw, "k", whole); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if got := inject.SplitAppended("k=w?hole", "k", nil); got != "k=w&hole" {
		t.Errorf("got %q", got)
	}
}

// FuzzSplitAppended makes sure that a value only ever becomes shorter, and that a query
// without the parameter stays as it is.
func FuzzSplitAppended(f *testing.F) {
	for _, raw := range []string{"k=v?a=1", "a=?&k=v%3fk=%3D?", "%6b=?k=?", "k"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := inject.SplitAppended(raw, "k", nil)
		if len(inject.GetQuery(raw, "k")) == 0 && got != raw {
			t.Fatalf("%q became %q", raw, got)
		}
		// What is left of the first value is how it began, escapes and all.
		if !strings.HasPrefix(firstValue(raw), firstValue(got)) {
			t.Fatalf("%q became %q", raw, got)
		}
	})
}

// firstValue returns the first value of k as it stands in the query.
func firstValue(raw string) string {
	for segment := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(segment, "=")
		if len(inject.GetQuery(name, "k")) > 0 {
			return value
		}
	}
	return ""
}
