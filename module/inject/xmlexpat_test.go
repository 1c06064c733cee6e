package inject_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// requirePython skips a test where there is no Python, unless it is among the tools that must
// be there.
func requirePython(t *testing.T) {
	t.Helper()
	err := exec.Command("python3", "-c", "from xml.parsers import expat").Run()
	switch {
	case err == nil:
	case slices.Contains(strings.Fields(os.Getenv("CALLBACK_REQUIRED_TOOLS")), "python3"):
		t.Fatalf("python3 is required, and does not run: %v", err)
	default:
		t.Skipf("XML is not compared with what expat reads: python3 does not run (%v); it comes with the package of that name", err)
	}
}

// readWithExpat returns what expat reads in documents, nil for what it cannot read.
func readWithExpat(t *testing.T, documents [][]byte) (trees []*element) {
	t.Helper()
	var in bytes.Buffer
	for _, body := range documents {
		in.WriteString(base64.StdEncoding.EncodeToString(body) + "\n")
	}
	cmd := exec.Command("python3", "testdata/expat.py")
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e *element
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		trees = append(trees, e)
	}
	if lines.Err() != nil || len(trees) != len(documents) {
		t.Fatalf("%d trees for %d documents: %v", len(trees), len(documents), lines.Err())
	}
	return trees
}

// mutations returns documents, some of which are no XML any more.
func mutations(random *rand.Rand, count int) (documents [][]byte) {
	seeds := []string{
		soap, "<a/>", `<a><b c="1"> x </b><p:d xmlns:p="u" p:c='2'/></a>`, `<a xmlns="u" xmlns:p="u" b="&lt;" p:b="2"><b/>text<c>]]&gt;</c></a>`,
		`<?xml version="1.0" encoding="UTF-8"?><!-- a --><a b="x` + "\r\n" + `y"><b><![CDATA[<&]]></b></a><?p q?>`,
		`<?xml version='1.0' encoding='US-ASCII' standalone='yes'?><a>&#65;<b/></a>`, "\ufeff<a> é </a>", `<é:a xmlns:é="u"><é:b/></é:a>`,
	}
	pieces := []string{
		"<b>", "</b>", "<b/>", "<p:b>", "</a>", "&amp;", "&#65;", "&#xD800;", "&b;", "<![CDATA[x]]>", "<!-- c -->", "<?p q?>", ` b="1"`, ` p:b='2'`, ` c=""`,
		` xmlns:p="u"`, ` xmlns:p=""`, ` xmlns="v"`, ` xmlns:q='u' q:b="3"`, "]]>", "\r\n", "\r", "\t", " ", "é", "\u00a0", "\ufeff", "\uffff", "\xff", "\x00", "<", ">", "&", "'", `"`,
		"--", ":", "/", "=", "!", "?", "<!DOCTYPE a>", `<?xml version="1.0"?>`, "xml:", "xmlns:", "1", "-", ".",
	}
	for range count {
		body := []byte(seeds[random.IntN(len(seeds))])
		for range random.IntN(4) {
			at := random.IntN(len(body) + 1)
			switch random.IntN(4) {
			case 0:
				body = slices.Delete(body, at, min(len(body), at+1+random.IntN(3)))
			case 1:
				end := min(len(body), at+random.IntN(12))
				body = slices.Insert(body, random.IntN(len(body)+1), body[at:end]...)
			default:
				body = slices.Insert(body, at, []byte(pieces[random.IntN(len(pieces))])...)
			}
		}
		documents = append(documents, body)
	}
	return documents
}

// isKnownDifference reports whether one of the two may refuse what the other takes. expat takes
// any version, and knows the names of an older edition, in which U+FEFF is none.
func isKnownDifference(body []byte, err error) bool {
	if err == nil {
		return bytes.LastIndex(body, []byte("\ufeff")) > 0
	}
	return errors.Is(err, inject.ErrCharset) || strings.Contains(err.Error(), "a version other than 1.0")
}

// clone returns a copy of a tree.
func (e *element) clone() *element {
	c := *e
	c.Attributes = slices.Clone(e.Attributes)
	c.Children = slices.Clone(e.Children)
	for i, child := range c.Children {
		c.Children[i] = child.clone()
	}
	return &c
}

// text returns a tree as a text, by which trees can be compared.
func (e *element) text() string {
	text, _ := json.Marshal(e)
	return string(text)
}

// TestXMLIsReadAndWrittenAsExpatReadsIt compares with a reader of another origin: what one
// of the two takes the other takes, with the same values.
func TestXMLIsReadAndWrittenAsExpatReadsIt(t *testing.T) {
	requirePython(t)
	const value = "https://x.y/?a=1&b=<2>\r\n\té\"']]>"
	documents := mutations(rand.New(rand.NewPCG(7, 11)), 2000)
	paths := []string{"/a", "/a/b", "/a/@b", "/a/b/@c", "/a/d/@c", "/a/x/y", "/Envelope/Body/Order/Note", "/Envelope/Header/To"}
	type written struct {
		document int
		path     string
		was      *element
	}
	var changes []written
	var results [][]byte
	taken := 0
	for i, tree := range readWithExpat(t, documents) {
		body := documents[i]
		_, _, err := inject.GetXML(body, "/nosuch")
		if (err == nil) != (tree != nil) && !isKnownDifference(body, err) {
			t.Fatalf("%q: %v, and expat reads %+v", body, err, tree)
		}
		if err != nil || tree == nil {
			continue
		}
		taken++
		for _, path := range paths {
			at := followXML(tree, path)
			got, _, _ := inject.GetXML(body, path)
			if at.attribute != "" && at.value != nil && !at.ambiguous && got != strings.Trim(*at.value, xmlSpace) {
				t.Fatalf("%q at %s: %q, want %q", body, path, got, *at.value)
			}
			checkGetXML(t, body, path, at)
			out, err := inject.SetXML(nil, body, path, value)
			if err != nil {
				continue
			}
			changes = append(changes, written{document: i, path: path, was: tree})
			results = append(results, out)
		}
	}
	if taken < 300 || len(changes) < 1000 {
		t.Errorf("%d documents and %d changes are too few to compare", taken, len(changes))
	}
	for i, tree := range readWithExpat(t, results) {
		c := changes[i]
		want := c.was.clone()
		setTree(followXML(want, c.path), value)
		if tree.text() != want.text() {
			t.Fatalf("%q at %s is %q", documents[c.document], c.path, results[i])
		}
	}
}
