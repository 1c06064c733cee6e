package inject_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

const soap = `<?xml version="1.0" encoding="utf-8"?>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:o="urn:orders">
  <soap:Header/>
  <soap:Body>
    <o:Order id = '17' o:kind="a&lt;b" xmlns:id="urn:none">
      <o:Status> FAI<!-- not yet -->LED </o:Status><o:Code><![CDATA[4<0]]>4</o:Code>
      <o:Note>gr&#xfc;&#223;e` + "\r\n" + `&amp; more<?p q?></o:Note>
      <o:Empty> </o:Empty><o:Closed/><o:Items><o:Item/><o:Item/></o:Items>
    </o:Order>
  </soap:Body>
</soap:Envelope>
<!-- the end -->
`

func TestXMLIsReadByLocalNames(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/Envelope/Body/Order/Status": "FAILED",
		"/Envelope/Body/Order/Code":   "4<04",
		"/Envelope/Body/Order/Note":   "grüße\n& more",
		"/Envelope/Body/Order/Empty":  "",
		"/Envelope/Body/Order/Closed": "",
		"/Envelope/Header":            "",
		"/Envelope/Body/Order/@id":    "17",
		"/Envelope/Body/Order/@kind":  "a<b",
	} {
		got, found, err := inject.GetXML([]byte(soap), path)
		if got != want || !found || err != nil {
			t.Errorf("%s: %q, %v, %v, want %q", path, got, found, err, want)
		}
	}
	for _, path := range []string{
		"/envelope", "/Order", "/Envelope/Order", "/Envelope/Header/x", "/Envelope/Body/Order/Status/x", "/Envelope/@soap",
		"/Envelope/Body/Order/@Status", "/Envelope/Body/Order/Closed/@id", "/Envelope/Body/Order/@o", "/Envelope/Body/Order/Code/@x",
	} {
		got, found, err := inject.GetXML([]byte(soap), path)
		if got != "" || found || err != nil {
			t.Errorf("%s: %q, %v, %v", path, got, found, err)
		}
	}
	for _, path := range []string{"/Envelope/Body/Order/Items/Item", "/Envelope/Body/Order/Items/Item/@id", "/Envelope/Body/Order/Items/Item/a/b", "/Envelope/Body"} {
		got, found, err := inject.GetXML([]byte(soap), path)
		if got != "" || found || !errors.Is(err, inject.ErrAmbiguous) {
			t.Errorf("%s: %q, %v, %v", path, got, found, err)
		}
	}
}

func TestXMLSaysTheSameToAllReaders(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`<a/>`:                          "",
		"\ufeff<a>x</a>":                "x",
		" \n<a>x</a> ":                  "x",
		"<a>\t x \r\n</a>":              "x",
		"<a>x\r\ny\rz\n</a>":            "x\ny\nz",
		"<a>x&#13;y&#x0000A;z</a>":      "x\ry\nz",
		"<a>&#32;x&#9;</a>":             "x",
		"<a>\u00a0x</a>":                "\u00a0x",
		"<a>\ufeffx</a>":                "\ufeffx",
		`<a>&lt;&gt;&amp;&apos;</a>`:    "<>&'",
		`<a>&quot;&#x10FFFF;</a>`:       "\"\U0010ffff",
		`<a><![CDATA[<b>&lt;]]]]></a>`:  "<b>&lt;]]",
		`<a><![CDATA[]]></a>`:           "",
		`<a>1<!----><?p?>2</a>`:         "12",
		`<a>]]&gt;</a>`:                 "]]>",
		`<a b=">" c='"'>x</a >`:         "x",
		"<a\n\tb\r=\n'1' />":            "",
		`<é:a xmlns:é="u">x</é:a>`:      "x",
		`<a xml:lang="de">x</a>`:        "x",
		`<a xmlns="">x</a>`:             "x",
		`<?xml version="1.0"?><a>x</a>`: "x",
		`<?xml version='1.0' encoding='UTF-8' standalone='yes' ?><a>x</a>`:      "x",
		`<?xml version="1.0" encoding="US-ASCII"?><a>x&#xe4;</a>`:               "xä",
		`<?xml-stylesheet href="x"?><a>x</a><?xmlish?>`:                         "x",
		`<a xmlns:p="u" xmlns:q="v" p:b="1" q:b="2" b="3">x</a>`:                "x",
		`<a xmlns:p="u" xmlns:xml="http://www.w3.org/XML/1998/namespace">x</a>`: "x",
		`<p:a xmlns:p="u">x</p:a>`:                                              "x",
		`<a>` + "x" + `<!-- & < ]]> <b> -->` + `</a>`:                           "x",
	} {
		got, found, err := inject.GetXML([]byte(body), "/a")
		if got != want || !found || err != nil {
			t.Errorf("%s: %q, %v, %v, want %q", body, got, found, err, want)
		}
	}
	for literal, want := range map[string]string{
		"x":           "x",
		" x ":         "x",
		"x\t\r\ny\nz": "x  y z",
		"x&#10;y":     "x\ny",
		"&lt;'&#34;":  `<'"`,
		">":           ">",
	} {
		got, found, err := inject.GetXML([]byte(`<a b="`+literal+`"/>`), "/a/@b")
		if got != want || !found || err != nil {
			t.Errorf("%q: %q, %v, %v, want %q", literal, got, found, err, want)
		}
	}
}

