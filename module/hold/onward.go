package hold

import (
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// goOn sends the client's own request to the next handlers, after its callback has ended.
// If the client gave a key, their answer is stored for a repeated request.
func (x *exchange) goOn(r *callback.Record) error {
	scope := scopeFor(x.r, x.rt)
	scope.set(x.callback)
	scope.setCall(x.h.Name, r.Call)
	request := x.request.original(x.r)
	if x.cut == cutByClient {
		// The call was accepted before it was known that the client has left.
		request = request.WithContext(x.lasting())
	}
	if x.h.usesBody() {
		content, err := x.bodies(r).Call(x.lasting(), r.Call, x.callback.Policy)
		if err != nil {
			return x.refuseFor(err)
		}
		content.ReadCloser = upstream.NewStream(content.ReadCloser)
		defer func() { _ = content.Close() }()
		putCall(request, r.Call, content)
	}
	if x.retry == nil || x.step != nil {
		return x.next.ServeHTTP(x.w, request)
	}
	if !x.departed {
		land, ok, err := x.rt.Engine.Depart(x.lasting(), x.callback)
		switch {
		case err != nil:
			return x.refuseFor(err)
		case !ok:
			// Another request with the same key goes on already.
			return x.attach()
		}
		x.departed = true
		defer land()
	}
	room := upstream.Room{Kept: -1, Passed: x.h.app.MaxBodySize}
	furnish(&room, x.rt.Engine, r.ID)
	call := upstream.Start(x.next, x.w, request, room, upstream.PassAll, nil)
	defer call.Close()
	x.pass(call)
	return x.conclude(call)
}

// putCall puts what of a call is the result into a request, in place of its own body.
func putCall(r *http.Request, call *callback.Call, result engine.Content) {
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language"} {
		r.Header.Del(name)
		if value := call.Header.Get(name); value != "" && !result.Made {
			r.Header.Set(name, value)
		}
	}
	if result.Made {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, name := range callback.DigestHeaders {
		r.Header.Del(name)
	}
	upstream.SetStream(r, result, result.Size)
}
