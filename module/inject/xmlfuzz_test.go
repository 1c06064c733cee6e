package inject_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// element is an element as a reader of its own reads it.
type element struct {
	Name string
	// Attributes are those that declare no namespace, as name and value.
	Attributes [][2]string `json:",omitempty"`
	Text       string
	Children   []*element `json:",omitempty"`
	// start and end are where its content is, if the reader says so.
	start, end int
}

// readTree reads a document with encoding/xml alone. ok is false if that cannot, or if the
// document has names beyond ASCII: encoding/xml knows those of an older edition.
func readTree(body []byte) (root *element, ok bool) {
	mark := len(body) - len(bytes.TrimPrefix(body, []byte("\ufeff")))
	d := xml.NewDecoder(bytes.NewReader(body[mark:]))
	d.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	var open []*element
	for {
		before := int(d.InputOffset()) + mark
		token, err := d.Token()
		if err != nil {
			return root, err == io.EOF && root != nil
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{Name: token.Name.Local, start: int(d.InputOffset()) + mark}
			for _, a := range token.Attr {
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
					e.Attributes = append(e.Attributes, [2]string{a.Name.Local, a.Value})
				}
			}
			if len(open) == 0 && root != nil {
				return nil, false
			}
			if len(open) == 0 {
				root = e
			} else {
				open[len(open)-1].Children = append(open[len(open)-1].Children, e)
			}
			open = append(open, e)
		case xml.EndElement:
			open[len(open)-1].end = before
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].Text += string(token)
			}
		}
	}
}

// isASCII reports whether all names in a tree are ASCII.
func (e *element) isASCII() bool {
	plain := func(name string) bool {
		return !strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf })
	}
	return plain(e.Name) && !slices.ContainsFunc(e.Attributes, func(a [2]string) bool { return !plain(a[0]) }) &&
		!slices.ContainsFunc(e.Children, func(c *element) bool { return !c.isASCII() })
}

// spot is where a path leads in a tree.
type spot struct {
	// element is the deepest one on the path, left are the steps that are missing.
	element *element
	left    []string
	// attribute is the name of the attribute that is looked for, value what it holds.
	attribute string
	value     *string
	ambiguous bool
}

// followXML walks down a path in a tree.
func followXML(root *element, path string) (at spot) {
	steps := strings.Split(path[1:], "/")
	if last := len(steps) - 1; steps[last][0] == '@' {
		at.attribute, steps = steps[last][1:], steps[:last]
	}
	at.left = steps
	for all := []*element{root}; len(at.left) > 0; {
		var named []*element
		for _, e := range all {
			if e.Name == at.left[0] {
				named = append(named, e)
			}
		}
		if len(named) == 0 {
			return at
		}
		at.ambiguous = at.ambiguous || len(named) > 1
		at.element, at.left, all = named[0], at.left[1:], named[0].Children
	}
	for _, a := range at.element.Attributes {
		if a[0] == at.attribute && at.attribute != "" {
			at.ambiguous = at.ambiguous || at.value != nil
			at.value = &a[1]
		}
	}
	return at
}

const xmlSpace = " \t\r\n"

// plain returns a value without the white space that readers of attributes may change.
func plain(value string) string {
	return strings.Trim(strings.NewReplacer("\t", " ", "\r", " ", "\n", " ").Replace(value), xmlSpace)
}

// checkGetXML compares what is read with what another reader reads.
func checkGetXML(t *testing.T, body []byte, path string, at spot) {
	t.Helper()
	got, found, err := inject.GetXML(body, path)
	nested := len(at.left) == 0 && at.attribute == "" && len(at.element.Children) > 0
	switch {
	case at.ambiguous || nested:
		if !errors.Is(err, inject.ErrAmbiguous) {
			t.Fatalf("%q at %s: %q, %v", body, path, got, err)
		}
	case err != nil:
		t.Fatalf("%q at %s: %v", body, path, err)
	case len(at.left) > 0 || at.attribute != "" && at.value == nil:
		if found || got != "" {
			t.Fatalf("%q at %s: %q", body, path, got)
		}
	case at.attribute != "":
		if !found || plain(got) != plain(*at.value) {
			t.Fatalf("%q at %s: %q, want %q", body, path, got, *at.value)
		}
	case !found || got != strings.Trim(at.element.Text, xmlSpace):
		t.Fatalf("%q at %s: %q, want %q", body, path, got, at.element.Text)
	}
}

// setTree puts a value into a tree where a path leads in it.
func setTree(at spot, value string) {
	e := at.element
	for _, step := range at.left {
		child := &element{Name: step}
		e.Children = append(e.Children, child)
		e = child
	}
	if at.attribute == "" {
		e.Text, e.Children = value, nil
		return
	}
	if i := slices.IndexFunc(e.Attributes, func(a [2]string) bool { return a[0] == at.attribute }); i >= 0 {
		e.Attributes[i][1] = value
	} else {
		e.Attributes = append(e.Attributes, [2]string{at.attribute, value})
	}
}