func TestOnlyOneDocumentWithoutADTDIsXML(t *testing.T) {
	t.Parallel()
	const other, undeclared = "an end tag of another element", "a prefix that nothing declares, in the "
	for body, want := range map[string]string{
		"":                             "no element at byte 0",
		" ":                            "no element at byte 1",
		"\ufeff":                       "no element at byte 3",
		"\ufeff\ufeff<a/>":             "text outside of the root element at byte 3",
		"<!-- a -->":                   "no element at byte 10",
		`{"a":1}`:                      "text outside of the root element at byte 0",
		"a":                            "text outside of the root element at byte 0",
		"<a/>b":                        "text outside of the root element at byte 4",
		"<a/>&#32;":                    "text outside of the root element at byte 4",
		"<a/><![CDATA[]]>":             "text outside of the root element at byte 4",
		"<a/><a/>":                     "a second root element at byte 4",
		"<a></a><b>":                   "a second root element at byte 7",
		"<a>":                          "unexpected end at byte 3",
		"<a><b></b>":                   "unexpected end at byte 10",
		"<a></b>":                      other + " at byte 5",
		"<a></a></a>":                  other + " at byte 9",
		"</a>":                         other + " at byte 2",
		"<p:a xmlns:p='u'></a>":        other + " at byte 19",
		"<a><b></a></b>":               other + " at byte 8",
		"<a":                           "unexpected end at byte 2",
		"<":                            "unexpected end at byte 1",
		"<a></":                        "unexpected end at byte 5",
		"<a></a":                       "unexpected end at byte 6",
		"< a/>":                        "unexpected character at byte 1",
		"<a></ a>":                     "unexpected character at byte 5",
		"<a / >":                       "unexpected character at byte 4",
		"<1/>":                         "unexpected character at byte 1",
		"<a:/>":                        "unexpected character at byte 3",
		"<:a/>":                        "unexpected character at byte 1",
		"<a:b:c xmlns:a='u'/>":         "unexpected character at byte 4",
		"<a×b/>":                       "unexpected character at byte 2",
		"<a b/>":                       "unexpected character at byte 4",
		"<a b=c/>":                     "unexpected character at byte 5",
		"<a b='/>":                     "unexpected end at byte 8",
		"<a b='<'/>":                   "unexpected character at byte 6",
		"<a b='1'c='2'/>":              "unexpected character at byte 8",
		"<a b='1' b='1'/>":             "an attribute for the second time at byte 9",
		"<a c='' b='1' a='' b=\"2\"/>": "an attribute for the second time at byte 19",
		"<a xmlns='u' xmlns='u'/>":     "an attribute for the second time at byte 13",
		"<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>":        "an attribute for the second time at byte 35",
		"<a xmlns:p='u'><b xmlns:q='u' p:b='1' q:b='2'/></a>": "an attribute for the second time at byte 38",
		"<p:a/>":                        undeclared + "element at byte 0",
		"<a p:b=''/>":                   undeclared + "attribute at byte 3",
		"<a><b xmlns:p='u'/><p:b/></a>": undeclared + "element at byte 19",
		"<xmlns:a/>":                    undeclared + "element at byte 0",
		"<a xmlns:p=''/>":               "declaration of no namespace at byte 3",
		"<a xmlns:xmlns='u'/>":          "declaration of a reserved namespace at byte 3",
		"<a xmlns:xml='u'/>":            "declaration of a reserved namespace at byte 3",
		"<a xmlns:p='http://www.w3.org/2000/xmlns/'/>": "declaration of a reserved namespace at byte 3",
		"<a>&b;</a>":                     "unknown entity, or a reference to no character, at byte 3",
		"<a>&amp</a>":                    "unknown entity, or a reference to no character, at byte 3",
		"<a>x & y</a>":                   "unknown entity, or a reference to no character, at byte 5",
		"<a>&#0;</a>":                    "unknown entity, or a reference to no character, at byte 3",
		"<a>&#xD800;</a>":                "unknown entity, or a reference to no character, at byte 3",
		"<a>&#xFFFE;</a>":                "unknown entity, or a reference to no character, at byte 3",
		"<a>&#x110000;</a>":              "unknown entity, or a reference to no character, at byte 3",
		"<a>&#99999999999999999999;</a>": "unknown entity, or a reference to no character, at byte 3",
		"<a>&#X41;</a>":                  "unknown entity, or a reference to no character, at byte 3",
		"<a>&#+65;</a>":                  "unknown entity, or a reference to no character, at byte 3",
		"<a>&#;</a>":                     "unknown entity, or a reference to no character, at byte 3",
		"<a b='x&nbsp;'/>":               "unknown entity, or a reference to no character, at byte 7",
		"<a>]]></a>":                     "unexpected character at byte 3",
		"<a><![CDATA[</a>":               "unexpected end at byte 16",
		"<a><!-- -- --></a>":             "unexpected character at byte 10",
		"<a><!-- ---></a>":               "unexpected character at byte 10",
		"<a><!--></a>":                   "unexpected end at byte 12",
		"<a><?p":                         "unexpected end at byte 6",
		"<a><?p!?></a>":                  "unexpected character at byte 6",
		"<a><? p?></a>":                  "unexpected character at byte 5",
		"<a><?p:q ?></a>":                "unexpected character at byte 6",
		"<a><?xMl version='1.0'?></a>":   "an XML declaration at byte 3",
		" <?xml version='1.0'?><a/>":     "an XML declaration at byte 1",
		"<?xml?><a/>":                    "an XML declaration at byte 0",
		"<?xml ?><a/>":                   "unexpected character at byte 6",
		"<?xml encoding='utf-8'?><a/>":   "unexpected character at byte 6",
		"<?xml version='1.1'?><a/>":      "a version other than 1.0 before what is at byte 19",
		"<?xml version='1.0' standalone='x'?><a/>":                   "neither yes nor no before what is at byte 34",
		"<?xml version='1.0' x='1'?><a/>":                            "unexpected character at byte 20",
		"<?xml version='1.0'encoding='utf-8'?><a/>":                  "unexpected character at byte 19",
		"<?xml version='1.0' standalone='no' encoding='utf-8'?><a/>": "unexpected character at byte 36",
		"<?xml version='1.0' encoding='us-ascii'?><a>é</a>":          "not US-ASCII, as it is declared, at byte 44",
		"<!DOCTYPE a><a/>":                 "a DTD, which can change what a document says, at byte 0",
		"<a><!ENTITY b 'c'></a>":           "a DTD, which can change what a document says, at byte 3",
		"<a><![cdata[]]></a>":              "a DTD, which can change what a document says, at byte 3",
		"<a>\x00</a>":                      "unexpected character at byte 3",
		"<a>\x1b</a>":                      "unexpected character at byte 3",
		"<a>\xff</a>":                      "not UTF-8 at byte 3",
		"<a>\xc0\xbc</a>":                  "not UTF-8 at byte 3",
		"<a>\xed\xa0\x80</a>":              "not UTF-8 at byte 3",
		"<a>\uffff</a>":                    "unexpected character at byte 3",
		"\xff\xfe<\x00a\x00/\x00>\x00":     "not UTF-8 at byte 0",
		"<\x00a\x00/\x00>\x00":             "unexpected character at byte 1",
		strings.Repeat("<a>", 65):          "nested deeper than 64 levels at byte 192",
		strings.Repeat("<a>", 64) + "<a/>": "nested deeper than 64 levels at byte 192",
		"<a" + manyNamespaces(257) + "/>":  "too many declarations of namespaces at byte 4099",
	} {
		want = "body is not usable XML: xml /a: " + want
		if _, _, err := inject.GetXML([]byte(body), "/a"); !errors.Is(err, inject.ErrNotXML) || err.Error() != want {
			t.Errorf("GetXML of %.60q: %v, want %s", body, err, want)
		}
		if got, err := inject.SetXML(nil, []byte(body), "/a", "x"); got != nil || !errors.Is(err, inject.ErrNotXML) || err.Error() != want {
			t.Errorf("SetXML of %.60q: %v, want %s", body, err, want)
		}
	}
	for _, charset := range []string{"ISO-8859-1", "utf8", "UTF-16", "windows-1252", ""} {
		body := []byte(`<?xml version="1.0" encoding="` + charset + `"?><a>x</a>`)
		if _, _, err := inject.GetXML(body, "/a"); !errors.Is(err, inject.ErrCharset) || errors.Is(err, inject.ErrNotXML) {
			t.Errorf("%q: %v", charset, err)
		}
		if _, err := inject.SetXML(nil, body, "/a", "y"); !errors.Is(err, inject.ErrCharset) {
			t.Errorf("%q: %v", charset, err)
		}
	}
}

