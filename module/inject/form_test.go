package inject_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

func TestSetChangesOneParameterOnly(t *testing.T) {
	for name, c := range map[string]struct{ raw, name, value, want string }{
		"empty":                         {"", "n", "v", "n=v"},
		"absent":                        {"a=1&b=2", "n", "v", "a=1&b=2&n=v"},
		"absent after a separator":      {"a=1&", "n", "v", "a=1&n=v"},
		"present":                       {"a=1&n=x&b=2", "n", "v", "a=1&n=v&b=2"},
		"repeated":                      {"n=1&a=1&n=2&n", "n", "v", "n=v&a=1"},
		"repeated at the end":           {"a&n=1&n=2", "n", "v", "a&n=v"},
		"without a value":               {"n&a", "n", "v", "n=v&a"},
		"under an escaped name":         {"%6e=1&a", "n", "v", "n=v&a"},
		"name in another case stays":    {"N=1", "n", "v", "N=1&n=v"},
		"longer name stays":             {"nn=1&n%20=2", "n", "v", "nn=1&n%20=2&n=v"},
		"odd bytes stay":                {"&&a=%zz&;=\"<ä+%2b&=&b==", "n", "v", "&&a=%zz&;=\"<ä+%2b&=&b==&n=v"},
		"other spelling of escapes":     {"a=%C3%A4&b=%c3%a4&c=ä", "n", "v", "a=%C3%A4&b=%c3%a4&c=ä&n=v"},
		"name and value are escaped":    {"", "a b[=]", "https://x.y/?a=1&b=+ #é", "a%20b%5B%3D%5D=https%3A%2F%2Fx.y%2F%3Fa%3D1%26b%3D%2B%20%23%C3%A9"},
		"ill-escaped name of that name": {"%zz=1", "%zz", "v", "%25zz=v"},
		"empty value":                   {"n=1", "n", "", "n="},
	} {
		t.Run(name, func(t *testing.T) {
			if got := inject.SetQuery(c.raw, c.name, c.value); got != c.want {
				t.Errorf("SetQuery = %q, want %q", got, c.want)
			}
			if got := inject.SetForm(nil, []byte(c.raw), c.name, c.value); string(got) != c.want {
				t.Errorf("SetForm = %q, want %q", got, c.want)
			}
		})
	}
}

func TestGetReturnsEveryValueInOrder(t *testing.T) {
	for name, c := range map[string]struct {
		raw, name string
		want      []string
	}{
		"empty":                  {"", "n", nil},
		"absent":                 {"a=1&nn=2&N=3", "n", nil},
		"once":                   {"a=1&n=2", "n", []string{"2"}},
		"repeated":               {"n=1&a=1&n&%6E=%20x+y=z", "n", []string{"1", "", " x y=z"}},
		"ill-escaped value":      {"n=%zz+1", "n", []string{"%zz+1"}},
		"semicolon separates no": {"a=1;n=2", "n", nil},
		"empty segments":         {"&&", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := inject.GetQuery(c.raw, c.name); !slices.Equal(got, c.want) {
				t.Errorf("GetQuery = %q, want %q", got, c.want)
			}
			if got := inject.GetForm([]byte(c.raw), c.name); !slices.Equal(got, c.want) {
				t.Errorf("GetForm = %q, want %q", got, c.want)
			}
		})
	}
}

func TestByteOrderMarkOfAFormIsReadPast(t *testing.T) {
	for raw, want := range map[string]string{
		"\ufeffn=1&a=1":              "n=v&a=1",
		"\ufeffa=1":                  "a=1&n=v",
		"\ufeff":                     "n=v",
		"a=1&\ufeffn=1":              "a=1&\ufeffn=1&n=v",
		"\ufeff&%EF%BB%BFn=1&n[]=2":  "&%EF%BB%BFn=1&n=v",
		"\ufeffn=%7B%22a%22%3A1%7D&": "n=v&",
	} {
		if got := inject.SetForm(nil, []byte(raw), "n", "v"); string(got) != want {
			t.Errorf("%q becomes %q, want %q", raw, got, want)
		}
	}
	for body, want := range map[string][]string{"\ufeffn=1&n=2": {"1", "2"}, "\ufeffa=1&n=2": {"2"}, "\ufeff\ufeffn=1": nil} {
		m := inject.Message{Header: http.Header{"Content-Type": {formType}}, Body: []byte(body)}
		if got, err := m.Values(inject.Location{In: inject.Form, Name: "n"}); !slices.Equal(got, want) || err != nil {
			t.Errorf("in %q stands %q, %v", body, got, err)
		}
	}
}

func TestSetFormLeavesItsInputAlone(t *testing.T) {
	body := []byte("n=1&a=1")
	inject.SetForm(nil, body, "n", strings.Repeat("v", 10))
	if string(body) != "n=1&a=1" {
		t.Errorf("%s", body)
	}
}
