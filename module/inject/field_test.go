package inject_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

func TestPathLeadsIntoTheJSONOfAField(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fields []string
		want   string
		err    error
	}{
		"a string":                   {[]string{"p", `{"a":{"b":"x"}}`}, "x", nil},
		"a number":                   {[]string{"p", `{"a":{"b":1.0}}`}, "1.0", nil},
		"in an array":                {[]string{"p", `{"a":{"b":["y"]}}`}, `["y"]`, nil},
		"byte order mark":            {[]string{"p", "\ufeff" + `{"a":{"b":"x"}}`}, "x", nil},
		"a field of that name wins":  {[]string{"p", `{"a":{"b":"x"}}`, "p.a.b", "y"}, "y", nil},
		"even an empty one":          {[]string{"p", `{"a":{"b":"x"}}`, "p.a.b", ""}, "", nil},
		"and over what is no JSON":   {[]string{"p", `x`, "p.a.b", "y"}, "y", nil},
		"no such field":              {[]string{"q", `{"a":{"b":"x"}}`}, "", nil},
		"no such member":             {[]string{"p", `{"a":{}}`}, "", nil},
		"through a scalar":           {[]string{"p", `7`}, "", nil},
		"the same twice":             {[]string{"p", `{"a":{"b":"x"}}`, "p", `{"a":{"b":"x"}}`}, "x", nil},
		"two values":                 {[]string{"p", `{"a":{"b":"x"}}`, "p", `{"a":{"b":"y"}}`}, "", inject.ErrAmbiguous},
		"field in another case":      {[]string{"P", `{"a":{"b":"x"}}`}, "", inject.ErrAmbiguous},
		"whole name in another case": {[]string{"p", `{"a":{"b":"x"}}`, "P.A.B", "x"}, "", inject.ErrAmbiguous},
		"no JSON":                    {[]string{"p", "x"}, "", inject.ErrField},
		"empty":                      {[]string{"p", ""}, "", inject.ErrField},
		"cut":                        {[]string{"p", `{"a":{"b":"x"}`}, "", inject.ErrField},
		"member twice":               {[]string{"p", `{"a":{"b":"x","b":"x"}}`}, "", inject.ErrField},
		"member in another case":     {[]string{"p", `{"a":{"B":"x"}}`}, "", inject.ErrField},
		"nested too deep":            {[]string{"p", strings.Repeat("[", 65) + strings.Repeat("]", 65)}, "", inject.ErrField},
		"no fields":                  {nil, "", nil},
	} {
		for contentType, body := range bothForms(c.fields...) {
			got, err := readForm(contentType, body, "p.a.b")
			if got.Text != c.want || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("%s, %s: %q, %v", name, contentType, got.Text, err)
			}
			if errors.Is(err, inject.ErrNotJSON) || errors.Is(err, inject.ErrNotForm) {
				t.Errorf("%s: %v counts as a body of another kind", name, err)
			}
			m := inject.Message{Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body)}
			if text, err := m.Get(inject.Location{In: inject.Form, Name: "p.a.b"}); c.err == nil && (text != c.want || err != nil) {
				t.Errorf("%s, %s: Get returns %q, %v", name, contentType, text, err)
			}
		}
	}
}

// bothForms returns a form with these names and values in both types.
func bothForms(fields ...string) map[string]string {
	var query []string
	var body strings.Builder
	for i := 0; i < len(fields); i += 2 {
		query = append(query, url.QueryEscape(fields[i])+"="+url.QueryEscape(fields[i+1]))
		body.WriteString(lines("--B", named(fields[i]), "", fields[i+1]))
	}
	return map[string]string{formType: strings.Join(query, "&"), partsType: body.String() + "--B--\r\n"}
}

func TestJSONInAFieldMatchesAsJSONDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		json, pattern string
		want          bool
	}{
		{`1.0`, "1", true}, {`404`, "4xx", true}, {`"404"`, "4xx", true}, {`"1.0"`, "1", false},
		{`true`, "true", true}, {`"failed"`, "failed", true},
		{`true`, "", true}, {`false`, "", false}, {`null`, "", false}, {`[]`, "", false}, {`{}`, "", false}, {`""`, "", false}, {`0`, "", true},
	} {
		for contentType, body := range bothForms("p", `{"a":`+c.json+`}`) {
			value, err := readForm(contentType, body, "p.a")
			if err != nil {
				t.Fatal(err)
			}
			var patterns []string
			if c.pattern != "" {
				patterns = []string{c.pattern}
			}
			if got := value.Matches(patterns); got != c.want {
				t.Errorf("%s matches %v: %v", c.json, patterns, got)
			}
		}
	}
}

func TestValueIsPutIntoTheJSONOfAField(t *testing.T) {
	t.Parallel()
	const name, value = "p.a.b", "https://x.y/?z=1&é"
	for about, c := range map[string]struct {
		fields, want []string
		err          error
	}{
		"member is there":       {[]string{"q", "1", "p", `{"a": {"b":7}}`, "r", ""}, []string{"q", "1", "p", `{"a": {"b":"` + value + `"}}`, "r", ""}, nil},
		"member is not there":   {[]string{"p", `{"c":1e400}`}, []string{"p", `{"c":1e400,"a":{"b":"` + value + `"}}`}, nil},
		"field of that name":    {[]string{"p", `{}`, name, "x"}, []string{"p", `{}`, name, value}, nil},
		"no field":              {[]string{"q", "1"}, []string{"q", "1", name, value}, nil},
		"no form":               {nil, []string{name, value}, nil},
		"no JSON":               {[]string{"p", "x"}, []string{"p", "x", name, value}, nil},
		"a scalar":              {[]string{"p", "17"}, []string{"p", "17", name, value}, nil},
		"the same twice":        {[]string{"p", `{}`, "q", "", "p", `{}`}, []string{"p", `{"a":{"b":"` + value + `"}}`, "q", ""}, nil},
		"two values":            {[]string{"p", `{}`, "p", `{"a":1}`}, nil, inject.ErrAmbiguous},
		"field in another case": {[]string{"P", `{}`}, nil, inject.ErrAmbiguous},
		"whole name in another": {[]string{"P.a.b", ``}, nil, inject.ErrAmbiguous},
		"member twice":          {[]string{"p", `{"a":1,"a":1}`}, nil, inject.ErrPath},
		"scalar in the way":     {[]string{"p", `{"a":1}`}, nil, inject.ErrPath},
	} {
		for contentType, body := range bothForms(c.fields...) {
			m := inject.Message{Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body)}
			err := m.Set(inject.Location{In: inject.Form, Name: name}, value)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("%s, %s: %v", about, contentType, err)
			}
			if err != nil {
				continue
			}
			got, err := readForm(contentType, string(m.Body), name)
			if got.Text != value || err != nil {
				t.Errorf("%s, %s: %q is read as %q, %v", about, contentType, m.Body, got.Text, err)
			}
			for i := 0; i < len(c.want); i += 2 {
				if other, err := readForm(contentType, string(m.Body), c.want[i]); other.Text != c.want[i+1] || err != nil {
					t.Errorf("%s, %s: %s is %q, %v", about, contentType, c.want[i], other.Text, err)
				}
			}
		}
	}
}

func TestNameOfAFieldWithAPathIsChecked(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"payload": "", "payload.status": "", "openid.ns.ext1": "", "a[0].b": "", "$a.b": "", "a/b": "", "p.0.id": "", "p.a*": "", "p.a/b": "",
		".": "empty part", "p.": "empty part", ".p": "empty part", "p..a": "empty part", "p.a.": "empty part",
		"p./a/b": "slash", "p.$": "$", "p.$.a": "$", "p.a[0]": "brackets", "p.a.*": "*", "p.*": "*",
		"p" + strings.Repeat(".a", 64): "", "p" + strings.Repeat(".a", 65): "more than 64",
	} {
		err := inject.Location{In: inject.Form, Name: name}.Validate()
		if (err == nil) != (want == "") || err != nil && (!errors.Is(err, inject.ErrLocation) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", name, err)
		}
		if err := (inject.Location{In: inject.Query, Name: name}).Validate(); err != nil {
			t.Errorf("as a parameter, %q: %v", name, err)
		}
	}
}