func manyNamespaces(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" xmlns:p" + strconv.Itoa(1000+i) + "='u'")
	}
	return b.String()
}

func TestXMLIsAsDeepAsJSON(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("<a>", n) + "x" + strings.Repeat("</a>", n) }
	deepest := strings.Repeat("/a", inject.MaxDepth)
	if got, found, err := inject.GetXML([]byte(nested(inject.MaxDepth)), deepest); got != "x" || !found || err != nil {
		t.Errorf("%q, %v, %v", got, found, err)
	}
	got, err := inject.SetXML(nil, []byte("<a/>"), deepest, "x")
	if string(got) != nested(inject.MaxDepth) || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if err := (inject.Location{In: inject.XML, Name: deepest + "/a"}).Validate(); !errors.Is(err, inject.ErrLocation) {
		t.Error(err)
	}
	if err := (inject.Location{In: inject.XML, Name: deepest + "/@a"}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestElementThatIsNilHasNothingInItThatAllReadersFind(t *testing.T) {
	t.Parallel()
	const xsi = ` xmlns:i="http://www.w3.org/2001/XMLSchema-instance"`
	for body, want := range map[string]string{
		`<a` + xsi + `><b i:nil="true"/></a>`:                 `<a` + xsi + `><b i:nil="false">x</b></a>`,
		"\ufeff<a" + xsi + `><b i:nil=' 1 ' c="2" /></a>`:     `<a` + xsi + `><b i:nil='false' c="2" >x</b></a>`,
		`<a><b` + xsi + ` i:nil="true">1</b></a>`:             `<a><b` + xsi + ` i:nil="false">x</b></a>`,
		`<a i:nil="&#x74;rue"` + xsi + `/>`:                   `<a i:nil="false"` + xsi + `><b>x</b></a>`,
		`<a` + xsi + `><b i:nil="false">1</b></a>`:            `<a` + xsi + `><b i:nil="false">x</b></a>`,
		`<a><b nil="true">1</b></a>`:                          `<a><b nil="true">x</b></a>`,
		`<a xmlns:i="u"><b i:nil="true">1</b></a>`:            `<a xmlns:i="u"><b i:nil="true">x</b></a>`,
		`<a` + xsi + `><c i:nil="true">1</c><b>2</b></a>`:     `<a` + xsi + `><c i:nil="true">1</c><b>x</b></a>`,
		`<a` + xsi + `><b xmlns:i="u" i:nil="true"/></a>`:     `<a` + xsi + `><b xmlns:i="u" i:nil="true">x</b></a>`,
		`<a` + xsi + `><b xmlns:j="u" i:nil="0">1</b></a>`:    `<a` + xsi + `><b xmlns:j="u" i:nil="0">x</b></a>`,
		`<a` + xsi + `><b i:nil="true"><c>1</c></b>  </a>`:    `<a` + xsi + `><b i:nil="false">x</b>  </a>`,
		`<i:a` + xsi + ` i:nil="true" i:type="t">` + `</i:a>`: `<i:a` + xsi + ` i:nil="false" i:type="t"><i:b>x</i:b></i:a>`,
	} {
		got, err := inject.SetXML(nil, []byte(body), "/a/b", "x")
		if string(got) != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", body, got, err, want)
		}
		if value, found, err := inject.GetXML(got, "/a/b"); value != "x" || !found || err != nil {
			t.Errorf("%s is read as %q, %v, %v", got, value, found, err)
		}
	}
	if got, err := inject.SetXML(nil, []byte(`<a`+xsi+` i:nil="true"/>`), "/a/@b", "x"); string(got) != `<a`+xsi+` i:nil="true" b="x"/>` || err != nil {
		t.Errorf("an attribute: %s, %v", got, err)
	}
	for _, body := range []string{`<a` + xsi + `><b i:nil="true"/></a>`, `<a` + xsi + `><b i:nil="1"> <!-- c --></b></a>`} {
		if value, found, err := inject.GetXML([]byte(body), "/a/b"); value != "" || !found || err != nil {
			t.Errorf("%s is read as %q, %v, %v", body, value, found, err)
		}
	}
	for _, body := range []string{`<a` + xsi + `><b i:nil="true">x</b></a>`, `<a` + xsi + `><b i:nil="1"><c/></b></a>`, `<a` + xsi + ` i:nil="true"><b>x</b></a>`} {
		m := inject.Message{Body: []byte(body)}
		if is, err := m.Match(inject.Location{In: inject.XML, Name: "/a/b"}, nil); is || !errors.Is(err, inject.ErrAmbiguous) {
			t.Errorf("%s matches: %v, %v", body, is, err)
		}
	}
	if got, err := inject.SetXML(nil, []byte(`<a`+xsi+` i:nil="true"><b/></a>`), "/a/b", "x"); !errors.Is(err, inject.ErrAmbiguous) {
		t.Errorf("in one that is nil: %s, %v", got, err)
	}
}

