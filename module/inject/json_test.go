package inject_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

func TestSetJSONSplices(t *testing.T) {
	for name, c := range map[string]struct{ body, path, literal, want string }{
		"into an empty object":            {`{}`, `a`, `1`, `{"a":1}`},
		"into a blank object":             {"{ \n}", `a`, `1`, "{\"a\":1 \n}"},
		"after the last member":           {`{ "b" : 2 }`, `a`, `1`, `{ "b" : 2,"a":1 }`},
		"over a value":                    {`{"b":1,"a": {"x":[1]} ,"c":2}`, `a`, `"v"`, `{"b":1,"a": "v" ,"c":2}`},
		"over null":                       {`{"a":null}`, `a`, `1`, `{"a":1}`},
		"over an escaped name":            {`{"\u0061\n":0}`, "/a\n", `1`, `{"\u0061\n":1}`},
		"over a name with a surrogate":    {`{"\ud83d\uDE00":0}`, "😀", `1`, `{"\ud83d\uDE00":1}`},
		"numbers keep their text":         {`{"n":1.0,"m":1e400,"o":12345678901234567890}`, `a`, `0`, `{"n":1.0,"m":1e400,"o":12345678901234567890,"a":0}`},
		"escapes and order stay":          {`{"z":"\u00e9\/","a":"é"}`, `m`, `0`, `{"z":"\u00e9\/","a":"é","m":0}`},
		"duplicates elsewhere stay":       {`{"x":1,"x":2,"y":{"a":1,"A":1},"a":0}`, `a`, `1`, `{"x":1,"x":2,"y":{"a":1,"A":1},"a":1}`},
		"space around the body stays":     {" {}\r\n\t", `a`, `1`, " {\"a\":1}\r\n\t"},
		"space around the literal goes":   {`{}`, `a`, "\n{\"b\": 1} ", `{"a":{"b": 1}}`},
		"below an object":                 {`{"d":{"x":0},"e":1}`, `d.a`, `1`, `{"d":{"x":0,"a":1},"e":1}`},
		"missing parents become objects":  {`{"x":0}`, `a.0.b`, `1`, `{"x":0,"a":{"0":{"b":1}}}`},
		"an index is a name in an object": {`{"0":{"1":0}}`, `0.1`, `1`, `{"0":{"1":1}}`},
		"over an element":                 {`[0, [1 ,2]]`, `1.0`, `9`, `[0, [9 ,2]]`},
		"over the last element":           {`[0,1]`, `1`, `9`, `[0,9]`},
		"at the end of an array":          {`[0, 1 ]`, `2`, `9`, `[0, 1,9 ]`},
		"into an empty array":             {`{"a":[ ]}`, `a.0`, `9`, `{"a":[9 ]}`},
		"into a new element":              {`[{}]`, `1.id`, `9`, `[{},{"id":9}]`},
		"pointer appends":                 {`{"a":[1]}`, `/a/-`, `9`, `{"a":[1,9]}`},
		"pointer makes what it appends":   {`{"a":[]}`, `/a/-/b`, `9`, `{"a":[{"b":9}]}`},
		"pointer makes the array":         {`{}`, `/a/-`, `9`, `{"a":[9]}`},
		"pointer makes arrays in objects": {`{}`, `/a/-/b/-`, `9`, `{"a":[{"b":[9]}]}`},
		"a minus names a member":          {`{"-":1}`, `/-`, `9`, `{"-":9}`},
		"a minus in dots is a name":       {`{}`, `a.-`, `9`, `{"a":{"-":9}}`},
		"pointer escapes":                 {`{"a/b":{"~1":0}}`, `/a~1b/~01`, `9`, `{"a/b":{"~1":9}}`},
		"pointer to the empty name":       {`{"":0}`, `/`, `9`, `{"":9}`},
		"pointer with a dot":              {`{}`, `/a.b`, `9`, `{"a.b":9}`},
		"dots with a slash":               {`{}`, `a/b`, `9`, `{"a/b":9}`},
		"a name that needs quoting":       {`{}`, "a\"<\x01", `9`, `{"a\"<\u0001":9}`},
		"a name beyond ASCII":             {`{}`, `é`, `9`, `{"é":9}`},
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(c.body)
			got, err := inject.SetJSON(nil, body, c.path, []byte(c.literal))
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
			if string(body) != c.body {
				t.Errorf("body became %s", body)
			}
		})
	}
}

