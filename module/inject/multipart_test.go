package inject_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/linear"
)

const partsType = "multipart/form-data; boundary=B"

// lines joins lines as they stand in a multipart body.
func lines(all ...string) string { return strings.Join(all, "\r\n") + "\r\n" }

// named is the header of a field.
func named(name string) string { return `Content-Disposition: form-data; name="` + name + `"` }

// file is the header of a file.
func file(name string) string { return named(name) + `; filename="a.txt"` }

func readForm(contentType, body, name string) (inject.Value, error) {
	m := inject.Message{Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body)}
	return m.Read(inject.Location{In: inject.Form, Name: name})
}

func TestFieldOfAMultipartFormIsRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ contentType, body, want string }{
		"alone":                       {partsType, lines("--B", named("a"), "", "x", "--B--"), "x"},
		"no line end at the end":      {partsType, "--B\r\n" + named("a") + "\r\n\r\nx\r\n--B--", "x"},
		"a line end before":           {partsType, lines("", "--B", named("a"), "", "x", "--B--"), "x"},
		"line ends after":             {partsType, lines("--B", named("a"), "", "x", "--B--", "", ""), "x"},
		"no body":                     {partsType, "", ""},
		"no body, no boundary":        {"multipart/form-data", "", ""},
		"no parts":                    {partsType, "--B--\r\n", ""},
		"absent":                      {partsType, lines("--B", named("b"), "", "x", "--B--"), ""},
		"empty":                       {partsType, lines("--B", named("a"), "", "", "--B--"), ""},
		"between others":              {partsType, lines("--B", file("f"), "", "RIFF", "--B", named("a"), "", "x", "--B", named("b"), "", "y", "--B--"), "x"},
		"type in capitals":            {"Multipart/Form-Data; Boundary=B", lines("--B", named("a"), "", "x", "--B--"), "x"},
		"quoted boundary":             {`multipart/form-data; charset=utf-8; boundary="B=:1"`, lines("--B=:1", named("a"), "", "x", "--B=:1--"), "x"},
		"boundary with a space":       {`multipart/form-data; boundary="B 1";`, lines("--B 1", named("a"), "", "x", "--B 1--"), "x"},
		"boundary of a browser":       {"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxk", lines("------WebKitFormBoundary7MA4YWxk", named("a"), "", "x", "------WebKitFormBoundary7MA4YWxk--"), "x"},
		"name without quotes":         {partsType, lines("--B", "Content-Disposition: form-data; name=a", "", "x", "--B--"), "x"},
		"header in capitals":          {partsType, lines("--B", `CONTENT-DISPOSITION:FORM-DATA;NAME="a"`, "", "x", "--B--"), "x"},
		"several lines in it":         {partsType, lines("--B", named("a"), "", "x", "y\nz", "", "--B--"), "x\r\ny\nz\r\n"},
		"the same twice":              {partsType, lines("--B", named("a"), "", "x", "--B", named("a"), "", "x", "--B--"), "x"},
		"typed":                       {partsType, lines("--B", "Content-Type: text/plain;charset=UTF-8", named("a"), "Content-Transfer-Encoding: 8BIT", "Content-Length: 2", "", "ä", "--B--"), "ä"},
		"a file is no field":          {partsType, lines("--B", file("a"), "", "x", "--B--"), ""},
		"a chosen file that is empty": {partsType, lines("--B", named("a")+`; filename=""`, "Content-Type: application/octet-stream", "", "", "--B--"), ""},
		"a file in base64":            {partsType, lines("--B", file("f"), "Content-Transfer-Encoding: base64", "", "eA==", "--B", named("a"), "", "x", "--B--"), "x"},
		"a file of parts":             {partsType, lines("--B", file("f"), "Content-Type: multipart/related; boundary=C", "", "x", "--B", named("a"), "", "x", "--B--"), "x"},
		"a file with a path":          {partsType, lines("--B", named("f")+`; filename="C:\dir\\a"`, "", "", "--B", named("a"), "", "x", "--B--"), "x"},
		"a file named twice":          {partsType, lines("--B", named("f")+`; filename="a"; filename*=UTF-8''%C3%A4`, "", "", "--B", named("a"), "", "x", "--B--"), "x"},
		"another field in Latin-1":    {partsType, lines("--B", named("b"), "", "\xe4", "--B", named("a"), "", "x", "--B--"), "x"},
		"charset of all":              {partsType, lines("--B", named("_charset_"), "", "UTF-8", "--B", named("a"), "", "x", "--B--"), "x"},
	} {
		if got, err := readForm(c.contentType, c.body, "a"); err != nil || got.Text != c.want {
			t.Errorf("%s: %q, %v", name, got.Text, err)
		}
	}
}

