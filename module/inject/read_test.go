package inject_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

const formType = "application/x-www-form-urlencoded"

func TestOnlyWhatAllReadersWouldReadIsRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in, header, query, body string
		want                    string
		err                     error
	}{
		"json":                              {"json", "", "", `{"a":"x"}`, "x", nil},
		"json, absent":                      {"json", "", "", `{"b":"x"}`, "", nil},
		"json, no body":                     {"json", "", "", "", "", nil},
		"json under any type":               {"json", "Content-Type: text/plain", "", `{"a":"x"}`, "x", nil},
		"json under the type of a form":     {"json", "Content-Type: " + formType, "", `{"a":"x"}`, "x", nil},
		"json with a byte order mark":       {"json", "", "", "\ufeff" + `{"a":"x"}`, "x", nil},
		"json through a scalar":             {"json", "", "", `7`, "", nil},
		"json in UTF-8, said so":            {"json", "Content-Type: application/json; charset=UTF-8", "", `{"a":"x"}`, "x", nil},
		"json, not packed, said so":         {"json", "Content-Encoding: identity", "", `{"a":"x"}`, "x", nil},
		"json, packed":                      {"json", "Content-Encoding: gzip", "", "\x1f\x8b", "", inject.ErrPacked},
		"json, packed, not itself":          {"json", "Content-Encoding: identity, br", "", `{"a":"x"}`, "", inject.ErrPacked},
		"json in another charset":           {"json", "Content-Type: application/json; charset=utf-16", "", `{"a":"x"}`, "", inject.ErrCharset},
		"json with NaN":                     {"json", "", "", `{"a":"x","b":NaN}`, "", inject.ErrNotJSON},
		"json, cut":                         {"json", "", "", `{"a":"x"`, "", inject.ErrNotJSON},
		"json with the member twice":        {"json", "", "", `{"a":"x","a":"x"}`, "", inject.ErrPath},
		"json, other case":                  {"json", "", "", `{"A":"x"}`, "", inject.ErrPath},
		"no json":                           {"json", "", "", `a=x`, "", inject.ErrNotJSON},
		"form":                              {"form", "Content-Type: " + formType, "", "b=1&a=x+y", "x y", nil},
		"form, absent":                      {"form", "Content-Type: " + formType, "", "b=1", "", nil},
		"form, no body":                     {"form", "", "", "", "", nil},
		"form with a byte order mark":       {"form", "Content-Type: " + formType, "", "\ufeffa=x", "x", nil},
		"form, parameter without a value":   {"form", "Content-Type: " + formType + "; charset", "", "a=x", "x", nil},
		"form, the same twice":              {"form", "Content-Type: " + formType, "", "a=x&a=x", "x", nil},
		"form, two values":                  {"form", "Content-Type: " + formType, "", "a=x&a=y", "", inject.ErrAmbiguous},
		"form, other case":                  {"form", "Content-Type: " + formType, "", "A=x", "", inject.ErrAmbiguous},
		"form, semicolon before another":    {"form", "Content-Type: " + formType, "", "b=1;a=x", "", inject.ErrAmbiguous},
		"form, semicolon within":            {"form", "Content-Type: " + formType, "", "a=x;b=1", "", inject.ErrAmbiguous},
		"form, semicolon elsewhere":         {"form", "Content-Type: " + formType, "", "a=x&b=1;c=2", "x", nil},
		"form, bad escape":                  {"form", "Content-Type: " + formType, "", "a=%zz", "", inject.ErrAmbiguous},
		"form, bad escape elsewhere":        {"form", "Content-Type: " + formType, "", "b=%zz&a=x", "x", nil},
		"form in Latin-1":                   {"form", "Content-Type: " + formType, "", "a=%e4", "", inject.ErrAmbiguous},
		"form in Latin-1, said so":          {"form", "Content-Type: " + formType + "; charset=iso-8859-1", "", "a=x", "", inject.ErrCharset},
		"form with a line break":            {"form", "Content-Type: " + formType, "", "a=x\r\n", "", inject.ErrNotForm},
		"form without a type":               {"form", "", "", "a=x", "", inject.ErrNotForm},
		"form of another type":              {"form", "Content-Type: multipart/mixed; boundary=b", "", "--b--", "", inject.ErrNotForm},
		"form, packed":                      {"form", "Content-Encoding: x-gzip", "", "a=x", "", inject.ErrPacked},
		"query":                             {"query", "", "a=x", "", "x", nil},
		"query, no value":                   {"query", "", "a", "", "", nil},
		"query, two values":                 {"query", "", "a=x&a=", "", "", inject.ErrAmbiguous},
		"query, whatever the body's coding": {"query", "Content-Encoding: gzip", "a=x", "\x1f", "x", nil},
		"header":                            {"header", "A: x", "", "", "x", nil},
		"header, absent":                    {"header", "", "", "", "", nil},
	} {
		m := inject.Message{Header: http.Header{}, Query: c.query, Body: []byte(c.body)}
		if field, value, ok := cut(c.header); ok {
			m.Header.Add(field, value)
		}
		got, err := m.Read(inject.Location{In: inject.Place(c.in), Name: "a"})
		if got.Text != c.want || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %q, %v", name, got.Text, err)
		}
	}
}

