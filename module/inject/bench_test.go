package inject_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

const large = 10 << 20

// filled returns a text of about ten MiB that repeats one piece.
func filled(opening, piece, closing string) []byte {
	return []byte(opening + strings.Repeat(piece, large/len(piece)) + closing)
}

func bodies() map[string][]byte {
	order := `{"id": 12345678, "name": "A customer's order", "price": 19.99, "tags": ["a", "b"], "note": "gr\u00fc\u00dfe", "ok": true},`
	return map[string][]byte{
		"Small":        []byte(`{"id": 12345678, "name": "A customer's order", "price": 19.99, "tags": ["a", "b"]}`),
		"Orders":       filled(`{"orders":[`, order, `{}]}`),
		"Numbers":      filled(`{"n":[`, `123.5,`, `0]}`),
		"Base64":       filled(`{"file":"`, `aGVsbG8gd29ybGQh`, `"}`),
		"Chinese":      filled(`{"text":"`, `回调地址`, `"}`),
		"Escapes":      filled(`{"text":"`, `\u00e9\n`, `"}`),
		"Members":      filled(`{`, `"a":1,`, `"z":1}`),
		"EscapedNames": filled(`{`, `"\u0061":1,`, `"z":1}`),
		"Brackets":     filled(`[`, strings.Repeat("[", 63)+strings.Repeat("]", 63)+",", `{}]`),
	}
}

func BenchmarkSetJSON(b *testing.B) {
	literal := inject.Quote("https://app.example.com/cb/9f0c7f5e-7f5e-4f5e-8f5e-9f0c7f5e7f5e")
	for name, body := range bodies() {
		b.Run(name, func(b *testing.B) {
			path := "callbackUrl"
			if body[0] == '[' {
				path = "0.0"
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := inject.SetJSON(nil, body, path, literal); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGetJSON(b *testing.B) {
	body := bodies()["Orders"]
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, found, err := inject.GetJSON(body, "orders.1000.note"); !found || err != nil {
			b.Fatal(found, err)
		}
	}
}

// BenchmarkValid measures how long encoding/json takes to check the same body only.
func BenchmarkValid(b *testing.B) {
	body := bodies()["Orders"]
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if !json.Valid(body) {
			b.Fatal("not valid")
		}
	}
}

func BenchmarkSetXML(b *testing.B) {
	const url = "https://app.example.com/cb/9f0c7f5e-7f5e-4f5e-8f5e-9f0c7f5e7f5e"
	for name, body := range map[string][]byte{
		"Small":      []byte(`<order id="12345678"><name>A customer&apos;s order</name><price>19.99</price></order>`),
		"Orders":     filled("<order>", `<line id="12345678"><name>A customer&apos;s line</name><price>19.99</price><note>grüße</note></line>`, "</order>"),
		"Elements":   filled("<order>", "<a/>", "</order>"),
		"Text":       filled("<order><a>", "aGVsbG8gd29ybGQh", "</a></order>"),
		"Namespaces": filled(`<order xmlns:a="u">`, `<a:b xmlns:b="v" b:c="1" a:c="2"/>`, "</order>"),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := inject.SetXML(nil, body, "/order/callbackUrl", url); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSetForm(b *testing.B) {
	for name, body := range map[string][]byte{
		"Fields": filled("", "field=a+value%21&", "end=1"),
		"Empty":  bytes.Repeat([]byte("&"), large),
		"Same":   filled("", "n&", "n"),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				inject.SetForm(nil, body, "n", "v")
			}
		})
	}
}
