package dashboard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/unpack"
)

var bodyPage = load("body", "content")

// bodyData is what the page of one body shows.
type bodyData struct {
	Frame frame
	shownBody
	Content content
	// Back leads to the callback.
	Back string
}

// held is a body that a record has, with what came with it.
type held struct {
	// which is what paths call it.
	which, name string
	header      callback.Header
	body        callback.Body
	// call is the call that it belongs to; nil for none.
	call *callback.Call
}

// bodies are the bodies of a callback, as paths call them.
const (
	theCall     = "call"
	theProgress = "progress"
	theAnswer   = "answer"
	theAck      = "ack"
)

// heldBy returns the bodies of a callback that can be seen.
func heldBy(cb *engine.Callback) (all []held) {
	if c := cb.Call; c != nil {
		all = append(all, held{theCall, "The accepted call", c.Header, c.Body, c})
	}
	if c := cb.Latest; c != nil {
		all = append(all, held{theProgress, "The latest call that was not the answer yet", c.Header, c.Body, c})
	}
	if a := cb.Answer; a != nil {
		all = append(all, held{theAnswer, "The response that is the result", a.Header, a.Body, nil})
	}
	if a := cb.Ack; a != nil {
		all = append(all, held{theAck, "The upstream's ack", a.Header, a.Body, nil})
	}
	return all
}

// held returns the callback and the body that the path names.
func (v *visit) held() (*engine.Callback, held, error) {
	cb, err := v.desk().Find(v.r.Context(), v.at.id)
	if err != nil {
		return nil, held{}, err
	}
	for _, h := range heldBy(cb) {
		if h.which == v.at.part {
			if cb.Stripped() {
				return nil, held{}, problem.ResultGone
			}
			return cb, h, nil
		}
	}
	return nil, held{}, errNoPage
}

// shownBody is a body as pages speak of it.
type shownBody struct {
	Name, Type, Coding, Size string
	// Empty says that there is nothing in it.
	Empty bool
	// To leads to the body, Download to its bytes, and Replay to another call like the one
	// that it belongs to; empty for nowhere.
	To, Download, Replay string
	// Content is what is in it, if it is shown together with its callback.
	Content *content
}

func (v *visit) shownBody(h held) shownBody {
	path := v.at.root + "callback/" + v.at.id.String()
	s := shownBody{
		Name: h.name, Type: h.header.Get("Content-Type"), Coding: unpack.CodingOf(h.header.Values("Content-Encoding")), Size: bytesOf(uint64(h.body.Size)),
		Empty: h.body.Size == 0, To: path + "/body/" + h.which, Download: path + "/download/" + h.which,
	}
	if h.call != nil && v.visitor.acts {
		s.Replay = path + "/replay/" + h.which
	}
	return s
}

// bodiesOf returns the bodies of a callback, with the beginnings of them if the configuration
// says so.
func (v *visit) bodiesOf(cb *engine.Callback) (all []shownBody, err error) {
	if cb.Stripped() {
		return nil, nil
	}
	for _, h := range heldBy(cb) {
		s := v.shownBody(h)
		if v.d.Bodies == bodiesShow && !s.Empty {
			c, err := v.content(h, mostInline)
			if err != nil {
				return nil, err
			}
			s.Content = &c
		}
		all = append(all, s)
	}
	return all, nil
}

const (
	// mostShown bounds what is shown of a body on its own page, and mostInline what is shown
	// together with its callback, in bytes. mostHex is the same for what is no text.
	mostShown  = 128 << 10
	mostInline = 4 << 10
	mostHex    = 4 << 10
	// shownCopies is how much memory a page takes for each byte that is shown: characters that
	// are not seen are written out.
	shownCopies = 24
)

// content is the beginning of a body.
type content struct {
	// Kind is json, text, hex, or empty.
	Kind, Text string
	// Cut says that there is more, Shown how much of it is shown.
	Cut   bool
	Shown string
	// Unpacked says that it came packed and is shown unpacked.
	Unpacked bool
	raw      []byte
}

// content reads the beginning of a body.
func (v *visit) content(h held, most int) (c content, err error) {
	if h.body.Size == 0 {
		return content{Kind: "empty"}, nil
	}
	open, unpacked, err := v.open(h)
	if err != nil {
		return c, err
	}
	defer func() { _ = open.Close() }()
	space := v.rt.Engine.Memory(memory.OwnerOf(v.at.id))
	lease, err := space.Reserve(int64(shownCopies * most))
	if err != nil {
		return c, err
	}
	defer lease.Release()
	data := make([]byte, min(int64(most), open.Size))
	n, err := io.ReadFull(open, data)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return c, err
	}
	c = newContent(data[:n], int64(n) < open.Size)
	c.Unpacked = unpacked
	return c, nil
}

// open opens a body, unpacked if that can be done.
func (v *visit) open(h held) (_ engine.Content, unpacked bool, err error) {
	ctx, bodies := context.WithoutCancel(v.r.Context()), v.rt.Engine.Bodies(v.at.id)
	if coding := unpack.CodingOf(h.header.Values("Content-Encoding")); unpack.Knows(coding) {
		open, err := bodies.Unpacked(ctx, h.body, coding)
		if !errors.Is(err, unpack.ErrUnreadable) {
			return open, true, gone(err)
		}
	}
	open, err := bodies.Open(ctx, h.body)
	return open, false, gone(err)
}

// gone returns an error of opening a body, as a problem if the body is there no more.
func gone(err error) error {
	if errors.Is(err, store.ErrRemoved) {
		return problem.ResultGone
	}
	return err
}

// newContent shows the beginning of a body.
func newContent(data []byte, cut bool) content {
	c := content{Cut: cut, raw: data}
	switch {
	case len(data) == 0:
		c.Kind = "empty"
	case !isText(data, cut):
		c.Kind, c.Cut = "hex", cut || len(data) > mostHex
		data = data[:min(len(data), mostHex)]
		c.Text = hexDump(data)
	case looksLikeJSON(data):
		c.Kind, c.Text = "json", pretty(data, len(data))
	default:
		c.Kind, c.Text = "text", string(data)
	}
	c.Shown = bytesOf(uint64(len(data)))
	return c
}

// body shows one body.
func (v *visit) body() error {
	_, h, err := v.held()
	if err != nil {
		return err
	}
	data := bodyData{Frame: v.frame(), shownBody: v.shownBody(h), Back: v.at.root + "callback/" + v.at.id.String()}
	if data.Content, err = v.content(h, mostShown); err != nil {
		return err
	}
	return v.write(bodyPage, show{title: h.name, data: data})
}

// download answers with the bytes of a body as they came. Browsers keep them in a file and do
// nothing else with them.
func (v *visit) download() error {
	_, h, err := v.held()
	if err != nil {
		return err
	}
	open, err := v.rt.Engine.Bodies(v.at.id).Open(context.WithoutCancel(v.r.Context()), h.body)
	if err != nil {
		return gone(err)
	}
	defer func() { _ = open.Close() }()
	header := v.w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", `attachment; filename="`+v.at.id.String()+"-"+h.which+`.bin"`)
	header.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.FormatInt(open.Size, 10))
	v.w.WriteHeader(http.StatusOK)
	if v.r.Method == http.MethodHead {
		return nil
	}
	if _, err := io.Copy(v.w, open); err != nil {
		// What ends in order looks complete.
		panic(http.ErrAbortHandler)
	}
	return nil
}
