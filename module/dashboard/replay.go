package dashboard

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var replayPage = load("replay")

// replayData is the form in which a call is made again.
type replayData struct {
	Frame frame
	Name  string
	// Back leads to the callback that had the call.
	Back    string
	Methods []choice
	Query   string
	Header  string
	// Body is the body, if it can be edited. WhyNot says why it cannot.
	Body, WhyNot string
	Size         string
	// Waiting are callbacks that the call can be made on.
	Waiting []row
}

// Fields of the form in which a call is made again.
const (
	fieldTarget = "target"
	fieldMethod = "method"
	fieldQuery  = "query"
	fieldHeader = "header"
	fieldKeep   = "keep"
)

const (
	// mostEdited bounds a body that can be edited, in bytes.
	mostEdited = 64 << 10
	// mostTargets bounds the callbacks that are proposed.
	mostTargets = 20
)

// replay shows a call in a form, in which it can be edited and made again.
func (v *visit) replay() error {
	cb, h, err := v.held()
	if err != nil {
		return err
	}
	if h.call == nil {
		return errNoPage
	}
	data := replayData{
		Frame: v.frame(), Name: h.name, Back: v.at.root + "callback/" + v.at.id.String(), Query: h.call.Query, Size: bytesOf(uint64(h.body.Size)),
		Header: headerLines(h.header, cb.Policy.Wire()),
	}
	methods := make([][2]string, len(callback.CallMethods))
	for i, m := range callback.CallMethods {
		methods[i] = [2]string{m, m}
	}
	data.Methods = choices(h.call.Method, "", methods)[1:]
	if data.Body, data.WhyNot, err = v.editable(h); err != nil {
		return err
	}
	page, err := v.desk().List(v.r.Context(), store.Query{Phase: callback.Waiting, Name: cb.Name, Limit: mostTargets})
	if err != nil {
		return err
	}
	defer page.Release()
	for _, other := range page.Callbacks {
		data.Waiting = append(data.Waiting, v.newRow(other))
	}
	return v.write(replayPage, show{title: "Replay", data: data})
}

// editable returns a body as a text that a form can hold, or why it cannot.
func (v *visit) editable(h held) (text, whyNot string, err error) {
	if h.body.Size > mostEdited {
		return "", "It is too large to be edited here.", nil
	}
	if len(h.header.Values("Content-Encoding")) > 0 {
		return "", "It is packed.", nil
	}
	c, err := v.content(h, mostEdited)
	switch {
	case err != nil:
		return "", "", err
	case c.Kind == "hex":
		return "", "It is no text.", nil
	case strings.ContainsFunc(string(c.raw), func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }):
		// A browser would send something else.
		return "", "It has characters that a form cannot hold.", nil
	}
	return string(c.raw), "", nil
}

// headerLines returns a header as lines. The correlation id is left out: it is that of another
// callback.
func headerLines(h callback.Header, wire callback.Wire) string {
	var b strings.Builder
	for _, f := range h {
		if f.Name != wire.CorrelationID {
			b.WriteString(f.Name + ": " + f.Value + "\n")
		}
	}
	return b.String()
}

// parseHeader reads a header from lines.
func parseHeader(text string) (http.Header, error) {
	h := make(http.Header)
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		if value = strings.TrimSpace(value); !found || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, problem.InvalidField(fieldHeader, "Each line must be a name, a colon and a value.")
		}
		h.Add(name, value)
	}
	return h, nil
}

// doReplay makes the call of the form on another callback, and sends the browser there.
func (v *visit) doReplay() error {
	_, h, err := v.held()
	if err != nil {
		return err
	}
	if h.call == nil {
		return errNoPage
	}
	f, err := v.readForm()
	if err != nil {
		return err
	}
	defer f.Release()
	target, err := v.target(strings.TrimSpace(f.Get(fieldTarget)))
	if err != nil {
		return err
	}
	call, lease, err := v.replayed(f, h, target)
	if err != nil {
		return err
	}
	defer lease.Release()
	if err := v.take(target.ID, call, lease); err != nil {
		return err
	}
	v.goTo("callback/" + target.ID.String())
	return nil
}

// replayed returns the call that the form describes, and the memory that its body takes.
func (v *visit) replayed(f form, h held, target *engine.Callback) (*callback.Call, *memory.Lease, error) {
	header, err := parseHeader(f.text(fieldHeader))
	if err != nil {
		return nil, nil, err
	}
	m := made{method: f.Get(fieldMethod), query: strings.TrimPrefix(f.Get(fieldQuery), "?"), header: header}
	if !slices.Contains(callback.CallMethods, m.method) {
		return nil, nil, problem.InvalidField(fieldMethod, "It must be one of "+strings.Join(callback.CallMethods, ", ")+".")
	}
	owner := memory.OwnerOf(target.ID)
	if f.Get(fieldKeep) == "" {
		m.body = []byte(f.text(fieldBody))
		return v.newCall(m, owner)
	}
	call, _, err := v.newCall(m, owner)
	if err != nil {
		return nil, nil, err
	}
	body, err := v.rt.Engine.BodiesIn(v.rt.Engine.Memory(owner)).Whole(context.WithoutCancel(v.r.Context()), h.body)
	if err != nil {
		return nil, nil, gone(err)
	}
	call.Body = callback.NewBody(body.Bytes())
	return call, body.Lease(), nil
}

// target returns the callback with that id, or the only one that waits with that correlation id.
func (v *visit) target(text string) (*engine.Callback, error) {
	if text == "" {
		return nil, problem.InvalidField(fieldTarget, "Say on which callback the call is to be made: give its id or its correlation id.")
	}
	if id, ok := callback.ParseUUID(strings.ToLower(text)); ok {
		cb, err := v.desk().Find(v.r.Context(), id)
		if err == nil {
			return cb, nil
		}
	}
	page, err := v.desk().List(v.r.Context(), store.Query{Phase: callback.Waiting, CorrelationID: text, Limit: 2})
	if err != nil {
		return nil, err
	}
	defer page.Release()
	switch len(page.Callbacks) {
	case 0:
		return nil, problem.InvalidField(fieldTarget, "No callback has that id, and none waits with that correlation id.")
	case 1:
		return v.desk().Find(v.r.Context(), page.Callbacks[0].ID)
	}
	return nil, problem.InvalidField(fieldTarget, "Several callbacks wait with that correlation id; give the id of one.")
}
