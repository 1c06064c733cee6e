package inject_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

func setForm(contentType, body, name, value string) (string, error) {
	m := inject.Message{Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body)}
	err := m.Set(inject.Location{In: inject.Form, Name: name}, value)
	if string(m.Body) != body && err != nil {
		return string(m.Body), errors.New("the body has changed in spite of an error")
	}
	return string(m.Body), err
}

func TestFieldIsPutBeforeTheOtherParts(t *testing.T) {
	t.Parallel()
	upload := lines("--B", file("f"), "Content-Type: audio/wav", "", "RIFF\x00\n\xff")
	for about, c := range map[string]struct{ body, want string }{
		"upload":         {upload + "--B--", lines("--B", named("n"), "", "v") + upload + "--B--"},
		"is there":       {upload + lines("--B", named("n"), "", "x", "--B", named("b"), "", "", "--B--"), lines("--B", named("n"), "", "v") + upload + lines("--B", named("b"), "", "", "--B--")},
		"twice":          {lines("--B", named("n"), "", "x", "--B", named("n"), "X-A: b", "", "y", "--B--"), lines("--B", named("n"), "", "v", "--B--")},
		"a file instead": {lines("--B", file("n"), "", "x", "--B--"), lines("--B", named("n"), "", "v", "--B--")},
		"no parts":       {"--B--", lines("--B", named("n"), "", "v") + "--B--"},
		"no body":        {"", lines("--B", named("n"), "", "v", "--B--")},
		"a line before":  {"\r\n--B--", "\r\n" + lines("--B", named("n"), "", "v") + "--B--"},
	} {
		if got, err := setForm(partsType, c.body, "n", "v"); err != nil || got != c.want {
			t.Errorf("%s: %q, %v", about, got, err)
		}
	}
}

func TestFieldOfPartsKeepsItsHeaderWhenItsJSONChanges(t *testing.T) {
	t.Parallel()
	body := lines("--B", named("a"), "", "1", "--B", "Content-Type: application/json", "content-length: 2", named("p"), "", "{}", "--B", file("f"), "", "x", "--B--")
	want := lines("--B", named("a"), "", "1", "--B", "Content-Type: application/json", named("p"), "", `{"url":"v"}`, "--B", file("f"), "", "x", "--B--")
	if got, err := setForm(partsType, body, "p.url", "v"); err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPartThatReadersTakeForTheSameGoes(t *testing.T) {
	t.Parallel()
	for _, other := range []string{
		"callback.url", "callback url", " callback_url", "callback[url", "callback_url[]", "callback.url[a][b]", "[callback_url]", `callback\.url`,
		"callback%2Eurl", "=?utf-8?q?callback.url?=",
	} {
		body := lines("--B", named(other), "", "x", "--B", named("b"), "", "y", "--B", file(other), "", "z", "--B--")
		want := lines("--B", named("callback_url"), "", "v", "--B", named("b"), "", "y", "--B--")
		if got, err := setForm(partsType, body, "callback_url", "v"); got != want || err != nil {
			t.Errorf("%q: %q, %v", other, got, err)
		}
		body = lines("--B", named("callback_url"), "", "{}", "--B", named(other), "", "x", "--B--")
		want = lines("--B", named("callback_url"), "", `{"a":"v"}`, "--B--")
		if got, err := setForm(partsType, body, "callback_url.a", "v"); got != want || err != nil {
			t.Errorf("%q, JSON: %q, %v", other, got, err)
		}
	}
	for _, other := range []string{"callback-url", "callback_urls", "a[callback_url]", "callback_url]"} {
		rest := lines("--B", named(other), "", "x", "--B--")
		if got, err := setForm(partsType, rest, "callback_url", "v"); got != lines("--B", named("callback_url"), "", "v")+rest || err != nil {
			t.Errorf("%q: %q, %v", other, got, err)
		}
	}
}

func TestFieldThatCannotStandInAPartIsRefused(t *testing.T) {
	t.Parallel()
	plain := lines("--B", named("b"), "", "x", "--B--")
	for about, c := range map[string]struct {
		contentType, body, name, value string
		err                            error
	}{
		"boundary in the value":     {partsType, plain, "n", "a\r\n--B--\r\n", inject.ErrAmbiguous},
		"within a line of it":       {partsType, plain, "n", "a--Bb", inject.ErrAmbiguous},
		"in JSON in it":             {partsType, lines("--B", named("p"), "", "{}", "--B--"), "p.n", "--B", inject.ErrAmbiguous},
		"boundary in the name":      {partsType, plain, "a--B", "v", inject.ErrAmbiguous},
		"quote in the name":         {partsType, plain, `a"`, "v", inject.ErrAmbiguous},
		"backslash in the name":     {partsType, plain, `a\`, "v", inject.ErrAmbiguous},
		"line break in the name":    {partsType, plain, "a\r\nb", "v", inject.ErrAmbiguous},
		"escape in the name":        {partsType, plain, "a%22", "v", inject.ErrAmbiguous},
		"parameter in the name":     {partsType, plain, "name=a", "v", inject.ErrAmbiguous},
		"name that is too long":     {partsType, plain, strings.Repeat("a", 8<<10), "v", inject.ErrNotForm},
		"value that is not UTF-8":   {partsType, plain, "n", "\xe4", inject.ErrAmbiguous},
		"byte order mark":           {partsType, plain, "n", "\ufeffv", inject.ErrAmbiguous},
		"name in another case":      {partsType, plain, "B", "v", inject.ErrAmbiguous},
		"body that cannot be read":  {partsType, strings.ReplaceAll(plain, "\r", ""), "n", "v", inject.ErrNotForm},
		"urlencoded in truth":       {partsType, "a=1", "n", "v", inject.ErrNotForm},
		"no boundary":               {"multipart/form-data", plain, "n", "v", inject.ErrNotForm},
		"no boundary and no body":   {"multipart/form-data", "", "n", "v", inject.ErrNotForm},
		"as many parts as there be": {partsType, strings.Repeat("--B\r\n"+named("b")+"\r\n\r\n\r\n", 1000) + "--B--", "n", "v", inject.ErrNotForm},
	} {
		if got, err := setForm(c.contentType, c.body, c.name, c.value); !errors.Is(err, c.err) || err == nil {
			t.Errorf("%s: %q, %v", about, got, err)
		}
	}
}
