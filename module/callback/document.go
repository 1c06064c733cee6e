package callback

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode/utf8"

	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/quoted"
)

// Document is a call as apps see it: in a question about it, in the API, and as a result.
type Document struct {
	Method string `json:"method"`
	// Query is an object: a parameter that is repeated has an array.
	Query json.RawMessage `json:"query"`
	// Headers has the values of lines with one name joined.
	Headers map[string]string `json:"headers"`
	// Body is text, or base64 if it is not UTF-8. BodyEncoding then says so.
	Body         *quoted.Body `json:"body"`
	BodyEncoding string       `json:"bodyEncoding,omitempty"`
}

// NewDocument returns the document of a call with that body.
func NewDocument(c *Call, body *quoted.Body) Document {
	return Document{Method: c.Method, Query: queryObject(c.Query), Headers: c.Header.Joined(), Body: body, BodyEncoding: body.Encoding()}
}

// queryObject returns a query as a JSON object, with the parameters in their order.
func queryObject(raw string) json.RawMessage {
	var names []string
	values := make(map[string][]string)
	for name, value := range inject.Parameters(raw) {
		name = shown(name)
		if values[name] == nil {
			names = append(names, name)
		}
		values[name] = append(values[name], shown(value))
	}
	b := bytes.NewBufferString("{")
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(inject.Quote(name))
		b.WriteByte(':')
		all := values[name]
		if len(all) > 1 {
			b.WriteByte('[')
		}
		for j, value := range all {
			if j > 0 {
				b.WriteByte(',')
			}
			b.Write(inject.Quote(value))
		}
		if len(all) > 1 {
			b.WriteByte(']')
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// shown returns a text as it is shown in JSON. What is not UTF-8 is taken for Latin-1, of
// which every byte is a character.
func shown(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	runes := make([]rune, 0, len(text))
	for _, b := range []byte(text) {
		runes = append(runes, rune(b))
	}
	return string(runes)
}

// What of a call is the result.
const (
	// ResultBody: the body, or if there is none the query as a JSON object.
	ResultBody = "body"
	// ResultQuery: the query as a JSON object.
	ResultQuery = "query"
	// ResultCall: the whole call as a Document.
	ResultCall = "call"
)

var results = []string{ResultBody, ResultQuery, ResultCall}

// HandedOn returns what of a call is the result, as the policy says it: the body, or the
// document of the call with that body. made says that it is JSON that was made of the call.
func (p *Policy) HandedOn(c *Call) (body Body, document, made bool) {
	switch {
	case p.Result == ResultCall:
		return c.Body, true, true
	case p.makesQuery(c):
		return NewBody(queryObject(c.Query)), false, true
	}
	return c.Body, false, false
}

// makesQuery reports whether the query of a call is its result.
func (p *Policy) makesQuery(c *Call) bool {
	if p.Result == ResultQuery {
		return true
	}
	return p.Result != ResultCall && c.Body.Size == 0 && !inject.IsEmptyQuery(c.Query)
}

// bodyHeaders describe the body of a call, and do not fit JSON that was made of it.
var bodyHeaders = []string{"Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", "Etag", "Last-Modified"}

// madeHeader returns header lines of a call for JSON that was made of it.
func madeHeader(h Header) Header {
	made := slices.DeleteFunc(slices.Clone(h), func(f Field) bool { return slices.Contains(bodyHeaders, f.Name) })
	return append(made, Field{Name: "Content-Type", Value: "application/json"})
}
