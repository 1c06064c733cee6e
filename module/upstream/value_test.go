package upstream

import (
	"encoding/json"
	"testing"
)

func TestEndOfAValueIsFoundWhereverTheBytesAreSplit(t *testing.T) {
	for body, end := range map[string]int{
		`{}`: 2, `[]`: 2, ` {"a":1} `: 8, "\n[[1],{\"b\":[]}]x": 15, `""`: 2, `"a\"b"`: 6, `"\\"`: 4, `{"}":"{"}`: 9, `["\\\"]",1]`: 11,
		"\ufeff{}": 5, `{"a":"\u007d"}`: 14, `{`: -1, `{"a":"}`: -1, `{"a":"\`: -1, `12`: -1, `-1.5e3`: -1, `true`: -1, ` null `: -1, ``: -1, ` `: -1,
		// What cannot be JSON is looked at at once.
		`ok`: 1, `<html>`: 1, `a=b`: 1, `}`: 1, `]`: 1,
	} {
		for split := range len(body) + 1 {
			var v valueEnd
			got := -1
			for i := range len(body) {
				if i < split {
					// A byte at a time, and then the rest at once.
					if _, ended := v.add([]byte{body[i]}); ended {
						got = i + 1
						break
					}
					continue
				}
				if n, ended := v.add([]byte(body[i:])); ended {
					got = i + n
				}
				break
			}
			if got != end {
				t.Errorf("%q, split at %d: the end is %d, want %d", body, split, got, end)
			}
		}
	}
}

func FuzzEndOfAValue(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"\"}"]}`, `[]`, `"\\"`, "\ufeff{}", `{"a":{}}`, `1`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) {
			return
		}
		var v valueEnd
		for i, c := range body {
			if _, ended := v.add([]byte{c}); ended {
				if !json.Valid(body[:i+1]) {
					t.Fatalf("the end of %q is not at %d", body, i)
				}
				return
			}
		}
		var value any
		if json.Unmarshal(body, &value) == nil {
			switch value.(type) {
			case map[string]any, []any, string:
				t.Fatalf("%q has no end", body)
			}
		}
	})
}
