package callback_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// values looks placeholders up in a map.
func values(m map[string]string) callback.Lookup {
	return func(name string) string { return m[name] }
}

func TestTemplateExpands(t *testing.T) {
	look := values(map[string]string{
		"id":              "42",
		"call.body":       "{http.callback.id}",
		"call.body.a.0.b": "deep",
		"half":            "{http.callback.",
		"closing":         "}",
	})
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                       {"", ""},
		"only text":                     {"hello", "hello"},
		"one placeholder":               {"{http.callback.id}", "42"},
		"text around":                   {"<{http.callback.id}>", "<42>"},
		"several":                       {"{http.callback.id}{http.callback.id}-{http.callback.id}", "4242-42"},
		"dotted name":                   {"{http.callback.call.body.a.0.b}", "deep"},
		"unknown name":                  {"[{http.callback.nobody}]", "[]"},
		"data that looks like one":      {"{http.callback.call.body}", "{http.callback.id}"},
		"data that completes one":       {"{http.callback.half}id}", "{http.callback.id}"},
		"data that closes one":          {"{http.callback.id{http.callback.closing}", ""},
		"JSON around":                   {`{"id":"{http.callback.id}"}`, `{"id":"42"}`},
		"other placeholders":            {"{env.HOME} {http.request.uri} {}", "{env.HOME} {http.request.uri} {}"},
		"unclosed":                      {"{http.callback.id", "{http.callback.id"},
		"unclosed after another":        {"{http.callback.id} {http.callback.id", "42 {http.callback.id"},
		"brace alone":                   {"{ } {{ }}", "{ } {{ }}"},
		"doubled braces":                {"{{http.callback.id}}", "{42}"},
		"prefix in another case":        {"{HTTP.callback.id}", "{HTTP.callback.id}"},
		"prefix without a name's brace": {"http.callback.id}", "http.callback.id}"},
	} {
		if got := callback.NewTemplate(c.text).Expand(look, 1<<20); got != c.want {
			t.Errorf("%s: %q became %q, want %q", name, c.text, got, c.want)
		}
	}
}

func TestTemplateNamesItsPlaceholders(t *testing.T) {
	got := callback.NewTemplate("{http.callback.id} {x} {http.callback.call.body.a}{http.callback.id}").Names()
	if !slices.Equal(got, []string{"id", "call.body.a", "id"}) {
		t.Errorf("got %q", got)
	}
	if names := callback.NewTemplate("no { placeholder }").Names(); len(names) != 0 {
		t.Errorf("got %q", names)
	}
}

// Values are inserted unchanged whatever they contain, and text without our prefix is
// never changed.
func TestTemplateNeverLooksAtDataAgain(t *testing.T) {
	fragment := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"{", "}", "{http.callback.", "{http.callback.id}", "{x}"}))
	text := rapid.Map(rapid.SliceOfN(fragment, 0, 6), func(s []string) string { return strings.Join(s, "") })
	rapid.Check(t, func(t *rapid.T) {
		value := text.Draw(t, "value")
		literal := strings.ReplaceAll(text.Draw(t, "literal"), "{"+callback.PlaceholderPrefix, "")
		looked := 0
		look := func(name string) string {
			looked++
			if name != "call.body" {
				t.Fatalf("looked up %q", name)
			}
			return value
		}
		got := callback.NewTemplate(literal+"{http.callback.call.body}"+literal).Expand(look, 1<<20)
		if want := literal + value + literal; got != want || looked != 1 {
			t.Fatalf("got %q, want %q, after %d look-ups", got, want, looked)
		}
	})
}