func TestMultipartFormThatReadersCouldReadDifferentlyIsNotRead(t *testing.T) {
	t.Parallel()
	field := lines("--B", named("a"), "", "x", "--B--")
	with := func(header ...string) string {
		return lines(append(append([]string{"--B"}, header...), "", "x", "--B--")...)
	}
	for name, c := range map[string]struct {
		contentType, body string
		err               error
	}{
		"no boundary":                      {"multipart/form-data", field, inject.ErrNotForm},
		"boundary without a value":         {"multipart/form-data; boundary", field, inject.ErrAmbiguous},
		"empty boundary":                   {`multipart/form-data; boundary=""`, field, inject.ErrNotForm},
		"boundary too long":                {"multipart/form-data; boundary=" + strings.Repeat("B", 71), field, inject.ErrNotForm},
		"boundary with a bad character":    {`multipart/form-data; boundary="B<"`, field, inject.ErrNotForm},
		"boundary that ends with a space":  {`multipart/form-data; boundary="B "`, field, inject.ErrNotForm},
		"boundary without its quotes":      {"multipart/form-data; boundary=B:1", field, inject.ErrAmbiguous},
		"boundary in pieces":               {"multipart/form-data; boundary*0=B", field, inject.ErrAmbiguous},
		"boundary twice":                   {"multipart/form-data; boundary=B; boundary=B", field, inject.ErrAmbiguous},
		"boundary within another":          {"multipart/form-data; xboundary=C; boundary=B", field, inject.ErrNotForm},
		"boundary within a value":          {`multipart/form-data; x="boundary=C"; boundary=B`, field, inject.ErrNotForm},
		"charset of the whole":             {partsType + "; charset=utf-16", field, inject.ErrCharset},
		"another boundary":                 {partsType, strings.ReplaceAll(field, "--B", "--C"), inject.ErrNotForm},
		"urlencoded":                       {partsType, "a=x", inject.ErrNotForm},
		"JSON":                             {partsType, `{"a":"x"}`, inject.ErrNotForm},
		"byte order mark":                  {partsType, "\ufeff" + field, inject.ErrNotForm},
		"preamble":                         {partsType, "this is MIME\r\n" + field, inject.ErrNotForm},
		"two empty lines before":           {partsType, "\r\n\r\n" + field, inject.ErrNotForm},
		"LF before":                        {partsType, "\n" + field, inject.ErrNotForm},
		"no last boundary":                 {partsType, "--B\r\n" + named("a") + "\r\n\r\nx\r\n", inject.ErrNotForm},
		"last boundary cut":                {partsType, strings.TrimSuffix(field, "-\r\n"), inject.ErrNotForm},
		"last boundary like the others":    {partsType, strings.TrimSuffix(field, "--\r\n") + "\r\n", inject.ErrNotForm},
		"epilogue":                         {partsType, field + "x", inject.ErrNotForm},
		"another form after the last":      {partsType, field + field, inject.ErrNotForm},
		"LF after the last boundary":       {partsType, strings.TrimSuffix(field, "\r\n") + "\n", inject.ErrNotForm},
		"LF everywhere":                    {partsType, strings.ReplaceAll(field, "\r\n", "\n"), inject.ErrNotForm},
		"CR everywhere":                    {partsType, strings.ReplaceAll(field, "\r\n", "\r"), inject.ErrNotForm},
		"LF after a boundary":              {partsType, strings.Replace(field, "--B\r\n", "--B\n", 1), inject.ErrNotForm},
		"LF before a boundary":             {partsType, strings.Replace(field, "\r\n--B--", "\n--B--", 1), inject.ErrNotForm},
		"LF in a header":                   {partsType, with("X-A: 1\n" + named("a")), inject.ErrNotForm},
		"LF after a header":                {partsType, strings.Replace(field, "\r\n\r\n", "\n\n", 1), inject.ErrNotForm},
		"spaces after a boundary":          {partsType, strings.Replace(field, "--B", "--B ", 1), inject.ErrNotForm},
		"boundary within a line":           {partsType, lines("--B", named("a"), "", "x--B", "--B--"), inject.ErrNotForm},
		"longer boundary":                  {partsType, lines("--B", named("a"), "", "x", "--Bx", "--B--"), inject.ErrNotForm},
		"boundary after LF within":         {partsType, lines("--B", named("a"), "", "x\n--B\r\n"+named("a"), "", "y", "--B--"), inject.ErrNotForm},
		"header without end":               {partsType, lines("--B", named("a"), "--B--"), inject.ErrNotForm},
		"no header":                        {partsType, lines("--B", "", "x", "--B--"), inject.ErrNotForm},
		"header that continues":            {partsType, with("Content-Disposition: form-data;", ` name="a"`), inject.ErrNotForm},
		"header without a colon":           {partsType, with(named("a"), "x"), inject.ErrNotForm},
		"space before a colon":             {partsType, with(`Content-Disposition : form-data; name="a"`), inject.ErrNotForm},
		"control character in a header":    {partsType, with(named("a\x00")), inject.ErrNotForm},
		"header that is not UTF-8":         {partsType, with(named("\xe4")), inject.ErrNotForm},
		"header too long":                  {partsType, with(named("a"), "X-A: "+strings.Repeat("a", 8<<10)), inject.ErrNotForm},
		"too many parts":                   {partsType, strings.Repeat("--B\r\n"+named("b")+"\r\n\r\n\r\n", 1000) + field, inject.ErrNotForm},
		"no Content-Disposition":           {partsType, with("Content-Type: text/plain"), inject.ErrNotForm},
		"attachment":                       {partsType, with(`Content-Disposition: attachment; name="a"`), inject.ErrNotForm},
		"Content-Disposition twice":        {partsType, with(named("b"), named("a")), inject.ErrAmbiguous},
		"the same Content-Disposition":     {partsType, with(named("a"), named("a")), inject.ErrAmbiguous},
		"name twice":                       {partsType, with(named("b") + `; name="a"`), inject.ErrAmbiguous},
		"name in another charset":          {partsType, with("Content-Disposition: form-data; name*=UTF-8''a"), inject.ErrAmbiguous},
		"name in pieces":                   {partsType, with(`Content-Disposition: form-data; name*0="a"`), inject.ErrAmbiguous},
		"both kinds of name":               {partsType, with(named("b") + `; name*=UTF-8''a`), inject.ErrAmbiguous},
		"file name in pieces":              {partsType, with(named("a") + `; filename*0="a"`), inject.ErrAmbiguous},
		"file name that old readers miss":  {partsType, with(named("a") + `; filename*=UTF-8''a`), inject.ErrAmbiguous},
		"file without a name":              {partsType, with(named("a") + `; filename=""`), inject.ErrAmbiguous},
		"name within a file name":          {partsType, with(named("b") + `; filename="; name=a"`), inject.ErrAmbiguous},
		"name within another":              {partsType, with(`Content-Disposition: form-data; x-name="b"; name="a"`), inject.ErrAmbiguous},
		"quote that is escaped":            {partsType, with(`Content-Disposition: form-data; name="a\"; x="b"`), inject.ErrAmbiguous},
		"quote that is not closed":         {partsType, with(`Content-Disposition: form-data; name="a`), inject.ErrAmbiguous},
		"something after a quote":          {partsType, with(named("a") + "x"), inject.ErrAmbiguous},
		"escape in the name":               {partsType, with(named(`\a`)), inject.ErrAmbiguous},
		"percent in the name":              {partsType, with(named("%61")), inject.ErrAmbiguous},
		"encoded word in the name":         {partsType, with(named("=?utf-8?q?a?=")), inject.ErrAmbiguous},
		"name in another case":             {partsType, with(named("A")), inject.ErrAmbiguous},
		"file in another case":             {partsType, lines("--B", file("A"), "", "x", "--B", named("a"), "", "x", "--B--"), inject.ErrAmbiguous},
		"base64":                           {partsType, with(named("a"), "Content-Transfer-Encoding: base64"), inject.ErrAmbiguous},
		"quoted-printable":                 {partsType, with(named("a"), "Content-Transfer-Encoding: quoted-printable"), inject.ErrAmbiguous},
		"encoding twice":                   {partsType, with(named("a"), "Content-Transfer-Encoding: 8bit", "Content-Transfer-Encoding: 8bit"), inject.ErrAmbiguous},
		"another length":                   {partsType, with(named("a"), "Content-Length: 2"), inject.ErrAmbiguous},
		"type of a part that is none":      {partsType, with(named("a"), "Content-Type: text/plain; charset"), inject.ErrAmbiguous},
		"charset of a part":                {partsType, with(named("a"), "Content-Type: text/plain; charset=latin1"), inject.ErrCharset},
		"charset of all fields":            {partsType, lines("--B", named("_charset_"), "", "latin1", "--B", named("a"), "", "x", "--B--"), inject.ErrCharset},
		"Latin-1":                          {partsType, lines("--B", named("a"), "", "\xe4", "--B--"), inject.ErrAmbiguous},
		"UTF-16":                           {partsType, lines("--B", named("a"), "", "\xff\xfea\x00", "--B--"), inject.ErrAmbiguous},
		"byte order mark in the field":     {partsType, lines("--B", named("a"), "", "\ufeffx", "--B--"), inject.ErrAmbiguous},
		"parts within":                     {partsType, with(named("a"), "Content-Type: multipart/mixed; boundary=C"), inject.ErrAmbiguous},
		"parts within another":             {partsType, with(named("b"), "Content-Type: Multipart/form-data; boundary=C"), inject.ErrAmbiguous},
		"file with parts and of that name": {partsType, with(file("a"), "Content-Type: multipart/mixed; boundary=C"), inject.ErrAmbiguous},
		"two values":                       {partsType, lines("--B", named("a"), "", "x", "--B", named("a"), "", "y", "--B--"), inject.ErrAmbiguous},
		"one of them empty":                {partsType, lines("--B", named("a"), "", "x", "--B", named("a"), "", "", "--B--"), inject.ErrAmbiguous},
		"field and file":                   {partsType, lines("--B", named("a"), "", "x", "--B", file("a"), "", "x", "--B--"), inject.ErrAmbiguous},
	} {
		if got, err := readForm(c.contentType, c.body, "a"); !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v", name, got.Text, err)
		}
	}
	m := inject.Message{Header: http.Header{"Content-Type": {partsType, partsType}}, Body: []byte(field)}
	if got, err := m.Read(inject.Location{In: inject.Form, Name: "a"}); !errors.Is(err, inject.ErrNotForm) {
		t.Errorf("Content-Type twice: %q, %v", got.Text, err)
	}
}

