package inject_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// goPart is a part as mime/multipart reads it.
type goPart struct {
	name, content string
	file          bool
}

// goParts returns the parts of a form that mime/multipart reads, without decoding them.
func goParts(contentType string, body []byte) ([]goPart, error) {
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "multipart/form-data" {
		return nil, errors.New("no form")
	}
	r := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	var parts []goPart
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		_, disposition, _ := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
		_, file := disposition["filename"]
		parts = append(parts, goPart{p.FormName(), string(content), file})
	}
}

func fieldsOf(parts []goPart, name string) (values []string) {
	for _, p := range parts {
		if p.name == name && !p.file {
			values = append(values, p.content)
		}
	}
	return values
}

func addForms(f *testing.F) {
	for _, body := range []string{
		lines("--B", named("a"), "", "x", "--B--"),
		lines("", "--B", file("f"), "Content-Type: audio/wav", "", "RIFF\x00", "--B", named("a"), "Content-Type: text/plain; charset=utf-8", "", "x\n", "--B--", ""),
		lines("--B", named("a"), "", "x", "--B", named("a"), "", "x", "--B", file("a"), "", "y", "--B--"),
		lines("--B", named("a")+`; filename=""`, "", "", "--B", named("b")+`; filename*=utf-8''a`, "", "", "--B--"),
		lines("--B", `Content-Disposition: form-data; name=a; filename="C:\a\\"`, "Content-Transfer-Encoding: quoted-printable", "", "=61", "--B--"),
		lines("--B", "content-disposition:form-data;name*0=a;x=\"\\\";", "", "", "--B \t", "", "--B--"),
		lines("--B", named("p"), "content-length: 16", "", `{"a":{"b": true}}`, "--B--"), "--B--", "--B--\r\n--B--", "--B\r\n\r\n\r\n--B--", "",
	} {
		for _, contentType := range []string{partsType, `Multipart/form-data; charset="utf-8"; boundary="B"`, "multipart/form-data;boundary=-", formType} {
			f.Add(contentType, []byte(body), "a", "v")
			f.Add(contentType, []byte(body), "p.a.b", "\r\n--B--")
		}
	}
}

func FuzzReadMultipart(f *testing.F) {
	addForms(f)
	f.Fuzz(func(t *testing.T, contentType string, body []byte, name, _ string) {
		form, err := inject.ParseMultipart(http.Header{"Content-Type": {contentType}}, body)
		if err != nil || name == "" {
			return
		}
		value, found, err := form.Field(name)
		parts, goErr := goParts(contentType, body)
		if goErr != nil {
			t.Fatalf("%q is read, and not by mime/multipart: %v", body, goErr)
		}
		if err != nil {
			return
		}
		want := fieldsOf(parts, name)
		if found != (len(want) > 0) || slices.ContainsFunc(want, func(w string) bool { return w != string(value) }) {
			t.Fatalf("%q: %q is %q, and %q for mime/multipart", body, name, value, want)
		}
		whole := bytes.Clone(body)
		left := form.Cut(name)
		again, err := goParts(contentType, left)
		if kept := slices.DeleteFunc(parts, func(p goPart) bool { return p.name == name }); err != nil || !slices.Equal(again, kept) {
			t.Fatalf("%q without %q is %q: %v", whole, name, left, err)
		}
	})
}

func FuzzSetForm(f *testing.F) {
	addForms(f)
	f.Fuzz(func(t *testing.T, contentType string, body []byte, name, value string) {
		at := inject.Location{In: inject.Form, Name: name}
		m := inject.Message{Header: http.Header{"Content-Type": {contentType}}, Body: bytes.Clone(body)}
		if at.Validate() != nil || !inject.IsMultipart(contentType) {
			return
		}
		if err := m.Set(at, value); err != nil {
			if !bytes.Equal(m.Body, body) {
				t.Fatalf("%q became %q in spite of %v", body, m.Body, err)
			}
			return
		}
		// JSON has U+FFFD for what is not UTF-8.
		if got, err := m.Read(at); err != nil || got.Text != value && utf8.ValidString(value) {
			t.Fatalf("%q with %q at %q is %q, and is read as %q, %v", body, value, name, m.Body, got.Text, err)
		}
		var before []goPart
		if len(body) > 0 {
			before, _ = goParts(contentType, body)
		}
		after, err := goParts(contentType, m.Body)
		if err != nil {
			t.Fatalf("%q: %v", m.Body, err)
		}
		if fields := fieldsOf(after, name); len(fields) > 0 {
			if fields[0] != value || len(fields) > 1 || after[0].name != name {
				t.Fatalf("%q: %q is %q", m.Body, name, fields)
			}
		} else {
			// The value stands in the JSON of another field.
			name, _, _ = strings.Cut(name, ".")
			fields := fieldsOf(after, name)
			if len(fields) != 1 || !json.Valid([]byte(fields[0])) {
				t.Fatalf("%q: %q is %q", m.Body, name, fields)
			}
		}
		others := func(parts []goPart) []goPart {
			return slices.DeleteFunc(parts, func(p goPart) bool { return p.name == name || inject.IsPartAlike(p.name, name) })
		}
		if !slices.Equal(others(before), others(after)) {
			t.Fatalf("%q became %q", body, m.Body)
		}
	})
}

func FuzzJSONInAForm(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":{"b":1}}`, `{"a":[]}`, `7`, `x`, "\ufeff{}", `{"a":{"b":1,"B":2}}`, `{"a":"%&;+"}`, "[ ]"} {
		f.Add(text, "a.b", "v")
		f.Add(text, "0", "\"\u2028&")
	}
	f.Fuzz(func(t *testing.T, text, path, value string) {
		at := inject.Location{In: inject.Form, Name: "p." + path}
		if at.Validate() != nil || !utf8.ValidString(text) || !utf8.ValidString(value) || strings.HasPrefix(value, "\ufeff") || strings.Contains(text, "--B") {
			return
		}
		in := inject.Message{Header: http.Header{}, Body: []byte(text)}
		want, wantErr := in.Read(inject.Location{In: inject.JSON, Name: path})
		for contentType, body := range bothForms("p", text, "q", "1") {
			m := inject.Message{Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body)}
			got, err := m.Read(at)
			if len(text) > 0 && (err == nil) != (wantErr == nil) || got != want {
				t.Fatalf("%q in %s: %q, %v; as JSON: %q, %v", text, body, got.Text, err, want.Text, wantErr)
			}
			if err := m.Set(at, value); err != nil {
				continue
			}
			if got, err := m.Read(at); err != nil || got.Text != value {
				t.Fatalf("%q in %q: %q, %v", value, m.Body, got.Text, err)
			}
			if q, err := m.Read(inject.Location{In: inject.Form, Name: "q"}); err != nil || q.Text != "1" {
				t.Fatalf("%q: q is %q, %v", m.Body, q.Text, err)
			}
		}
	})
}
