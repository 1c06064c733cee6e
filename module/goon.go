package module

import (
	"bytes"
	"io"
	"net/http"
	"strconv"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// goOn lets the client's request go on to the handlers that follow, after the
// callback that it had to wait for. With a key, what they answer is kept for when the
// client asks again.
func (x *exchange) goOn(r *callback.Record) error {
	scope := scopeFor(x.r, x.rt)
	scope.set(x.callback)
	scope.setCall(x.h.Name, r.Call)
	request := x.request.original(x.r)
	if x.h.usesBody() {
		body, err := x.rt.engine.BodyOf(x.lasting(), r.Call.Body)
		if err != nil {
			return x.refuse(problemOf(err))
		}
		putCall(request, r.Call, body)
	}
	if x.retry == nil || x.step != nil {
		return x.next.ServeHTTP(x.w, request)
	}
	if land, ok := x.rt.engine.Depart(r.ID); ok {
		defer land()
	}
	call := callUpstream(x.next, x.w, request, keeps{ack: -1, passed: x.h.app.MaxBodySize}, func(int) bool { return false })
	x.pass(call)
	x.conclude(call)
	if call.panic != nil {
		panic(call.panic)
	}
	return call.err
}

// putCall puts a call's body into a request, in place of its own.
func putCall(r *http.Request, call *callback.Call, body []byte) {
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language"} {
		r.Header.Del(name)
		if value := call.Header.Get(name); value != "" {
			r.Header.Set(name, value)
		}
	}
	for _, name := range bodyDigests {
		r.Header.Del(name)
	}
	setBody(r, body)
}

// setBody makes body the request's.
func setBody(r *http.Request, body []byte) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.TransferEncoding = nil
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	// The body has been asked for already.
	r.Header.Del("Expect")
	if len(body) == 0 {
		r.Body = http.NoBody
		r.Header.Del("Content-Length")
	}
}
