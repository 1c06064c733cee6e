package upstream

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

func TestEndOfTheRootIsFoundWhereverTheBytesAreSplit(t *testing.T) {
	t.Parallel()
	for body, end := range map[string]int{
		`<a/>`: 4, `<a></a>`: 7, ` <a><b/></a >x`: 13, `<a b="/>"/><!-- `: 11, `<a b='>"'></a>`: 14, "\ufeff<?xml version='1.0'?>\n<a/>": 29,
		`<?p > ?><a/>`: 12, `<!-- <a/> --><a/>`: 17, `<!----><a/>`: 11, `<a><!-- </a> --></a>`: 20, `<a><![CDATA[</a>]]]></a>`: 24, `<a><![CDATA[]]></a>`: 19,
		`<a><?p </a> ?></a>`: 18, `<a><a><a/></a></a>`: 18, `<a b = "'" c='/' />`: 19,
		`<a>`: -1, `<a><b/>`: -1, `<a b="`: -1, `<`: -1, ``: -1, " \r\n": -1, `<!-- --`: -1, `<?p ?`: -1, `<a`: -1, `<a/`: -1, `<a></a`: -1, `<a><![CDATA[</a>`: -1,
		// What cannot be read is looked at at once.
		`{"a":1}`: 1, `ok`: 1, `<!DOCTYPE a>`: 3, `<a><!ENTITY`: 6, `<!-x`: 4, `</a>`: 4, ` &`: 2, strings.Repeat("<a>", 65): 195,
	} {
		for split := range len(body) + 1 {
			var r rootEnd
			got := -1
			for i := range len(body) {
				if i < split {
					// A byte at a time, and then the rest at once.
					if _, ended := r.add([]byte{body[i]}); ended {
						got = i + 1
						break
					}
					continue
				}
				if n, ended := r.add([]byte(body[i:])); ended {
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

// FuzzEndOfTheRoot holds the end to where encoding/xml finds it, in what is XML.
func FuzzEndOfTheRoot(f *testing.F) {
	for _, seed := range []string{
		`<a b="1/>">x<![CDATA[]]]]><!-- - --></a>`, `<?xml version="1.0"?><a/><!-- x -->`, "\ufeff<a><b c='>'/></a>", `<a><?p ??></a><?q?>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, _, err := inject.GetXML(body, "/a"); err != nil {
			return
		}
		var r rootEnd
		got, ended := r.add(body)
		if !ended {
			t.Fatalf("%q has no end", body)
		}
		if want := endOfRoot(body); got != want && want >= 0 {
			t.Fatalf("%q ends at %d, want %d", body, got, want)
		}
		if _, _, err := inject.GetXML(body[:got], "/a"); err != nil {
			t.Fatalf("%q: what is looked at is %q: %v", body, body[:got], err)
		}
	})
}

// endOfRoot returns where the root ends according to encoding/xml, -1 if that cannot read it.
func endOfRoot(body []byte) int {
	rest := bytes.TrimPrefix(body, []byte("\ufeff"))
	d := xml.NewDecoder(bytes.NewReader(rest))
	d.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	for depth := 0; ; {
		token, err := d.Token()
		if err != nil {
			return -1
		}
		switch token.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			if depth--; depth == 0 {
				return len(body) - len(rest) + int(d.InputOffset())
			}
		}
	}
}

func TestAnswerInXMLIsDecidedOnAtTheEndOfItsRoot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		writes       []string
		judged       string
		passed, kept bool
	}{
		"in pieces":            {[]string{`<a>y`, `es</`, `a>`}, "<a>yes</a>", false, true},
		"a comment has begun":  {[]string{`<a>yes</a><!-- n`, `o -->`}, "<a>yes</a>", false, true},
		"no":                   {[]string{`<a>no</a><!-- n`, `o -->`}, "<a>no</a>", true, false},
		"JSON":                 {[]string{`{`, `"yes"`}, "{", true, false},
		"packed":               {[]string{`<a>yes</a>`}, "", false, false},
		"not yet":              {[]string{`<a>yes`}, "", false, false},
		"a DTD":                {[]string{`<!DOCTYPE`, ` yes`}, "<!D", true, false},
		"a declaration before": {[]string{`<?xml `, `version="1.0"?><a>yes</a>`, "\n"}, `<?xml version="1.0"?><a>yes</a>`, false, true},
	} {
		w := newClient()
		rec, told := weighing(w, 64, KeptHead)
		body := rec.judge.(judge).body
		rec.judge = judge{head: func(int) Fate { return WeighedXML }, body: body}
		if name == "packed" {
			rec.Header().Set("Content-Encoding", "gzip")
		}
		rec.WriteHeader(http.StatusOK)
		for _, b := range c.writes {
			if n, err := rec.Write([]byte(b)); n != len(b) || err != nil {
				t.Errorf("%s: wrote %d: %v", name, n, err)
			}
		}
		if isClosed(rec.ready) != c.kept || rec.passed != c.passed || c.passed && w.body.String() != strings.Join(c.writes, "") {
			t.Errorf("%s: kept %v, passed on %q", name, isClosed(rec.ready), w.body.String())
		}
		if c.judged == "" && len(*told) > 0 || c.judged != "" && (len(*told) != 1 || string((*told)[0].Body) != c.judged) {
			t.Errorf("%s: the judge was told %+v", name, *told)
		}
		if c.kept && string(rec.needed.Body) != c.judged {
			t.Errorf("%s: needed is %q", name, rec.needed.Body)
		}
	}
}