// forget removes from a tree what can differ after a value was put into it.
func (e *element) forget() {
	e.start, e.end = 0, 0
	for _, c := range e.Children {
		c.forget()
	}
}

// checkBytes makes sure that only what is between the bytes of a body that belong to the spot
// was changed.
func checkBytes(t *testing.T, body, out []byte, at spot) {
	t.Helper()
	start, end := at.element.start, at.element.end
	closed := start == end && bytes.HasSuffix(body[:start], []byte("/>"))
	switch {
	case at.attribute != "" && len(at.left) == 0:
		tag := bytes.LastIndexByte(body[:start], '<')
		if start -= len(">"); !bytes.HasPrefix(out, body[:tag]) || !bytes.HasSuffix(out, body[start:]) {
			t.Fatalf("%q became %q", body, out)
		}
	case closed:
		if !bytes.HasPrefix(out, body[:start-2]) || !bytes.HasSuffix(out, body[end:]) || out[start-2] != '>' {
			t.Fatalf("%q became %q", body, out)
		}
	case len(at.left) > 0:
		if !bytes.HasPrefix(out, body[:end]) || !bytes.HasSuffix(out, body[end:]) {
			t.Fatalf("%q became %q", body, out)
		}
	case !bytes.HasPrefix(out, body[:start]) || !bytes.HasSuffix(out, body[end:]):
		t.Fatalf("%q became %q", body, out)
	}
}

func addXML(add func(...any), more ...any) {
	for _, body := range []string{
		soap, "\ufeff<a/>", `<a><b>x</b></a>`, `<a><b c="1"/> <b/></a>`, `<a xmlns:p="u" p:b='&#10;x' b="y"/>`, "<a>\r\n<b>]]&gt;<![CDATA[<]]></b><!-- x --></a>",
		`<?xml version="1.0" encoding="us-ascii"?><a b = '1' ><p:c xmlns:p="u"/></a>`, `<!DOCTYPE a><a/>`, `<a><b>x`, `<é/>`, strings.Repeat("<a>", 64) + strings.Repeat("</a>", 64),
		`<a>&#xD800;</a>`, `<a b=""c=""/>`, `<p:a/>`, `<a/><a/>`, "<a>\x00</a>", `<a></b>`, `{"a":1}`, `<:a/>`, `<a xmlns="u"><b xmlns=""/></a>`,
	} {
		for _, path := range []string{"/a", "/a/b", "/a/@b", "/a/b/@c", "/a/p/q", "/Envelope/Header/To", "/é"} {
			add(append([]any{[]byte(body), path}, more...)...)
		}
	}
}

// FuzzGetXML holds what is read to what encoding/xml reads, which takes much more.
func FuzzGetXML(f *testing.F) {
	addXML(f.Add)
	f.Fuzz(func(t *testing.T, body []byte, path string) {
		_, found, err := inject.GetXML(body, path)
		if errors.Is(err, inject.ErrLocation) || errors.Is(err, inject.ErrNotXML) || errors.Is(err, inject.ErrCharset) {
			if found {
				t.Fatal("found in what cannot be read")
			}
			return
		}
		root, ok := readTree(body)
		if !ok {
			if strings.ContainsFunc(string(body), func(r rune) bool { return r >= utf8.RuneSelf }) {
				return
			}
			t.Fatalf("encoding/xml does not read %q", body)
		}
		if at := followXML(root, path); root.isASCII() {
			checkGetXML(t, body, path, at)
		}
	})
}

// FuzzSetXML makes sure that what is written is read again, by encoding/xml, too, and that all
// else is as it was.
func FuzzSetXML(f *testing.F) {
	addXML(f.Add, "https://x.y/?a=1&b=<2>")
	addXML(f.Add, " ]]>\r\n\té\"'")
	f.Fuzz(func(t *testing.T, body []byte, path, value string) {
		out, err := inject.SetXML(nil, body, path, value)
		if err != nil {
			if _, _, unread := inject.GetXML(body, path); out != nil || unread != nil && !errors.Is(unread, inject.ErrAmbiguous) && !errors.Is(err, inject.ErrValue) && !errors.Is(err, unread) && err.Error() != unread.Error() {
				t.Fatalf("%q at %s: %v, but reading: %v", body, path, err, unread)
			}
			return
		}
		body = bytes.TrimPrefix(body, []byte("\ufeff"))
		if got, found, err := inject.GetXML(out, path); got != strings.Trim(value, xmlSpace) || !found || err != nil {
			t.Fatalf("%q at %s with %q is %q: read %q, %v", body, path, value, out, got, err)
		}
		root, ok := readTree(body)
		if !ok || !root.isASCII() {
			return
		}
		at := followXML(root, path)
		if at.ambiguous || at.element == nil {
			t.Fatalf("%q is written into at %s", body, path)
		}
		checkBytes(t, body, out, at)
		again, ok := readTree(out)
		if !ok {
			t.Fatalf("encoding/xml does not read %q", out)
		}
		setTree(at, value)
		root.forget()
		again.forget()
		if !reflect.DeepEqual(root, again) {
			t.Fatalf("%q with %q at %s is %q", body, value, path, out)
		}
	})
}
