package callback

import (
	"encoding/json"
	"net/http"
	"strings"
	"unicode"
)

// Reply is the HTTP response to a partner's call.
type Reply struct {
	Status int    `cbor:"1,keyasint"`
	Header Header `cbor:"2,keyasint,omitempty"`
	Body   string `cbor:"3,keyasint,omitempty"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// maxReply bounds the body of a reply, in bytes: it is kept in the record.
const maxReply = 64 << 10

// reply builds the policy's reply to a call with that method.
func (p *Policy) reply(method string, look Lookup) *Reply {
	if p.Redirect != nil && (p.Respond == nil || method == http.MethodGet) {
		return p.redirectTo(p.Redirect, &p.target, method, look)
	}
	r := &Reply{Status: DefaultReplyStatus, Header: p.replyHeader(look)}
	if p.Respond != nil {
		r.Status, r.Body = p.Respond.Status, p.responseBody(look)
	}
	return r
}

// responseBody returns the body of the policy's response.
func (p *Policy) responseBody(look Lookup) string {
	if p.bodyJSON {
		return p.body.ExpandJSON(look, maxReply)
	}
	return p.body.Expand(look, maxReply)
}

// redirects reports whether the reply is a redirect.
func (r *Reply) redirects() bool { return r.Header.Get("Location") != "" }

func (p *Policy) replyHeader(look Lookup) Header {
	if len(p.ReplyHeader) == 0 {
		return nil
	}
	out := make(Header, len(p.ReplyHeader))
	for i, f := range p.ReplyHeader {
		out[i] = Field{Name: f.Name, Value: withoutControls(p.header[i].Expand(look, len(f.Value)+maxText), len(f.Value)+maxText)}
	}
	return out
}

// maxText bounds a partner's text that is shown to people or put in headers, in bytes.
const maxText = 1024

// withoutControls removes control characters, line and paragraph separators, and
// characters that change the direction of text, and cuts at limit bytes. A partner's
// text can then stand in a header, a log or a document.
func withoutControls(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// ContentType returns the Content-Type of a body that was given without one, as Caddy's
// respond does.
func ContentType(body string) string {
	if trimmed := strings.TrimSpace(body); trimmed != "" && (trimmed[0] == '{' || trimmed[0] == '[') && json.Valid([]byte(body)) {
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}
