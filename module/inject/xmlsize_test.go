package inject_test

import (
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/linear"
)

func TestXMLTakesTimeInProportionToItsSize(t *testing.T) {
	for name, body := range map[string]func(n int) string{
		"siblings":       func(n int) string { return "<a>" + strings.Repeat("<b/>", n) + "</a>" },
		"of other names": func(n int) string { return "<a>" + strings.Repeat("<c>x</c>", n) + "</a>" },
		"text":           func(n int) string { return "<a><b>" + strings.Repeat("x&amp;\r\n", n) + "</b></a>" },
		"sections":       func(n int) string { return "<a><b>" + strings.Repeat("<![CDATA[x]]><!-- -->", n) + "</b></a>" },
		"depth": func(n int) string {
			return "<a>" + strings.Repeat(strings.Repeat("<d>", 63)+strings.Repeat("</d>", 63), n/60) + "</a>"
		},
		"attributes": func(n int) string {
			var b strings.Builder
			for i := range n {
				b.WriteString(" b" + strconv.Itoa(i*7919%n) + "='1'")
			}
			return "<a" + b.String() + "/>"
		},
		"namespaces": func(n int) string {
			return "<a" + manyNamespaces(200) + ">" + strings.Repeat("<p1000:c p1001:d='1'/>", n) + "</a>"
		},
		"namespaces in turn": func(n int) string { return "<a>" + strings.Repeat("<p:b xmlns:p='u'/>", n) + "</a>" },
		"broken references":  func(n int) string { return "<a>" + strings.Repeat("&amp;", n) + strings.Repeat("&", n) + "</a>" },
		"open comments":      func(n int) string { return "<a>" + strings.Repeat("<!-- -", n) + "</a>" },
		"open tags":          func(n int) string { return "<a " + strings.Repeat("b='", n) },
	} {
		linear.Check(t, 2000, func(n int) func() {
			text := []byte(body(n))
			return func() {
				_, _, _ = inject.GetXML(text, "/a/b")
				_, _ = inject.SetXML(nil, text, "/a/e/f", "x")
			}
		})
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

func TestXMLTakesLittleMemory(t *testing.T) {
	var b strings.Builder
	for i := range 100_000 {
		b.WriteString(" " + strconv.FormatInt(int64(i)+36*36*36*10, 36) + "=''")
	}
	for name, body := range map[string]string{
		"elements":   "<a>" + strings.Repeat("<c/>", 200_000) + "</a>",
		"attributes": "<a" + b.String() + "/>",
	} {
		text := []byte(body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := inject.GetXML(text, "/a/b")
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; err != nil || took > uint64(6*len(text)) {
			t.Errorf("%s: %d bytes for %d, %v", name, took, len(text), err)
		}
	}
}