func TestSetJSONSaysWhyAPathDoesNotFit(t *testing.T) {
	for name, c := range map[string]struct{ body, path, want string }{
		"scalar body":              {`"secret"`, `a`, `no place for "a" in a scalar at byte 0`},
		"scalar on the way":        {`{"d": 12}`, `d.a`, `no place for "a" in a scalar at byte 6`},
		"null on the way":          {`{"d":null}`, `d.a`, `no place for "a" in a scalar at byte 5`},
		"name in an array":         {`{"d":[{}]}`, `d.a`, `no place for "a" in an array at byte 5`},
		"leading zero":             {`[0,1]`, `01`, `no place for "01" in an array at byte 0`},
		"negative index":           {`[0,1]`, `-1`, `no place for "-1" in an array at byte 0`},
		"minus in dots":            {`[0,1]`, `-`, `no place for "-" in an array at byte 0`},
		"empty part in an array":   {`[0,1]`, `/`, `no place for "" in an array at byte 0`},
		"index beyond the end":     {`[0,1]`, `3`, `no place for "3" in an array that is too short at byte 0`},
		"index beyond any integer": {`[]`, `99999999999999999999`, `no place for "99999999999999999999" in an array that is too short at byte 0`},
		"name twice":               {`{"a":1,"b":2,"a":3}`, `a`, `"a" twice, or in another case, at byte 13`},
		"name in another case":     {`{"CallbackUrl":1}`, `callbackUrl`, `"callbackUrl" twice, or in another case, at byte 1`},
		"name in another folding":  {`{"k":1,"\u212a":2}`, `k`, `"k" twice, or in another case, at byte 7`},
		"name before in a case":    {`{"A":1,"a":2}`, `a`, `"a" twice, or in another case, at byte 1`},
		"parent twice":             {`{"d":{},"d":{}}`, `d.a`, `"d" twice, or in another case, at byte 8`},
		"escaped parent twice":     {`{"d":{},"\u0064":{}}`, `d.a`, `"d" twice, or in another case, at byte 8`},
		"grandchild twice":         {`{"d":[{"a":1,"A":1}]}`, `d.0.a`, `"a" twice, or in another case, at byte 13`},
		"twice below a scalar":     {`{"d":1,"d":{}}`, `d.a`, `"d" twice, or in another case, at byte 7`},
	} {
		t.Run(name, func(t *testing.T) {
			want := "path does not fit the body: json " + c.path + ": " + c.want
			got, err := inject.SetJSON(nil, []byte(c.body), c.path, []byte(`1`))
			if got != nil || !errors.Is(err, inject.ErrPath) || err.Error() != want {
				t.Errorf("got %s, %v, want %s", got, err, want)
			}
		})
	}
}