func cut(line string) (name, value string, ok bool) {
	for i := range line {
		if line[i] == ':' {
			return line[:i], line[i+2:], true
		}
	}
	return "", "", false
}

func TestHeaderWithTwoValuesIsNotRead(t *testing.T) {
	t.Parallel()
	m := inject.Message{Header: http.Header{"A": {"x", "y"}, "B": {"x", "x"}}}
	if v, err := m.Read(inject.Location{In: inject.Header, Name: "A"}); !errors.Is(err, inject.ErrAmbiguous) {
		t.Errorf("read %+v, error %v", v, err)
	}
	if v, err := m.Read(inject.Location{In: inject.Header, Name: "B"}); v.Text != "x" || err != nil {
		t.Errorf("read %+v, error %v", v, err)
	}
}

func TestPatternsMatchValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		json     string
		matching []string
		not      []string
	}{
		{`"failed"`, []string{"failed"}, []string{"Failed", "fail", "4xx"}},
		{`404`, []string{"404", "4xx", "4XX", "404.0", "4.04e2"}, []string{"5xx", "40", "4040"}},
		{`"404"`, []string{"404", "4xx"}, []string{"404.0"}},
		{`404.0`, []string{"404", "4xx"}, nil},
		{`4.04e2`, []string{"404", "4xx"}, nil},
		{`400`, []string{"4xx", "400"}, []string{"3xx"}},
		{`499`, []string{"4xx"}, []string{"5xx"}},
		{`500`, []string{"5xx"}, []string{"4xx"}},
		{`404.5`, nil, []string{"4xx", "404"}},
		{`-404`, []string{"-404"}, []string{"4xx", "404"}},
		{`4040`, nil, []string{"4xx"}},
		{`"0404"`, nil, []string{"4xx"}},
		{`" 404"`, nil, []string{"4xx", "404"}},
		{`"+404"`, nil, []string{"4xx"}},
		{`1e999999999`, []string{"1e999999999"}, []string{"4xx", "1"}},
		{`0`, []string{"0", "-0", "0.0"}, []string{"4xx"}},
		{`true`, []string{"true"}, []string{"1"}},
		{`false`, []string{"false"}, []string{"0"}},
		{`null`, []string{"null"}, []string{"0"}},
		{`""`, nil, []string{"x"}},
	} {
		m := inject.Message{Body: []byte(`{"a":` + c.json + `}`)}
		v, err := m.Read(inject.Location{In: inject.JSON, Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		for _, pattern := range c.matching {
			if !v.Matches([]string{"other", pattern}) {
				t.Errorf("%s does not match %s", c.json, pattern)
			}
		}
		for _, pattern := range c.not {
			if v.Matches([]string{pattern}) {
				t.Errorf("%s matches %s", c.json, pattern)
			}
		}
	}
}

func TestSomethingIsThereIfItSaysAnything(t *testing.T) {
	t.Parallel()
	for json, want := range map[string]bool{
		`null`: false, `false`: false, `""`: false, `[]`: false, `{}`: false, `[ ]`: false, "{\n}": false,
		`0`: true, `true`: true, `"x"`: true, `" "`: true, `[null]`: true, `{"b":null}`: true, `"false"`: true, `"null"`: true, `-1`: true,
	} {
		m := inject.Message{Body: []byte(`{"a":` + json + `}`)}
		v, err := m.Read(inject.Location{In: inject.JSON, Name: "a"})
		if err != nil || v.Matches(nil) != want {
			t.Errorf("%s: there %v, error %v", json, v.IsThere(), err)
		}
	}
	for query, want := range map[string]bool{"": false, "a": false, "a=": false, "a=false": true, "a=null": true, "b=1": false} {
		m := inject.Message{Query: query}
		v, err := m.Read(inject.Location{In: inject.Query, Name: "a"})
		if err != nil || v.Matches(nil) != want {
			t.Errorf("%s: there %v, error %v", query, v.IsThere(), err)
		}
	}
	if (inject.Value{}).Matches([]string{"", "0"}) {
		t.Error("what is absent matches")
	}
}

// FuzzPattern checks what patterns promise of any value.
func FuzzPattern(f *testing.F) {
	for _, pattern := range []string{"4xx", "404", "4.04e2", "*", "!x", "", "x", "1e5"} {
		f.Add(`404`, pattern)
		f.Add(`"404"`, pattern)
		f.Add(`{"a":[]}`, pattern)
	}
	f.Fuzz(func(t *testing.T, json, pattern string) {
		m := inject.Message{Body: []byte(`{"a":` + json + `}`)}
		v, err := m.Read(inject.Location{In: inject.JSON, Name: "a"})
		if err != nil || inject.CheckPattern(pattern) != nil {
			return
		}
		if v.Text == pattern && !v.Matches([]string{pattern}) {
			t.Fatalf("%s is not matched by itself", json)
		}
		if v.Matches([]string{pattern}) != v.Matches([]string{"no such value", pattern}) {
			t.Fatalf("%s is matched by %s alone, or not alone", json, pattern)
		}
		classes := 0
		for _, class := range []string{"1xx", "2xx", "3xx", "4xx", "5xx", "6xx", "7xx", "8xx", "9xx"} {
			if v.Matches([]string{class}) && v.Text != class {
				classes++
			}
		}
		if classes > 1 {
			t.Fatalf("%s is in %d classes", json, classes)
		}
	})
}
