package config

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// valuesOf returns a function that finds the given values and no others.
func valuesOf(values map[string]string) func(key string) (string, bool) {
	return func(key string) (string, bool) {
		value, ok := values[key]
		return value, ok
	}
}

func TestPlaceholdersAreReplacedOnceAndBracesStay(t *testing.T) {
	get := valuesOf(map[string]string{
		"a": "1", "empty": "", "deep": "{a}", "json": `{"x":"{a}"}`, "http.callback.url": "https://app.example.com/cb/x", "file./b": "c",
	})
	for text, want := range map[string]string{
		"":                             "",
		"plain":                        "plain",
		"{a}":                          "1",
		"<{a}{a}>":                     "<11>",
		"[{empty}]":                    "[]",
		"{deep}":                       "{a}",
		"{json}{a}":                    `{"x":"{a}"}1`,
		"{http.callback.url}?":         "https://app.example.com/cb/x?",
		"{file./b}":                    "c",
		"{unknown}":                    "{unknown}",
		"{":                            "{",
		"}{":                           "}{",
		"{a":                           "{a",
		"{}":                           "{}",
		"{}{a}":                        "{}1",
		"{{a}}":                        "{1}",
		`{"a":"{a}"}`:                  `{"a":"1"}`,
		`{"a":{"b":{}}}`:               `{"a":{"b":{}}}`,
		`{"list":[{"a":"{a}"},{a}]}`:   `{"list":[{"a":"1"},1]}`,
		"{ a }":                        "{ a }",
		"{a,b}":                        "{a,b}",
		"{\"a\n\"}{a}":                 "{\"a\n\"}1",
		"${a}":                         "$1",
		"\\{a}":                        "\\1",
		"{http.callback.url}{deep}{a}": "https://app.example.com/cb/x{a}1",
	} {
		if got := NewValue(text).Expand(get, func(s string) string { return s }); got != want {
			t.Errorf("%s gives %s, want %s", text, got, want)
		}
	}
}

func TestValueTellsItsPlaceholders(t *testing.T) {
	v := NewValue(`{"a":"{x}","b":{y.z}} {} {no place} {x}`)
	if got, want := v.Keys(), []string{"x", "y.z", "x"}; !slices.Equal(got, want) {
		t.Errorf("keys are %q, want %q", got, want)
	}
	if got, want := v.With("0"), `{"a":"0","b":0} {} {no place} 0`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDataStaysDataInsideAJSONLiteral(t *testing.T) {
	literal := NewValue(`{"to":"{data}","list":["{data}!"]}`)
	for _, data := range []string{
		"", "plain", `"`, `\`, `","admin":true,"x":"`, "\x00\n\r\t\u2028", "{data}", "</script>", "ä😀", "\xff",
	} {
		text := literal.Expand(valuesOf(map[string]string{"data": data}), inject.QuoteWithin)
		var got struct {
			To    string   `json:"to"`
			List  []string `json:"list"`
			Admin bool     `json:"admin"`
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%q gives %s: %v", data, text, err)
			continue
		}
		want := data
		if data == "\xff" {
			want = "\uFFFD"
		}
		if got.To != want || len(got.List) != 1 || got.List[0] != want+"!" || got.Admin {
			t.Errorf("%q gives %s", data, text)
		}
	}
}
