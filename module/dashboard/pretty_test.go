package dashboard

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/linear"
)

func TestJSONGetsALineForEachValue(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		``:                     ``,
		`{}`:                   `{}`,
		"[ \n ]":               `[]`,
		`{"a":1.50,"b":[]}`:    "{\n  \"a\": 1.50,\n  \"b\": []\n}",
		`[1e400,{"a,]":"{"}]`:  "[\n  1e400,\n  {\n    \"a,]\": \"{\"\n  }\n]",
		`["\"]\\", "\u0041"]`:  "[\n  \"\\\"]\\\\\",\n  \"\\u0041\"\n]",
		`12345678901234567890`: `12345678901234567890`,
		`{"a":"unfinished`:     "{\n  \"a\": \"unfinished",
		`{"a":"\`:              "{\n  \"a\": \"\\",
		`]]]}`:                 "\n]\n]\n]\n}",
		`{"a":`:                "{\n  \"a\": ",
		`[`:                    "[\n  ",
	} {
		if got := pretty([]byte(given), 1<<10); got != want {
			t.Errorf("%s:\n%q, want\n%q", given, got, want)
		}
	}
	if got := pretty([]byte(`[1,2,3]`), 4); got != "[\n  1,\n  2" {
		t.Errorf("what is cut: %q", got)
	}
}

func TestDeeplyNestedJSONIsIndentedInTheTimeOfItsLength(t *testing.T) {
	linear.Check(t, 1000, func(n int) func() {
		data := bytes.Repeat([]byte{'['}, n)
		return func() {
			if got := pretty(data, len(data)); len(got) > prettyFactor*(n+deepest)+2*deepest+4 {
				t.Errorf("%d bytes become %d", n, len(got))
			}
		}
	})
}

func FuzzPretty(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.50,{}],"b":"\u0000\""}`, `[[[]]]`, `"`, `{"a":"\`, "\xff\x00", ` [ ] `} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := pretty(data, len(data))
		if len(got) > prettyFactor*(len(data)+deepest)+2*deepest+8+len(data) {
			t.Errorf("%d bytes become %d", len(data), len(got))
		}
		if !json.Valid(data) || strings.HasSuffix(got, "…") {
			return
		}
		var before, after bytes.Buffer
		if err := json.Compact(&before, data); err != nil {
			t.Fatal(err)
		}
		if err := json.Compact(&after, []byte(got)); err != nil || !bytes.Equal(before.Bytes(), after.Bytes()) {
			t.Errorf("%q becomes %q: %v", data, got, err)
		}
	})
}

func TestWhatCanBeReadIsShownAsText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		data string
		cut  bool
		want string
	}{
		{"", false, "empty"}, {"plain\r\n", false, "text"}, {"ümlaut", false, "text"}, {"\xff\xfe", false, "hex"}, {"a\x00b", false, "hex"},
		{"half a character \xe4\xbd", false, "hex"}, {"half a character \xe4\xbd", true, "text"}, {"\xbd", true, "text"}, {` {"a":1}`, false, "json"}, {`[1,`, true, "json"}, {"<a/>", false, "text"},
	} {
		if got := newContent([]byte(c.data), c.cut); got.Kind != c.want {
			t.Errorf("%q is %s, want %s", c.data, got.Kind, c.want)
		}
	}
}

func TestBytesAreShownWithTheirPlaces(t *testing.T) {
	t.Parallel()
	want := "00000000  00 01 61 62 63 ff 7f 3c 64 65 66 67 68 69 6a 6b  ..abc..<defghijk\n00000010  6c                                               l\n"
	if got := hexDump([]byte("\x00\x01abc\xff\x7f<defghijkl")); got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
	if c := newContent(make([]byte, 2*mostHex), false); !c.Cut || len(c.Text) > 6*mostHex {
		t.Errorf("cut %v, %d bytes", c.Cut, len(c.Text))
	}
}