func TestOnlyOneValidValueIsABody(t *testing.T) {
	for body, want := range map[string]string{
		"":                                     "no value at byte 0",
		" \n":                                  "no value at byte 2",
		"\ufeff\ufeff{}":                       "unexpected character at byte 3",
		"\ufeff":                               "no value at byte 3",
		"{} {}":                                "more after the value at byte 3",
		"{}\x00":                               "more after the value at byte 2",
		"{":                                    "unexpected end at byte 1",
		"[":                                    "unexpected end at byte 1",
		`{"a"`:                                 "unexpected end at byte 4",
		`{"a":`:                                "unexpected end at byte 5",
		`{"a":1`:                               "unexpected end at byte 6",
		`{"a":1,}`:                             "unexpected character at byte 7",
		`{"a":1 "b":2}`:                        "unexpected character at byte 7",
		`{"a" 1}`:                              "unexpected character at byte 5",
		`{a:1}`:                                "unexpected character at byte 1",
		`{'a':1}`:                              "unexpected character at byte 1",
		`{1:1}`:                                "unexpected character at byte 1",
		`{,}`:                                  "unexpected character at byte 1",
		`[1,]`:                                 "unexpected character at byte 3",
		`[1}`:                                  "unexpected character at byte 2",
		`[,]`:                                  "unexpected character at byte 1",
		`]`:                                    "unexpected character at byte 0",
		`[tru]`:                                "unexpected character at byte 4",
		`fals3`:                                "unexpected character at byte 4",
		`nul`:                                  "unexpected end at byte 3",
		`NaN`:                                  "unexpected character at byte 0",
		`[01]`:                                 "unexpected character at byte 2",
		`-`:                                    "unexpected end at byte 1",
		`[+1]`:                                 "unexpected character at byte 1",
		`[.5]`:                                 "unexpected character at byte 1",
		`[1.]`:                                 "unexpected character at byte 3",
		`[1e]`:                                 "unexpected character at byte 3",
		`[1e+]`:                                "unexpected character at byte 4",
		`"a`:                                   "unexpected end at byte 2",
		`"\`:                                   "unexpected end at byte 2",
		`"\x"`:                                 "unexpected character at byte 2",
		`"\u12g4"`:                             "unexpected character at byte 5",
		"\"a\nb\"":                             "unexpected character at byte 2",
		"\"\xff\"":                             "not UTF-8 at byte 1",
		"\"\xed\xa0\x80\"":                     "not UTF-8 at byte 1",
		"[\xc3\xa9]":                           "unexpected character at byte 1",
		"// c\n{}":                             "unexpected character at byte 0",
		strings.Repeat("[", 65):                "nested deeper than 64 levels at byte 64",
		`{"a":` + strings.Repeat(`[{"b":`, 32): "nested deeper than 64 levels at byte 192",
	} {
		want = "body is not usable JSON: json a: " + want
		if _, err := inject.SetJSON(nil, []byte(body), "a", []byte("1")); !errors.Is(err, inject.ErrNotJSON) || err.Error() != want {
			t.Errorf("SetJSON of %q: %v, want %s", body, err, want)
		}
		if _, _, err := inject.GetJSON([]byte(body), "a"); !errors.Is(err, inject.ErrNotJSON) || err.Error() != want {
			t.Errorf("GetJSON of %q: %v, want %s", body, err, want)
		}
	}
}

func TestDepthIsBoundedInBodyAndResult(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	deepPath := strings.Repeat("a.", inject.MaxDepth-1) + "a"
	for name, c := range map[string]struct {
		body, path, literal string
		want                error
	}{
		"deepest body":            {`{"b":` + nested(63) + `}`, "a", "1", nil},
		"body too deep":           {`{"b":` + nested(64) + `}`, "a", "1", inject.ErrNotJSON},
		"deepest literal":         {`{}`, "a", nested(63), nil},
		"literal too deep":        {`{}`, "a", nested(64), inject.ErrLiteral},
		"deepest path":            {`{}`, deepPath, "1", nil},
		"literal below the path":  {`{}`, deepPath, "[]", inject.ErrLiteral},
		"path deeper than 64":     {`{}`, "a." + deepPath, "1", inject.ErrLocation},
		"a million brackets":      {strings.Repeat("[", 1e6), "a", "1", inject.ErrNotJSON},
		"a million brackets more": {`{}`, "a", strings.Repeat("[", 1e6), inject.ErrLiteral},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := inject.SetJSON(nil, []byte(c.body), c.path, []byte(c.literal))
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil {
				if _, found, err := inject.GetJSON(got, c.path); !found || err != nil {
					t.Errorf("the result gives %v, %v", found, err)
				}
			}
		})
	}
}

func TestSetJSONRefusesWhatIsNoLiteral(t *testing.T) {
	for _, literal := range []string{"", " ", "secret", `"a`, "1 2", "{", "\ufeff1", "\"\xff\"", `1,"b":2`, `1}`} {
		got, err := inject.SetJSON(nil, []byte(`{}`), "a", []byte(literal))
		if got != nil || !errors.Is(err, inject.ErrLiteral) || errors.Is(err, inject.ErrNotJSON) {
			t.Errorf("%q: %s, %v", literal, got, err)
		}
	}
}

func TestGetJSONFinds(t *testing.T) {
	const body = ` {"s":"a\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t\ud800x","n":-1.50E+2,"t":true,"f":false,"z":null,"e":"",
		"o":{ "k" : [ 1, {"d":"deep"} ]}, "a":[], "-":{"~":1}} `
	for path, want := range map[string]string{
		"s":       "aé😀\"\\/\b\f\n\r\t\ufffdx",
		"n":       "-1.50E+2",
		"t":       "true",
		"f":       "false",
		"z":       "null",
		"e":       "",
		"o":       `{ "k" : [ 1, {"d":"deep"} ]}`,
		"o.k":     `[ 1, {"d":"deep"} ]`,
		"o.k.0":   "1",
		"o.k.1.d": "deep",
		"/o/k/1":  `{"d":"deep"}`,
		"a":       "[]",
		"/-/~0":   "1",
	} {
		got, found, err := inject.GetJSON([]byte(body), path)
		if got != want || !found || err != nil {
			t.Errorf("%s: %q, %v, %v, want %q", path, got, found, err, want)
		}
	}
	for _, path := range []string{"x", "s.x", "z.x", "o.x", "o.k.2", "o.k.9", "o.k.x", "o.k.01", "a.0", "/a/-", "o.k.0.x"} {
		got, found, err := inject.GetJSON([]byte(body), path)
		if got != "" || found || err != nil {
			t.Errorf("%s: %q, %v, %v", path, got, found, err)
		}
	}
}

func TestGetJSONRefusesWhatDecodersReadDifferently(t *testing.T) {
	for body, path := range map[string]string{
		`{"a":1,"a":1}`:             "a",
		`{"A":1}`:                   "a",
		`{"a":1,"A":1}`:             "a",
		`{"a":{"b":1},"A":{}}`:      "a.b",
		`{"a":1,"\u0061":1}`:        "a",
		`{"a":{"b":1,"B":2}}`:       "/a/b",
		`[{"\u017f":1,"s":2},{}]`:   "0.s",
		`{"a":{"b":1,"b":2},"a":1}`: "a.b",
	} {
		got, found, err := inject.GetJSON([]byte(body), path)
		if got != "" || found || !errors.Is(err, inject.ErrPath) {
			t.Errorf("%s in %s: %q, %v, %v", path, body, got, found, err)
		}
	}
	if _, _, err := inject.GetJSON([]byte(`{}`), "a..b"); !errors.Is(err, inject.ErrLocation) {
		t.Error(err)
	}
}

func TestErrorsNeverQuoteTheBody(t *testing.T) {
	for _, body := range []string{`secret`, `{"secret":"secret`, `{"a":"secret"}`, `{"A":"secret"}`, `["secret"]`, `{"a":1}secret`} {
		_, err := inject.SetJSON(nil, []byte(body), "a.b", []byte("1"))
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestQuoteMakesAReadableLiteral(t *testing.T) {
	for s, want := range map[string]string{
		"":                        `""`,
		"https://x.y/?a=1&b=<2>":  `"https://x.y/?a=1&b=<2>"`,
		"\"\\\n\x00é😀":            `"\"\\\n\u0000é😀"`,
		"\xff":                    `"\ufffd"`,
		`{http.callback.url}`:     `"{http.callback.url}"`,
		"line\u2028separator\n\n": `"line\u2028separator\n\n"`,
	} {
		if got := inject.Quote(s); string(got) != want {
			t.Errorf("Quote(%q) = %s, want %s", s, got, want)
		}
	}
}