func TestSetXMLChangesOneValueOnly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, path, value, want string }{
		"an element":                     {`<a><b> 1 </b><c/></a>`, "/a/b", "x", `<a><b>x</b><c/></a>`},
		"all that is in it":              {`<a><b>1<!-- 2 --><c>3</c><![CDATA[4]]></b></a>`, "/a/b", "x", `<a><b>x</b></a>`},
		"an empty element":               {`<a><b></b></a>`, "/a/b", "x", `<a><b>x</b></a>`},
		"a closed element":               {`<a><p:b c="1" xmlns:p="u" /></a>`, "/a/b", "x", `<a><p:b c="1" xmlns:p="u" >x</p:b></a>`},
		"the root":                       {`<a>1</a >`, "/a", "x", `<a>x</a >`},
		"the closed root":                {` <a/> `, "/a", "x", ` <a>x</a> `},
		"a missing element":              {"<a>\n  <b/>\n</a>", "/a/c", "x", "<a>\n  <b/>\n<c>x</c></a>"},
		"in an empty parent":             {"<a></a>", "/a/c", "x", "<a><c>x</c></a>"},
		"in a closed parent":             {`<a d="1"/>`, "/a/b/c", "x", `<a d="1"><b><c>x</c></b></a>`},
		"beside mixed text":              {`<a>1<b/></a>`, "/a/c", "x", `<a>1<b/><c>x</c></a>`},
		"beside a comment":               {`<a> <!-- 1 --></a>`, "/a/c", "x", `<a> <!-- 1 --><c>x</c></a>`},
		"with the prefix of its parent":  {`<p:a xmlns:p="u"><b/></p:a>`, "/a/c/d", "x", `<p:a xmlns:p="u"><b/><p:c><p:d>x</p:d></p:c></p:a>`},
		"without one":                    {`<a xmlns="u" xmlns:p="u"/>`, "/a/c", "x", `<a xmlns="u" xmlns:p="u"><c>x</c></a>`},
		"an attribute":                   {`<a b = '1' c="2"/>`, "/a/@b", "x", `<a b = 'x' c="2"/>`},
		"an attribute with a prefix":     {`<a xmlns:p="u" p:b="1"/>`, "/a/@b", "x", `<a xmlns:p="u" p:b="x"/>`},
		"a missing attribute":            {`<a b="1"   ><c/></a>`, "/a/@c", "x", `<a b="1" c="x"   ><c/></a>`},
		"a missing attribute, closed":    {`<a />`, "/a/@c", "x", `<a c="x" />`},
		"beside a namespace of its name": {`<a xmlns:c="u"/>`, "/a/@c", "x", `<a xmlns:c="u" c="x"/>`},
		"of a missing element":           {`<p:a xmlns:p="u"/>`, "/a/b/@c", "x", `<p:a xmlns:p="u"><p:b c="x"/></p:a>`},
		"a byte order mark goes":         {"\ufeff<a>1</a>", "/a", "x", "<a>x</a>"},
		"all else stays":                 {"<?xml version='1.0'?>\r\n<!-- & -->\r\n<a  b='&#65;'>\t<c><![CDATA[<]]>&lt;</c\n><d/></a>\r\n<?p ?>", "/a/d", "x", "<?xml version='1.0'?>\r\n<!-- & -->\r\n<a  b='&#65;'>\t<c><![CDATA[<]]>&lt;</c\n><d>x</d></a>\r\n<?p ?>"},
		"a URL":                          {`<a/>`, "/a", "https://x.y/?a=1&b=<2>", `<a>https://x.y/?a=1&amp;b=&lt;2&gt;</a>`},
		"a URL in an attribute":          {`<a b=''/>`, "/a/@b", `?a=1&b="'`, `<a b='?a=1&amp;b=&quot;&apos;'/>`},
		"white space that would change":  {`<a b=""/>`, "/a/@b", "1\t2\r\n3", `<a b="1&#9;2&#13;&#10;3"/>`},
		"beyond ASCII":                   {`<a/>`, "/a", "é😀\u0085", `<a>&#233;&#128512;&#133;</a>`},
		"what would end a section":       {`<a/>`, "/a", "]]>", `<a>]]&gt;</a>`},
		"nothing":                        {`<a>1</a>`, "/a", "", `<a></a>`},
		"SOAP":                           {soap, "/Envelope/Header/ReplyTo/Address", "x", strings.Replace(soap, "<soap:Header/>", "<soap:Header><soap:ReplyTo><soap:Address>x</soap:Address></soap:ReplyTo></soap:Header>", 1)},
	} {
		body := []byte(c.body)
		got, err := inject.SetXML(nil, body, c.path, c.value)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, c.want)
		}
		if string(body) != c.body {
			t.Errorf("%s: body became %s", name, body)
		}
	}
}

