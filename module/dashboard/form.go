package dashboard

import (
	"mime"
	"net/url"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

const (
	formType = "application/x-www-form-urlencoded"
	// maxForm bounds a form as it is sent, in bytes, and formCopies is how many copies of it
	// there are in memory at most.
	maxForm    = 4 << 20
	formCopies = 3
)

// form is what was filled in. It must be released.
type form struct {
	url.Values
	lease *memory.Lease
}

// Release lets go of the memory.
func (f form) Release() { f.lease.Release() }

// readForm reads the fields that a browser sends.
func (v *visit) readForm() (form, error) {
	if !answer.HasBody(v.r) {
		return form{}, nil
	}
	mediaType, _, err := mime.ParseMediaType(v.r.Header.Get("Content-Type"))
	if err != nil || mediaType != formType {
		return form{}, problem.InvalidRequest.With("The fields of the form must come as " + formType + ".")
	}
	space := v.rt.Engine.Memory(memory.Nobody)
	body, err := answer.ReadBody(v.w, v.r, space, answer.ReadWithin, maxForm)
	if err != nil {
		return form{}, err
	}
	defer body.Release()
	f := form{}
	if f.lease, err = space.Reserve(formCopies * int64(len(body.Bytes()))); err != nil {
		return form{}, err
	}
	if f.Values, err = url.ParseQuery(string(body.Bytes())); err != nil {
		f.Release()
		return form{}, problem.InvalidRequest.With("The fields of the form cannot be read.")
	}
	return f, nil
}

// text returns a text of several lines as it was before a browser sent it: browsers send CR LF
// for the end of each.
func (f form) text(name string) string { return strings.ReplaceAll(f.Get(name), "\r\n", "\n") }

// Fields of forms.
const (
	fieldOutcome   = "outcome"
	fieldErrorCode = "errorCode"
	fieldErrorText = "errorText"
	fieldType      = "contentType"
	fieldBody      = "body"
	fieldExpect    = "expect"
)

// call returns the call that the form of a resolution describes, and the memory that its body
// takes.
func (v *visit) call(f form, owner memory.Owner) (*callback.Call, *memory.Lease, error) {
	outcome := f.Get(fieldOutcome)
	if outcome != callback.StatusOk && outcome != callback.StatusFailed {
		return nil, nil, problem.InvalidField(fieldOutcome, "It must be "+callback.StatusOk+" or "+callback.StatusFailed+".")
	}
	wire := callback.NewWire(callback.DefaultHeaderPrefix)
	h := make(map[string][]string)
	h[wire.Status] = []string{outcome}
	if outcome == callback.StatusFailed {
		for name, field := range map[string]string{wire.ErrorCode: fieldErrorCode, wire.ErrorText: fieldErrorText} {
			if text := f.Get(field); text != "" {
				h[name] = []string{text}
			}
		}
	}
	body := f.text(fieldBody)
	if mediaType := f.Get(fieldType); mediaType != "" && body != "" {
		h["Content-Type"] = []string{mediaType}
	}
	return v.newCall(made{method: "POST", header: h, body: []byte(body)}, owner)
}

// made is a call that an operator makes.
type made struct {
	method, query string
	header        map[string][]string
	body          []byte
}

// newCall returns an operator's call, and the memory that its body takes.
func (v *visit) newCall(m made, owner memory.Owner) (*callback.Call, *memory.Lease, error) {
	call, err := callback.NewCall(m.method, "", m.query, m.header, callback.At(v.rt.Engine.Now()))
	if err != nil || len(m.body) == 0 {
		return call, nil, err
	}
	if int64(len(m.body)) > v.d.app.MaxBodySize {
		return nil, nil, problem.TooLarge
	}
	lease, err := v.rt.Engine.Memory(owner).Reserve(int64(len(m.body)))
	if err != nil {
		return nil, nil, err
	}
	call.Body = callback.NewBody(m.body)
	return call, lease, nil
}