func TestReadingPartsIsLinear(t *testing.T) {
	header := http.Header{"Content-Type": {partsType}}
	for name, body := range map[string]func(n int) string{
		"parts":   func(n int) string { return strings.Repeat("--B\r\n"+named("a")+"\r\n\r\nx\r\n", n/80) + "--B--" },
		"a value": func(n int) string { return lines("--B", named("a"), "", strings.Repeat("\r\n--", n), "--B--") },
		"lines":   func(n int) string { return lines("--B", strings.Repeat("X: 1\r\n", n/80)+named("a"), "", "x", "--B--") },
		"parameters": func(n int) string {
			return lines("--B", named("a")+strings.Repeat(`; name="a"`, n/80), "", "x", "--B--")
		},
		"escapes": func(n int) string {
			return lines("--B", named("a")+`; filename="`+strings.Repeat(`\`, n/20)+`"`, "", "x", "--B--")
		},
	} {
		t.Run(name, func(t *testing.T) {
			linear.Check(t, 8000, func(n int) func() {
				m := inject.Message{Header: header, Body: []byte(body(n))}
				return func() { _, _ = m.Read(inject.Location{In: inject.Form, Name: "a"}) }
			})
		})
	}
}

func TestValuesOfAMultipartForm(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		lines("--B", named("a"), "", "x", "--B", named("a"), "", "x", "--B--"): "[x] <nil>",
		lines("--B", named("b"), "", "x", "--B--"):                             "[] <nil>",
		"": "[] <nil>",
		lines("--B", named("p"), "", `{"a":7}`, "--B--"): "[] <nil>",
	} {
		m := inject.Message{Header: http.Header{"Content-Type": {partsType}}, Body: []byte(body)}
		values, err := m.Values(inject.Location{In: inject.Form, Name: "a"})
		if got := fmt.Sprint(values, err); got != want {
			t.Errorf("%q: %s", body, got)
		}
	}
}