func TestSetXMLRefusesWhatItCouldBreak(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body, path, value string
		err               error
		want              string
	}{
		"another root":             {`<b/>`, "/a", "x", inject.ErrPath, "the root element has another name"},
		"another root with a path": {`<b><a/></b>`, "/a/b", "x", inject.ErrPath, "the root element has another name"},
		"text on the way":          {`<a> 1 </a>`, "/a/b", "x", inject.ErrPath, `no place for "b" in a text at byte 3`},
		"CDATA on the way":         {`<a><![CDATA[]]></a>`, "/a/b/c", "x", inject.ErrPath, `no place for "b" in a text at byte 3`},
		"text on the way, nested":  {`<a><b>1</b></a>`, "/a/b/@c/", "x", inject.ErrLocation, ""},
		"an element twice":         {`<a><b/><c/><b/></a>`, "/a/b", "x", inject.ErrAmbiguous, `"b" twice, at byte 11`},
		"in two namespaces":        {`<a xmlns:p="u"><b/><p:b/></a>`, "/a/b", "x", inject.ErrAmbiguous, `"b" twice, at byte 19`},
		"a parent twice":           {`<a><b><c/></b><b/></a>`, "/a/b/c", "x", inject.ErrAmbiguous, `"b" twice, at byte 14`},
		"an attribute twice":       {`<a xmlns:p="u" b="1" p:b="2"/>`, "/a/@b", "x", inject.ErrAmbiguous, `"@b" twice`},
		"a name that ASCII lacks":  {`<?xml version="1.0" encoding="us-ascii"?><a/>`, "/a/é", "x", inject.ErrPath, "it has no place in US-ASCII"},
		"a prefix without an end":  {"<" + strings.Repeat("p", 257) + ":a xmlns:" + strings.Repeat("p", 257) + `="u"/>`, "/a/b/c", "x", inject.ErrPath, `a prefix longer than 256 bytes before "a"`},
		"a control character":      {`<a/>`, "/a", "\x01", inject.ErrValue, "it has a character that XML does not have"},
		"no UTF-8":                 {`<a/>`, "/a", "\xff", inject.ErrValue, "it has a character that XML does not have"},
		"no character":             {`<a/>`, "/a", "\ufffe", inject.ErrValue, "it has a character that XML does not have"},
	} {
		got, err := inject.SetXML(nil, []byte(c.body), c.path, c.value)
		if got != nil || !errors.Is(err, c.err) || !strings.Contains(err.Error(), "xml "+c.path+": "+c.want) && c.want != "" {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
}

func TestXMLErrorsNeverQuoteTheBody(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`secret`, `<secret/>`, `<secret`, `<a>secret`, `<a>&secret;</a>`, `<a>secret</a>`, `<!DOCTYPE secret>`, `<a secret="1" secret="2"/>`,
		`<?xml version="1.0" encoding="secret"?><a/>`, `<?xml version="secret"?>`, `<secret:a/>`, `<a></secret>`, `<a xmlns:secret=""/>`,
	} {
		_, err := inject.SetXML(nil, []byte(body), "/a/b", "x")
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestMessageReadsXML(t *testing.T) {
	t.Parallel()
	at := inject.Location{In: inject.XML, Name: "/a/b"}
	for name, c := range map[string]struct {
		header, body, want string
		err                error
	}{
		"under any type":         {"Content-Type: text/plain", `<a><b>x</b></a>`, "x", nil},
		"without a type":         {"", `<a><b>x</b></a>`, "x", nil},
		"no body":                {"", "", "", nil},
		"not there":              {"", `<a/>`, "", nil},
		"another root":           {"", `<c><b>x</b></c>`, "", nil},
		"in UTF-8, said so":      {"Content-Type: text/xml; charset=UTF-8", `<a><b>x</b></a>`, "x", nil},
		"in another charset":     {"Content-Type: text/xml; charset=iso-8859-1", `<a><b>x</b></a>`, "", inject.ErrCharset},
		"declared in another":    {"Content-Type: text/xml", `<?xml version="1.0" encoding="iso-8859-1"?><a><b>x</b></a>`, "", inject.ErrCharset},
		"twice":                  {"", `<a><b>x</b><b>x</b></a>`, "", inject.ErrAmbiguous},
		"with elements in it":    {"", `<a><b>x<c/></b></a>`, "", inject.ErrAmbiguous},
		"JSON":                   {"Content-Type: text/xml", `{"a":{"b":"x"}}`, "", inject.ErrNotXML},
		"with a DTD":             {"", `<!DOCTYPE a><a><b>x</b></a>`, "", inject.ErrNotXML},
		"with a byte order mark": {"", "\ufeff<a><b>x</b></a>", "x", nil},
	} {
		m := inject.Message{Header: http.Header{}, Body: []byte(c.body)}
		if field, value, ok := cut(c.header); ok {
			m.Header.Add(field, value)
		}
		got, err := m.Read(at)
		values, again := m.Values(at)
		if got.Text != c.want || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) || !errors.Is(again, c.err) {
			t.Errorf("%s: %q, %v, %v", name, got.Text, err, again)
		}
		if want := c.want != ""; want != (len(values) == 1 && values[0] == c.want) {
			t.Errorf("%s: values %q", name, values)
		}
	}
}

func TestPatternsMatchXML(t *testing.T) {
	t.Parallel()
	for body, c := range map[string]struct {
		there    bool
		matching []string
		not      []string
		nested   bool
	}{
		`<b>FAIL</b>`:                     {true, []string{"FAIL"}, []string{"fail", "FAILED"}, false},
		"<b>\n  404 </b>":                 {true, []string{"404", "4xx"}, []string{"5xx", "404.0"}, false},
		`<b/>`:                            {false, nil, []string{"x", "4xx"}, false},
		`<b> <!-- x --></b>`:              {false, nil, []string{"x"}, false},
		`<b c="1"/>`:                      {false, nil, []string{"1"}, false},
		``:                                {false, nil, []string{"x"}, false},
		`<b>false</b>`:                    {true, []string{"false"}, []string{"true"}, false},
		`<b><c/></b>`:                     {true, nil, nil, true},
		`<b>FAIL<c/></b>`:                 {true, nil, nil, true},
		`<b><![CDATA[ <x> ]]></b>`:        {true, []string{"<x>"}, []string{" <x> "}, false},
		`<x><b>FAIL</b></x>`:              {false, nil, []string{"FAIL"}, false},
		`<b xmlns:p="u" p:c="FAIL">1</b>`: {true, []string{"1"}, []string{"FAIL"}, false},
	} {
		m := inject.Message{Body: []byte("<a>" + body + "</a>")}
		at := inject.Location{In: inject.XML, Name: "/a/b"}
		if there, err := m.Match(at, nil); there != c.there || err != nil {
			t.Errorf("%s is there: %v, %v", body, there, err)
		}
		for _, pattern := range c.matching {
			if ok, err := m.Match(at, []string{"other", pattern}); !ok || err != nil {
				t.Errorf("%s does not match %s: %v", body, pattern, err)
			}
		}
		for _, pattern := range c.not {
			if ok, err := m.Match(at, []string{pattern}); ok || err != nil {
				t.Errorf("%s matches %s: %v", body, pattern, err)
			}
		}
		if _, err := m.Match(at, []string{"FAIL"}); errors.Is(err, inject.ErrAmbiguous) != c.nested {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestXMLPathIsRefusedWithTheRightSpelling(t *testing.T) {
	t.Parallel()
	const hint = "write each step from the root by its local name, such as /Order/Status, or /Order/@id for an attribute"
	for path, want := range map[string]string{
		"":                       "xml needs a path, such as /Order/Status",
		"/a\xff":                 "xml path is not UTF-8",
		"Order/Status":           `"Order/Status" does not begin with a slash; write /Order/Status`,
		"Order.Status":           `"Order.Status" does not begin with a slash; write /Order/Status`,
		"$.Order.Status":         `"$.Order.Status" does not begin with a slash; write /Order/Status`,
		"@id":                    `"@id" does not begin with a slash; ` + hint,
		"/Order/*":               `"/Order/*" has a *, and no path means several elements; ` + hint,
		"//Status":               `"//Status" has a //, and no path means elements wherever they are; ` + hint,
		"/Order//Status":         `"/Order//Status" has a //, and no path means elements wherever they are; ` + hint,
		"/Order/Item[1]":         `"/Order/Item[1]" has brackets, and no path chooses among elements of one name; ` + hint,
		"/Order/Status/text()":   `"/Order/Status/text()" has parentheses, and the path of an element means its text already; write /Order/Status`,
		"text()":                 `"text()" has parentheses, and the path of an element means its text already; ` + hint,
		"/s:Envelope/s:Body":     `"/s:Envelope/s:Body" has a prefix, and local names are compared, whatever their namespace; write /Envelope/Body`,
		"/a/@xml:lang":           `"/a/@xml:lang" has a prefix, and local names are compared, whatever their namespace; write /a/@lang`,
		"/":                      `"/" has an empty step; ` + hint,
		"/Order/":                `"/Order/" has an empty step; write /Order`,
		"/Order/@id/x":           `"/Order/@id/x" goes on after an attribute, which has nothing in it; ` + hint,
		"/@id":                   `"/@id" has an attribute of no element; ` + hint,
		"/Order/@":               `"/Order/@" has "@", which is the name of nothing in XML; ` + hint,
		"/Order/@xmlns":          `"/Order/@xmlns" leads to the declaration of a namespace, which is no value; choose another attribute`,
		"/Order/..":              `"/Order/.." has "..", which is the name of nothing in XML; ` + hint,
		"/Order/0":               `"/Order/0" has "0", which is the name of nothing in XML; ` + hint,
		"/Order/a b":             `"/Order/a b" has "a b", which is the name of nothing in XML; ` + hint,
		strings.Repeat("/a", 65): "xml path has more than 64 steps",
	} {
		if strings.HasPrefix(want, `"`) {
			want = "xml path " + want
		}
		err := inject.Location{In: inject.XML, Name: path}.Validate()
		if !errors.Is(err, inject.ErrLocation) || err.Error() != "not a location of a request: "+want {
			t.Errorf("%s:\ngot  %v\nwant %s", path, err, want)
		}
	}
	for _, path := range []string{"/a", "/xml/result_code", "/Order/Status", "/Order/@id", "/a/b/@c", "/é/ü-1.2", "/_"} {
		if err := (inject.Location{In: inject.XML, Name: path}).Validate(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
