package inject_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// verdict is where a path leads in a body according to encoding/json.
type verdict int

const (
	found verdict = iota
	missing
	blocked
	ambiguous
)

// follow walks down a path with encoding/json alone.
func follow(t *testing.T, raw json.RawMessage, parts []string, pointer bool) (json.RawMessage, verdict) {
	if len(parts) == 0 {
		return raw, found
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	opening, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	var child json.RawMessage
	same, exact, length := 0, 0, 0
	for ; (opening == json.Delim('{') || opening == json.Delim('[')) && d.More(); length++ {
		name := strconv.Itoa(length)
		if opening == json.Delim('{') {
			token, err := d.Token()
			if err != nil {
				t.Fatal(err)
			}
			name = token.(string)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
		if strings.EqualFold(name, parts[0]) {
			same++
		}
		if name == parts[0] {
			if exact++; exact == 1 {
				child = value
			}
		}
	}
	if same > 1 || same > exact {
		return nil, ambiguous
	}
	switch {
	case exact == 1:
		return follow(t, child, parts[1:], pointer)
	case opening == json.Delim('{'),
		opening == json.Delim('[') && (parts[0] == strconv.Itoa(length) || pointer && parts[0] == "-"):
		return nil, missing
	}
	return nil, blocked
}

// set puts a value into a decoded body.
func set(v any, parts []string, pointer bool, value any) any {
	if len(parts) == 0 {
		return value
	}
	switch container := v.(type) {
	case map[string]any:
		container[parts[0]] = set(container[parts[0]], parts[1:], pointer, value)
		return container
	case []any:
		if i, err := strconv.Atoi(parts[0]); err == nil && i < len(container) {
			container[i] = set(container[i], parts[1:], pointer, value)
			return container
		}
		return append(container, set(nil, parts[1:], pointer, value))
	}
	if pointer && parts[0] == "-" {
		return []any{set(nil, parts[1:], pointer, value)}
	}
	return map[string]any{parts[0]: set(nil, parts[1:], pointer, value)}
}

func decode(t *testing.T, text []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// usable says whether text is JSON that is nested no deeper than MaxDepth.
func usable(text []byte, depth int) bool {
	if !json.Valid(text) || !utf8.Valid(text) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for {
		switch token, err := d.Token(); token {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > inject.MaxDepth {
				return false
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		default:
			if err != nil {
				return true
			}
		}
	}
}

func split(path string) (parts []string, pointer bool) {
	if !strings.HasPrefix(path, "/") {
		return strings.Split(path, "."), false
	}
	parts = strings.Split(path[1:], "/")
	for i := range parts {
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(parts[i], "~1", "/"), "~0", "~")
	}
	return parts, true
}

// text returns what GetJSON must return for a value.
func text(t *testing.T, raw []byte) string {
	var s string
	if raw = bytes.TrimSpace(raw); raw[0] != '"' {
		return string(raw)
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// spliced says whether out is body with only old replaced, once.
func spliced(body, out, old, literal []byte) bool {
	for i := 0; i+len(old) <= len(body) && bytes.HasPrefix(out, body[:i]); i++ {
		if rest, ok := bytes.CutPrefix(body[i:], old); ok && string(out[i:]) == string(literal)+string(rest) {
			return true
		}
	}
	return false
}

// inserted says whether out is body with something put in, once.
func inserted(body, out []byte) bool {
	i := 0
	for i < len(body) && body[i] == out[i] {
		i++
	}
	return bytes.HasSuffix(out, body[i:])
}

func FuzzSetJSON(f *testing.F) {
	for _, body := range []string{
		`{}`, ` { "a" : 1.0, "b":[ ] } `, `{"data":[{"id":1e400},{"id":"x"}]}`, `[[],{"-":null}]`, `{"a":1,"A":2}`,
		`{"\u0061":"\ud83d\ude00\ud800\\\"/","k":true}`, `"s"`, `12345678E01234567890`, `{"a":{"a":{"a":{}}}}`,
		strings.Repeat("[", 64) + strings.Repeat("]", 64), `{"a":1}}`, "\ufeff{}", "{\"\xff\":1}", `{"K":1,"k":2}`,
	} {
		for _, path := range []string{"a", "data.0.id", "/data/-", "/-/0", "0.0", "1.-", "K", "/a~1b", "a.a.a.b"} {
			f.Add([]byte(body), path, []byte(` {"url":["https://x.y/?a=1"]}`))
			f.Add([]byte(body), path, []byte(`"\u0061"`))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, path string, literal []byte) {
		parts, pointer := split(path)
		out, err := inject.SetJSON(nil, body, path, literal)
		body = bytes.TrimPrefix(body, []byte("\ufeff"))
		if errors.Is(err, inject.ErrLocation) {
			return
		}
		if got, want := errors.Is(err, inject.ErrLiteral), !usable(literal, len(parts)); got != want {
			t.Fatalf("literal %q: %v", literal, err)
		} else if got {
			return
		}
		if got, want := errors.Is(err, inject.ErrNotJSON), !usable(body, 0); got != want {
			t.Fatalf("body %q: %v", body, err)
		} else if got {
			return
		}
		old, v := follow(t, body, parts, pointer)
		checkGet(t, body, path, old, v)
		if got, want := errors.Is(err, inject.ErrPath), v == blocked || v == ambiguous; got != want {
			t.Fatalf("path %q in %q: %v, but the verdict is %d", path, body, err, v)
		} else if got {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		literal = bytes.TrimSpace(literal)
		if want := set(decode(t, body), parts, pointer, decode(t, literal)); !reflect.DeepEqual(decode(t, out), want) {
			t.Fatalf("%q with %q at %q is %q", body, literal, path, out)
		}
		if !usable(out, 0) || v == found && !spliced(body, out, old, literal) || v == missing && !inserted(body, out) {
			t.Fatalf("%q with %q at %q is %q", body, literal, path, out)
		}
		if !pointer || !slices.Contains(parts, "-") {
			checkGet(t, out, path, literal, found)
		}
	})
}

func checkGet(t *testing.T, body []byte, path string, old []byte, v verdict) {
	got, ok, err := inject.GetJSON(body, path)
	if ok != (v == found) || errors.Is(err, inject.ErrPath) != (v == ambiguous) || (err != nil) != (v == ambiguous) {
		t.Fatalf("%q at %q: %q, %v, %v, but the verdict is %d", body, path, got, ok, err, v)
	}
	if ok && got != text(t, old) {
		t.Fatalf("%q at %q: %q, want %q", body, path, got, old)
	}
}

func FuzzSetQuery(f *testing.F) {
	for _, raw := range []string{"", "&", "a=1&b=2", "n=1&a&n=2&%6e=3", "a=%zz&n;=x&==&n", "[n]=1&n%5B%zz=2&[]", "n+m=1&n%20m=2"} {
		f.Add(raw, "n", "https://x.y/?a=1&b=+ é")
		f.Add(raw, "n m", "")
		f.Add(raw, "", "%zz")
	}
	f.Fuzz(func(t *testing.T, raw, name, value string) {
		out := inject.SetQuery(raw, name, value)
		if got := inject.GetQuery(out, name); !slices.Equal(got, []string{value}) {
			t.Fatalf("%q gives %q, want %q", out, got, value)
		}
		if again := inject.SetQuery(out, name, value); again != out {
			t.Fatalf("%q set again is %q", out, again)
		}
		if form := inject.SetForm(nil, []byte("\ufeff"+raw), name, value); string(form) != out {
			t.Fatalf("form %q, query %q", form, out)
		}
		before, was := others(raw, name)
		after, is := others(out, name)
		if was == 0 {
			before = slices.DeleteFunc(before, func(s string) bool { return s == "" })
			after = slices.DeleteFunc(after, func(s string) bool { return s == "" })
		}
		if is != 1 || !slices.Equal(before, after) {
			t.Fatalf("%q became %q", raw, out)
		}
		want, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		maps.DeleteFunc(want, func(key string, _ []string) bool { return inject.Alike(key, name) })
		want.Set(name, value)
		if got, err := url.ParseQuery(out); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q decodes as %v, %v, want %v", out, got, err, want)
		}
	})
}

// others returns the segments of a query that do not hold the parameter, and how
// many do.
func others(raw, name string) (segments []string, named int) {
	for _, segment := range strings.Split(raw, "&") {
		segment = inject.WithoutAlike(segment, name)
		key, _, _ := strings.Cut(segment, "=")
		plain, err := url.QueryUnescape(key)
		if err != nil {
			plain = key
		}
		switch {
		case segment != "" && plain == name:
			named++
		case segment == "" || !inject.Alike(inject.UnescapeEach(key), name):
			segments = append(segments, segment)
		}
	}
	return segments, named
}
