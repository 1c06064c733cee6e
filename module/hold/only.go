package hold

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// errPasses says that a request is none of those that the directive takes.
var errPasses = errors.New("the request goes through untouched")

// concerns reports whether a request is one of those that the directive takes, as far as can be
// told before its body is read.
func (h *Handler) concerns(r *http.Request) bool {
	if len(h.onlyBody) > 0 && !h.looksInto(r) {
		return false
	}
	if len(h.onlyHead) == 0 {
		return true
	}
	says, _ := saysAll(&inject.Message{Header: r.Header, Query: r.URL.RawQuery}, h.onlyHead)
	return says
}

// looksInto reports whether a request has a body that can be read as what only looks for. One
// that cannot is not read: uploads go through, however large they are.
func (h *Handler) looksInto(r *http.Request) bool {
	return answer.HasBody(r) && r.ContentLength <= h.app.MaxBodySize && checkKind(h.onlyBody[0].In, r.Header.Get("Content-Type")) == nil
}

// concernsBody is concerns for what the body tells, which has been read. The errors are
// errPasses and engine.ErrBusy.
func (x *exchange) concernsBody() error {
	o := x.request
	m := inject.Message{Header: x.r.Header, Query: x.r.URL.RawQuery, Body: o.own.Bytes()}
	if len(m.Body) == 0 {
		return errPasses
	}
	m.Unpacked = x.rt.Engine.Packed(m.Body, x.rt.Engine.Memory(memory.Nobody))
	defer m.Unpacked.Release()
	for _, match := range x.h.onlyBody {
		says, err := m.Match(match.Location, match.Values)
		switch {
		case errors.Is(err, engine.ErrBusy):
			return err
		case err != nil || !says:
			return errPasses
		}
	}
	return nil
}

// refuseOrPass refuses a request, or lets it go through untouched if that is what the error
// says.
func (x *exchange) refuseOrPass(err error) error {
	if !errors.Is(err, errPasses) {
		return x.refuseFor(err)
	}
	r := x.r
	if x.request != nil && x.request.own != nil {
		r = r.WithContext(r.Context())
		r.Header = r.Header.Clone()
		upstream.SetBody(r, x.request.own.Bytes())
	}
	return x.next.ServeHTTP(x.w, r)
}

// checkOnly makes sure that a request can say what it must.
func (h *Handler) checkOnly() error {
	for _, m := range h.Only {
		if err := callback.CheckLocation(m.Location); err != nil {
			return fmt.Errorf("only: %w", err)
		}
		if err := m.checkPatterns(); err != nil {
			return fmt.Errorf("only: %w", err)
		}
	}
	if _, err := oneBody(placesOf(h.Only)); err != nil {
		return fmt.Errorf("only: %w", err)
	}
	return nil
}
