package module

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// newReplacer returns a replacer that knows the given values and no others.
func newReplacer(values map[string]string) *caddy.Replacer {
	repl := caddy.NewEmptyReplacer()
	for key, value := range values {
		repl.Set(key, value)
	}
	return repl
}

func TestPlaceholdersAreReplacedOnceAndBracesStay(t *testing.T) {
	repl := newReplacer(map[string]string{
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
		if got := newValue(text).expand(repl, asIs); got != want {
			t.Errorf("%s gives %s, want %s", text, got, want)
		}
	}
}

func TestValueTellsItsPlaceholders(t *testing.T) {
	v := newValue(`{"a":"{x}","b":{y.z}} {} {no place} {x}`)
	if got, want := v.keys(), []string{"x", "y.z", "x"}; !slices.Equal(got, want) {
		t.Errorf("keys are %q, want %q", got, want)
	}
	if got, want := v.with("0"), `{"a":"0","b":0} {} {no place} 0`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDataStaysDataInsideAJSONLiteral(t *testing.T) {
	literal := newValue(`{"to":"{data}","list":["{data}!"]}`)
	for _, data := range []string{
		"", "plain", `"`, `\`, `","admin":true,"x":"`, "\x00\n\r\t\u2028", "{data}", "</script>", "ä😀", "\xff",
	} {
		text := literal.expand(newReplacer(map[string]string{"data": data}), insideJSON)
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
