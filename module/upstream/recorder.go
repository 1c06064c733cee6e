package upstream

import (
	"context"
	"maps"
	"net/http"
)

// recorder receives the upstream's answer. If accept returns true, it keeps the answer from
// the client; otherwise it passes the answer on as it comes. caddyhttp.ResponseRecorder
// cannot be used: its header map is the client's, it decides only by status and header
// whether to buffer, and it passes interim answers on before that.
type recorder struct {
	ctx     context.Context
	client  http.ResponseWriter
	header  http.Header
	accept  func(status int) bool
	limits  Limits
	passing chan struct{}

	passed bool
	// status is the status of the answer, kept or passed on.
	status int
	// gateway is 502 or 504 if a gateway in between lost the upstream, or the call was
	// cancelled; else 0.
	gateway  int
	body     []byte
	overflow bool
}

// Header implements http.ResponseWriter.
func (rec *recorder) Header() http.Header {
	if rec.passed {
		return rec.client.Header()
	}
	return rec.header
}

// WriteHeader implements http.ResponseWriter.
func (rec *recorder) WriteHeader(status int) {
	switch {
	case rec.passed || rec.status != 0 || rec.gateway != 0:
		return
	case status == StatusClientClosed && rec.ctx.Err() != nil:
		// The proxy answers this when we have cancelled the call.
		rec.gateway = http.StatusGatewayTimeout
	case status >= 100 && status <= 199 && status != http.StatusSwitchingProtocols:
		rec.inform(status)
	case status == http.StatusBadGateway || status == http.StatusGatewayTimeout:
		// A gateway in between lost the upstream, which may have got the request.
		if rec.accept(status) {
			rec.status = status
		} else {
			rec.gateway = status
		}
	case rec.accept(status):
		rec.status = status
	default:
		rec.pass(status)
	}
}

// inform passes an interim answer on.
func (rec *recorder) inform(status int) {
	h := rec.client.Header()
	own := h.Clone()
	clear(h)
	maps.Copy(h, rec.header)
	rec.client.WriteHeader(status)
	clear(h)
	maps.Copy(h, own)
}

// pass begins to pass the upstream's answer on.
func (rec *recorder) pass(status int) {
	h := rec.client.Header()
	clear(h)
	maps.Copy(h, rec.header)
	rec.passed, rec.status = true, status
	close(rec.passing)
	rec.client.WriteHeader(status)
}

// Write implements http.ResponseWriter. Unless the answer is passed on, Write never fails,
// not even beyond the limit: a proxy that cannot write panics.
func (rec *recorder) Write(b []byte) (int, error) {
	if !rec.passed && rec.status == 0 && rec.gateway == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	if rec.passed {
		rec.keepBody(b, rec.limits.Passed)
		return rec.client.Write(b)
	}
	rec.keepBody(b, rec.limits.Kept)
	return len(b), nil
}

// keepBody keeps what is written, up to a limit.
func (rec *recorder) keepBody(b []byte, limit int64) {
	switch {
	case limit < 0 || rec.overflow:
	case int64(len(rec.body)+len(b)) > limit:
		rec.body, rec.overflow = nil, true
	default:
		rec.body = append(rec.body, b...)
	}
}

// FlushError flushes what is passed on; http.ResponseController calls it.
func (rec *recorder) FlushError() error {
	if !rec.passed {
		return nil
	}
	return http.NewResponseController(rec.client).Flush()
}

// Flush implements http.Flusher.
func (rec *recorder) Flush() { _ = rec.FlushError() }
