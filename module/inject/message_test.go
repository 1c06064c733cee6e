package inject

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestMessageValues(t *testing.T) {
	t.Parallel()
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for _, tt := range []struct {
		name string
		m    Message
		at   Location
		want []string
		err  error
	}{
		{name: "header in any case", m: Message{Header: http.Header{"X-A": {"1", "2"}}}, at: Location{Header, "x-a"}, want: []string{"1", "2"}},
		{name: "header twice the same", m: Message{Header: http.Header{"X-A": {"1", "1"}}}, at: Location{Header, "X-A"}, want: []string{"1", "1"}},
		{name: "no header", at: Location{Header, "X-A"}},
		{name: "query", m: Message{Query: "a=1&b=2&a=%33"}, at: Location{Query, "a"}, want: []string{"1", "3"}},
		{name: "form", m: Message{Header: form, Body: []byte("a=1&a=2")}, at: Location{Form, "a"}, want: []string{"1", "2"}},
		{name: "no form body", m: Message{}, at: Location{Form, "a"}},
		{name: "body that is no form", m: Message{Body: []byte("a=1")}, at: Location{Form, "a"}, err: ErrNotForm},
		{name: "json", m: Message{Body: []byte(`{"a":{"b":"c"}}`)}, at: Location{JSON, "a.b"}, want: []string{"c"}},
		{name: "no member", m: Message{Body: []byte(`{}`)}, at: Location{JSON, "a"}},
		{name: "empty string", m: Message{Body: []byte(`{"a":""}`)}, at: Location{JSON, "a"}, want: []string{""}},
		{name: "body that is no JSON", m: Message{Body: []byte(`{`)}, at: Location{JSON, "a"}, err: ErrNotJSON},
		{name: "member that is there twice", m: Message{Body: []byte(`{"a":1,"A":2}`)}, at: Location{JSON, "a"}, err: ErrPath},
		{name: "no such place", at: Location{"cookie", "a"}, err: ErrLocation},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.m.Values(tt.at)
			if !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Errorf("Values(%v) = %q, %v; want %q, %v", tt.at, got, err, tt.want, tt.err)
			}
			first, _ := tt.m.Get(tt.at)
			only, _ := tt.m.Only(tt.at)
			switch {
			case len(tt.want) == 0 && (first != "" || only != ""),
				len(tt.want) == 1 && (first != tt.want[0] || only != tt.want[0]),
				len(tt.want) > 1 && (first != tt.want[0] || (only == tt.want[0]) != (tt.want[0] == tt.want[1])):
				t.Errorf("Get(%v) = %q, Only = %q; the values are %q", tt.at, first, only, tt.want)
			}
		})
	}
}

func TestMessageSet(t *testing.T) {
	t.Parallel()
	m := Message{Header: make(http.Header), Query: "a=1&b=2"}
	for _, at := range []Location{{Header, "x-a"}, {Query, "a"}} {
		if err := m.Set(at, "new value"); err != nil {
			t.Fatal(err)
		}
	}
	if m.Header.Get("X-A") != "new value" || m.Query != "a=new%20value&b=2" {
		t.Errorf("header %v, query %q", m.Header, m.Query)
	}
	m.Body = []byte("a=1")
	if err := m.Set(Location{Form, "b"}, "2"); err != nil || string(m.Body) != "a=1&b=2" {
		t.Errorf("form %q, %v", m.Body, err)
	}
	m.Body = []byte(`{"a":1}`)
	if err := m.Set(Location{JSON, "b"}, `"`); err != nil || string(m.Body) != `{"a":1,"b":"\""}` {
		t.Errorf("JSON %q, %v", m.Body, err)
	}
	if err := m.SetLiteral(Location{JSON, "c"}, []byte("[2]")); err != nil || string(m.Body) != `{"a":1,"b":"\"","c":[2]}` {
		t.Errorf("JSON %q, %v", m.Body, err)
	}
	before := string(m.Body)
	if err := m.Set(Location{JSON, "a.b"}, "2"); !errors.Is(err, ErrPath) || string(m.Body) != before {
		t.Errorf("a scalar in the way: %v, body %q", err, m.Body)
	}
}

func TestValueFitsIntoTheRoomThatIsForeseen(t *testing.T) {
	t.Parallel()
	put := make(map[Place]int)
	for _, at := range []Location{{JSON, "a"}, {JSON, "a.b.c.d"}, {JSON, "/"}, {JSON, "//-/-/"}, {JSON, "\x01.\x02"}, {Form, "a"}, {Form, "\xff"}, {Form, " "}, {Form, "p.a"}, {Form, "p.b.c"},
		{XML, "/a"}, {XML, "/a/@é"}, {XML, "/a/b"}, {XML, "/a/b/@c"}, {XML, "/a/bcdefgh/i/jjjjj/k"}, {XML, strings.Repeat("/a", MaxDepth)}} {
		for _, value := range []string{"", "x", "\x01\x02\u2028", "\xff\xfe", strings.Repeat("\x1f", 1000), strings.Repeat("é&=", 99)} {
			for _, body := range []string{"", "{}", `{"z":[1]}`, `{"a":{},"":{}}`, "a=1&a=2&", "&&", "p=" + url.QueryEscape(`{"a":"\u00e9","b":{}}`), `p={"z":"` + strings.Repeat("\x7f<>", 50) + `"}`, multipartOf("a", "p"),
				"<a/>", "\ufeff<a/>", "<a></a>", "<a>1</a>", "<a é='1'/>", longPrefix + ":a xmlns:" + longPrefix[1:] + "='u'/>", longPrefix + ":a xmlns:" + longPrefix[1:] + "='u'><" + longPrefix[1:] + ":b/></" + longPrefix[1:] + ":a>"} {
				m := Message{Header: http.Header{}, Body: []byte(body)}
				if strings.HasPrefix(body, "--") {
					m.Header.Set("Content-Type", "multipart/form-data; boundary=b")
				}
				room := make([]byte, 0, len(body)+m.Growth(at, value))
				m.Room = room
				if err := m.Set(at, value); err != nil {
					continue
				}
				put[at.In]++
				if len(m.Body) > cap(room) || &m.Body[0] != &room[:1][0] {
					t.Errorf("%v %.10q in %s: %d bytes have room for %d", at, value, body, len(m.Body), cap(room))
				}
			}
		}
	}
	if put[JSON] < 50 || put[Form] < 50 || put[XML] < 50 {
		t.Errorf("values are put %v times", put)
	}
	if (&Message{}).Growth(Location{Header, "X-A"}, "value") != 0 {
		t.Error("a header makes the body longer")
	}
}

// longPrefix begins a tag with the longest prefix of which elements are made.
var longPrefix = "<" + strings.Repeat("p", maxPrefix-1)

// multipartOf returns a form in parts with these fields, each of which holds JSON.
func multipartOf(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString("--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n{\"a\":1}\r\n")
	}
	return b.String() + "--b--\r\n"
}
