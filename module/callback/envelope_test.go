package callback

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// pieced returns what pieces are, the body in brackets by its form.
func pieced(pieces []Piece) string {
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.Text + [...]string{NoBody: "", BodyAsIs: "<as is>", BodyInString: "<in string>", BodyAsValue: "<value>"}[p.Body])
	}
	return b.String()
}

func TestEnvelopeIsFilledInWithWhatIsDelivered(t *testing.T) {
	failed := &Record{
		Name: "orders", Phase: Failed, CorrelationID: "a \"b\"\\", Delivery: new(Delivery),
		Failure: &Failure{ErrorCode: "17", ErrorText: "no <\u2028> {http.callback.name}"},
	}
	resolved := &Record{Name: "orders", Phase: Resolved, CorrelationID: "ours", Delivery: &Delivery{CorrelationID: "theirs"}}
	for text, want := range map[string][2]string{
		"plain": {"plain", "plain"},
		"{http.callback.result.status} {http.callback.result.phase}":         {"424 failed", "200 resolved"},
		"{http.callback.name}/{http.callback.correlation_id}":                {`orders/a "b"\`, "orders/theirs"},
		"{http.callback.id}: {http.callback.result.body}!":                   {"00000000-0000-0000-0000-000000000000: <as is>!", "00000000-0000-0000-0000-000000000000: <as is>!"},
		`{"s":{http.callback.result.status}}`:                                {`{"s":424}`, `{"s":200}`},
		`{"s":"{http.callback.result.status}"}`:                              {`{"s":"424"}`, `{"s":"200"}`},
		`{"c":{http.callback.result.error_code}}`:                            {`{"c":"17"}`, `{"c":""}`},
		`{"t":"<{http.callback.result.error_text}>"}`:                        {`{"t":"<no <\u2028> {http.callback.name}>"}`, `{"t":"<>"}`},
		`[{http.callback.correlation_id}, "{http.callback.correlation_id}"]`: {`["a \"b\"\\", "a \"b\"\\"]`, `["theirs", "theirs"]`},
		` { "{http.callback.name}" : {http.callback.result.body} }`:          {` { "orders" : <value> }`, ` { "orders" : <value> }`},
		`{"{http.callback.result.phase}":"{http.callback.result.body}"}`:     {`{"failed":"<in string>"}`, `{"resolved":"<in string>"}`},
		`{{http.callback.name}:1}`:                                           {`{"orders":1}`, `{"orders":1}`},
		`"{http.callback.result.error_text}"`:                                {`"no <\u2028> {http.callback.name}"`, `""`},
		`{"a":"\"{http.callback.name}\\"}`:                                   {`{"a":"\"orders\\"}`, `{"a":"\"orders\\"}`},
		`[not JSON] {http.callback.correlation_id}`:                          {`[not JSON] a "b"\`, `[not JSON] theirs`},
		`{"a":-{http.callback.result.status}1}`:                              {`{"a":-4241}`, `{"a":-2001}`},
	} {
		e, err := NewEnvelope(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for i, c := range []struct {
			r      *Record
			result Result
		}{{failed, Result{Status: 424}}, {resolved, Result{Status: 200}}} {
			got := pieced(e.Fill(c.r.EnvelopeLookup(c.result)))
			if i == 0 {
				got = strings.ReplaceAll(got, "\u2028", `\u2028`)
			}
			if got != want[i] {
				t.Errorf("%s: %s, want %s", text, got, want[i])
			}
		}
	}
}

func TestEnvelopeThatCannotWorkIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		strings.Repeat("a", 64<<10+1):                                   "longer than 64 KiB",
		"a\xff":                                                         "not UTF-8",
		"{http.callback.result.bodies}":                                 "there is no placeholder {http.callback.result.bodies}",
		"{http.callback.url}":                                           "there is no placeholder {http.callback.url}",
		"{http.callback.call.body}":                                     "there is no placeholder",
		"{http.callback.}":                                              "there is no placeholder",
		`{"a":{http.callback.result.body}`:                              "it begins as JSON does, and is none: unexpected end",
		` {"a" {http.callback.result.body}}`:                            "it begins as JSON does, and is none: invalid character",
		`{"a":1{http.callback.name}}`:                                   "is none",
		`{"a":-{http.callback.result.body}}`:                            "is none",
		`{"a":0{http.callback.result.status}}`:                          "is none",
		`{"a":"\{http.callback.name}"}`:                                 "is none",
		`{"a":"\u00{http.callback.name}"}`:                              "is none",
		`{"a":"\u00{http.callback.name}00"}`:                            "is none",
		`{{http.callback.result.body}:1}`:                               "the name of a member cannot be {http.callback.result.body} without quotes",
		"{" + strings.Repeat(`"a":{`, 1000) + strings.Repeat("}", 1001): "nested more than 1000 deep",
	} {
		if _, err := NewEnvelope(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}

func TestEnvelopeHasAMediaTypeOfItsOwn(t *testing.T) {
	header := Header{
		{Name: "Content-Encoding", Value: "gzip"}, {Name: "Content-Type", Value: "image/png"}, {Name: "Etag", Value: `"a"`},
		{Name: "Repr-Digest", Value: "x"}, {Name: "X-Kept", Value: "1"},
	}
	for text, want := range map[string]string{
		`{"a":1}`: "application/json", `[]`: "application/json", `"a"`: "application/json",
		"a": "text/plain; charset=utf-8", "{http.callback.result.status}": "text/plain; charset=utf-8", "[a]": "text/plain; charset=utf-8", "1": "text/plain; charset=utf-8",
	} {
		e, err := NewEnvelope(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Header(header); !reflect.DeepEqual(got, Header{{Name: "X-Kept", Value: "1"}, {Name: "Content-Type", Value: want}}) {
			t.Errorf("%s: %v", text, got)
		}
	}
	if len(header) != 5 {
		t.Error("the header of the result was changed")
	}
}

func TestOnlyJSONThatAllCanReadIsAValue(t *testing.T) {
	for body, want := range map[string]bool{
		`{"a":[1,2]}`: true, ` "a" `: true, "1": true, "null": true, "": false, "{": false, "\"\xff\"": false, "a": false, `{"a":1} 2`: false,
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000): true,
		strings.Repeat("[", 1001) + strings.Repeat("]", 1001): false,
		`"` + strings.Repeat("[", 2000) + `\"{{"`:             true,
	} {
		if IsValue([]byte(body)) != want {
			t.Errorf("%.40s: %v", body, !want)
		}
	}
}

// FuzzEnvelope makes sure that an envelope that is JSON stays JSON, whatever the values are.
func FuzzEnvelope(f *testing.F) {
	for _, text := range []string{
		`{"StatusCode":{http.callback.result.status},"Error":{"Message":"{http.callback.result.error_text}"},"output":{http.callback.result.body}}`,
		`[{http.callback.correlation_id},"a{http.callback.result.body}\\{http.callback.name}"]`, `{{http.callback.name}:{http.callback.result.body}}`,
		`"{http.callback.result.error_code}"`, `{"a":"\{http.callback.name}"}`, `{"a":1{http.callback.result.status}e{http.callback.result.status}}`,
		`["\u{http.callback.name}"]`, `{http.callback.result.body}`, `["{http.callback.name}` + "\u2028" + `"]`,
	} {
		f.Add(text, `a"\`, "{\"a\":[1]}")
		f.Add(text, "\xff\n{http.callback.name}", "not JSON\x00")
	}
	f.Fuzz(func(t *testing.T, text, value, body string) {
		e, err := NewEnvelope(text)
		if err != nil || !e.IsJSON() {
			return
		}
		r := &Record{Name: value, CorrelationID: value, Phase: Failed, Delivery: new(Delivery), Failure: &Failure{ErrorCode: value, ErrorText: value}}
		var b strings.Builder
		for _, p := range e.Fill(r.EnvelopeLookup(Result{Status: 599})) {
			switch quoted, _ := json.Marshal(body); {
			case p.Body == NoBody:
				b.WriteString(p.Text)
			case p.Body == BodyInString:
				b.Write(quoted[1 : len(quoted)-1])
			case IsValue([]byte(body)):
				b.WriteString(body)
			default:
				b.Write(quoted)
			}
		}
		if !json.Valid([]byte(b.String())) || !utf8.ValidString(b.String()) {
			t.Errorf("%q with %q and %q becomes %q", text, value, body, b.String())
		}
	})
}
