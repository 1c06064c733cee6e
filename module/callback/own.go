package callback

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Own is what was given for one callback when it was made, in addition to the policy
// that it shares with others. Its texts are data: placeholders in them are not replaced.
type Own struct {
	// Reply is the reply to a call; nil for the policy's reply.
	Reply *Fields `cbor:"1,keyasint,omitempty"`
	// Ask is the path at which the app is asked about each call; empty for the
	// policy's.
	Ask string `cbor:"2,keyasint,omitempty"`
	// Case is passed to that app.
	Case string `cbor:"3,keyasint,omitempty"`
	// Data is JSON that is returned when the callback is read.
	Data []byte `cbor:"4,keyasint,omitempty"`
	// StateQuery is the query parameter that carries the state; empty for the policy's.
	StateQuery string `cbor:"5,keyasint,omitempty"`
	// BaseURL is where partners reach us, without a slash at its end; empty for the
	// policy's.
	BaseURL string `cbor:"6,keyasint,omitempty"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// IsZero reports whether nothing was given.
func (o *Own) IsZero() bool {
	return o.Reply == nil && o.Ask == "" && o.Case == "" && o.Data == nil && o.StateQuery == "" && o.BaseURL == ""
}

// StateQuery returns the query parameter that carries the state; empty for a state in the
// path.
func (r *Record) StateQuery(p *Policy) string {
	if r.Own == nil {
		return p.StateQuery
	}
	return cmp.Or(r.Own.StateQuery, p.StateQuery)
}

// baseURL returns where partners reach us, without a slash at its end.
func (r *Record) baseURL(p *Policy) string {
	if r.Own == nil {
		return p.BaseURL
	}
	return cmp.Or(r.Own.BaseURL, p.BaseURL)
}

// Types of a reply.
const (
	TypeResponse = "response"
	TypeRedirect = "redirect"
)

// Fields is a reply in parts. The app that is asked about a call sees and can change
// them.
type Fields struct {
	// Type is TypeResponse or TypeRedirect, and decides which of the other fields
	// count.
	Type string `cbor:"1,keyasint"`
	// Body is the response's body.
	Body string `cbor:"2,keyasint,omitempty"`
	// Code is the response's status; 0 stands for 200.
	Code int `cbor:"3,keyasint,omitempty"`
	// Header is added to a reply of either type.
	Header Header `cbor:"4,keyasint,omitempty"`
	// RedirectURL is absolute, or relative to the base URL.
	RedirectURL string `cbor:"5,keyasint,omitempty"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// reply builds the reply to a call. A relative redirect is resolved against base.
func (f Fields) reply(p *Policy, base string, c *Call) *Reply {
	if !c.ActiveContent {
		f = f.Passive()
	}
	if f.Type != TypeRedirect {
		r := &Reply{Status: f.Code, Header: f.Header, Body: f.Body}
		r.Status = cmp.Or(r.Status, DefaultReplyStatus)
		return r
	}
	// A host that no name can be was refused when the URL was given.
	target, _ := ASCIIURL(resolveAgainst(base, f.RedirectURL))
	location := Field{Name: "Location", Value: target}
	return &Reply{Status: p.Redirect.statusFor(c.Method), Header: append(slices.Clone(f.Header), location)}
}

// resolveAgainst makes a target that begins with a slash an absolute URL.
func resolveAgainst(base, target string) string {
	if !strings.HasPrefix(target, "/") {
		return target
	}
	b, err := url.Parse(base)
	if err != nil {
		return target
	}
	return (&url.URL{Scheme: b.Scheme, Host: b.Host}).String() + target
}

// CheckRedirectURL makes sure that text can be a redirect's URL as it stands:
// absolute, with a scheme of the web or of an app, or relative if it begins with a single
// slash.
func CheckRedirectURL(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) {
		return errors.New("it has a character that no URL can hold")
	}
	if len(text) > maxURL {
		return errors.New("it is too long")
	}
	if strings.HasPrefix(text, "//") {
		return errors.New("it begins with two slashes, which would make a host of its path")
	}
	ascii, err := ASCIIURL(text)
	if err != nil {
		return err
	}
	u, err := url.Parse(ascii)
	if err != nil {
		return errors.New("it is not a valid URL; check its host and its percent escapes")
	}
	if strings.HasPrefix(text, "/") {
		return nil
	}
	scheme, rest, err := checkScheme(text)
	switch {
	case err != nil:
		return err
	case rest == "":
		return errors.New("it ends after its scheme")
	case !isWeb(scheme):
		return nil
	case u.Hostname() == "":
		return errors.New("it has no host")
	case u.User != nil:
		return errors.New("it must not hold a user name")
	}
	return nil
}

// Asked is what the app decided about a call.
type Asked struct {
	// Reply is the reply that the app wants; nil for the one that the call would get.
	Reply *Fields
	// KeepWaiting says that the call is not the answer yet, whatever is in it: the app
	// has answered a handshake.
	KeepWaiting bool
	// Fault says why the app refuses the call; its zero value says that it does not.
	Fault Fault
}

// AskPath returns the path at which the app is asked about calls; empty for none.
func (r *Record) AskPath(p *Policy) string {
	if r.Own != nil && r.Own.Ask != "" {
		return r.Own.Ask
	}
	return p.Ask
}

// ReplyFields returns the reply that a call would get, in parts.
func (r *Record) ReplyFields(p *Policy, c *Call, look Lookup) Fields {
	if own := r.ownReply(); own != nil {
		f := *own
		f.Code = cmp.Or(f.Code, DefaultReplyStatus)
		return f
	}
	f := Fields{Type: TypeResponse, Code: DefaultReplyStatus, Header: p.replyHeader(look)}
	if p.Redirect != nil {
		f.RedirectURL = p.target.URL(p.BaseURL, look)
		if p.Respond == nil || c.Method == http.MethodGet {
			f.Type = TypeRedirect
		}
	}
	if p.Respond != nil {
		f.Code, f.Body = p.Respond.Status, p.responseBody(look)
	}
	return f
}

// ownReply returns the reply that was given for this one callback, nil if none was.
func (r *Record) ownReply() *Fields {
	if r.Own == nil {
		return nil
	}
	return r.Own.Reply
}

// replyTo returns the reply to a call that is accepted. A person is always redirected, if
// the app that was asked does not say otherwise.
func (r *Record) replyTo(p *Policy, c *Call, failed bool, look Lookup) *Reply {
	decided := c.Asked != nil && c.Asked.Reply != nil
	if c.Person && r.redirects(p) && !decided {
		return r.sends(p, c, failed, look)
	}
	return r.reply(p, c, look)
}

// reply returns the reply to a call.
func (r *Record) reply(p *Policy, c *Call, look Lookup) *Reply {
	fields := r.ownReply()
	if c.Asked != nil && c.Asked.Reply != nil {
		fields = c.Asked.Reply
	}
	if fields == nil {
		return p.reply(c.Method, look)
	}
	return fields.reply(p, r.baseURL(p), c)
}
