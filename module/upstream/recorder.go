package upstream

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/caddy-callback/caddy-callback/module/unpack"
)

// recorder receives the upstream's answer, and keeps it from the client or passes it on as
// it comes, as the judge says. caddyhttp.ResponseRecorder cannot be used: its header map is
// the client's, it decides only by status and header whether to buffer, and it passes
// interim answers on before that.
type recorder struct {
	ctx     context.Context
	client  http.ResponseWriter
	header  http.Header
	judge   Judge
	room    Room
	passing chan struct{}
	// ready is closed when what is needed of a kept answer is there, and stop ends the call.
	ready chan struct{}
	stop  func()
	loan  *loan

	passed bool
	// status is the status of the answer, kept or passed on.
	status int
	// gateway is 502 or 504 if a gateway in between lost the upstream, or the call was
	// cancelled; else 0.
	gateway int
	kept    kept

	fate Fate
	// end finds the end of what is waited for in the body; nil if nothing is.
	end ending
	// head is the header of an answer that is weighed, and flushed says that it was flushed.
	head    http.Header
	flushed bool
	// needed is what is needed of a kept answer, once that is there. What comes after it, or
	// after the client has been answered, is thrown away; left is how much may still come.
	needed Answer
	told   bool
	left   int64
	// forgotten says that nothing of the answer is needed any more, ended that the handlers
	// have ended. What is kept belongs to the handlers until they have, or until told.
	forgotten atomic.Bool
	ended     bool
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
	rec.loan.mu.Lock()
	defer rec.loan.mu.Unlock()
	switch {
	case rec.passed || rec.status != 0 || rec.gateway != 0 || rec.loan.returned:
	case status == StatusClientClosed && rec.ctx.Err() != nil:
		// The proxy answers this when we have cancelled the call.
		rec.gateway = http.StatusGatewayTimeout
	case status >= 100 && status <= 199 && status != http.StatusSwitchingProtocols:
		rec.inform(status)
	default:
		rec.settle(status, rec.judge.Head(status, rec.header))
	}
}

// settle begins what is to become of an answer.
func (rec *recorder) settle(status int, fate Fate) {
	switch {
	case fate == Passed && (status == http.StatusBadGateway || status == http.StatusGatewayTimeout):
		// A gateway in between lost the upstream, which may have got the request.
		rec.gateway = status
		return
	case fate == Passed:
		rec.pass(status, rec.header)
		return
	case fate.isWeighed():
		rec.head = rec.header.Clone()
	}
	rec.status, rec.fate = status, fate
	if rec.end == nil {
		rec.end = endingOf(fate, unpack.CodingOf(rec.header["Content-Encoding"]) != "")
	}
	if fate == KeptStatus || fate == KeptHead {
		rec.tell()
	}
}

// tell says that what is needed of a kept answer is there. The loan must be locked.
func (rec *recorder) tell() {
	rec.loan.share()
	rec.needed = Answer{Status: rec.status, Header: rec.head, Body: rec.kept.bytes(), Lost: rec.kept.lost}
	if rec.head == nil && rec.fate != KeptStatus {
		rec.needed.Header = rec.header.Clone()
	}
	rec.told = true
	close(rec.ready)
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
func (rec *recorder) pass(status int, header http.Header) {
	h := rec.client.Header()
	clear(h)
	maps.Copy(h, header)
	rec.passed, rec.status = true, status
	close(rec.passing)
	rec.client.WriteHeader(status)
}

// Write implements http.ResponseWriter. Unless the answer is passed on, Write never fails,
// not even beyond the limit: a proxy that cannot write panics.
func (rec *recorder) Write(b []byte) (n int, err error) {
	if !rec.passed && rec.status == 0 && rec.gateway == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	if rec.fate.isWeighed() && !rec.passed {
		n = rec.weigh(b)
	}
	if b = b[n:]; len(b) > 0 {
		more, err := rec.take(b)
		return n + more, err
	}
	return n, nil
}

// take takes bytes of an answer that is not weighed, or not any more.
func (rec *recorder) take(b []byte) (int, error) {
	switch {
	case rec.passed:
		rec.kept.toSpool(b, rec.room.Passed)
		return rec.client.Write(b)
	case rec.told || rec.loan.over.Load():
		rec.throw(len(b))
	case rec.gateway != 0:
	case rec.fate == Kept:
		rec.kept.toSpool(b, rec.room.Kept)
	default:
		rec.read(b)
	}
	return len(b), nil
}

// read takes bytes of an answer that is kept and looked into. What follows its JSON value,
// or its root element, is not looked at: it may come with that, or later.
func (rec *recorder) read(b []byte) {
	if rec.fate != KeptJSON && rec.fate != KeptXML {
		rec.kept.toRead(b, rec.room.Kept)
		return
	}
	n, ended := rec.end.add(b)
	if rec.kept.toRead(b[:n], rec.room.Kept); ended || rec.kept.lost != nil {
		rec.loan.mu.Lock()
		defer rec.loan.mu.Unlock()
		rec.tell()
	}
}

// weigh takes bytes of an answer that is weighed, up to the end that is waited for, and returns
// how many. If they cannot be kept, it takes none, and the answer is decided on without them.
func (rec *recorder) weigh(b []byte) int {
	if rec.loan.over.Load() {
		return 0
	}
	n, ended := rec.end.add(b)
	if err := rec.kept.add(b[:n], rec.room.Kept); err != nil {
		rec.decide(err)
		return 0
	}
	if ended {
		rec.decide(nil)
	}
	return n
}

// decide ends the weighing of an answer. err is why its body cannot be looked into.
func (rec *recorder) decide(err error) {
	rec.loan.mu.Lock()
	defer rec.loan.mu.Unlock()
	rec.fate = Kept
	if rec.loan.returned {
		return
	}
	a := &Answer{Status: rec.status, Header: rec.head, Body: rec.kept.bytes(), Lost: err}
	if err != nil {
		a.Body = nil
	}
	fate := rec.judge.Body(a)
	status := rec.status
	if fate != Passed {
		if err != nil {
			rec.kept.lose(err)
		} else if fate == Kept {
			rec.kept.move(rec.room.Kept)
		}
		rec.settle(status, fate)
		return
	}
	if rec.settle(status, Passed); !rec.passed {
		rec.status = 0
		return
	}
	rec.replay()
}

// replay passes on what was held back of an answer. Trailers are what has come into its
// header meanwhile.
func (rec *recorder) replay() {
	_, _ = rec.client.Write(rec.kept.bytes())
	if rec.flushed {
		_ = http.NewResponseController(rec.client).Flush()
	}
	h := rec.client.Header()
	for name, values := range rec.header {
		if !slices.Equal(values, rec.head[name]) {
			h[name] = values
		}
	}
	rec.kept.move(rec.room.Passed)
}

// close decides on an answer that has ended before it could be decided on.
func (rec *recorder) close() {
	if rec.fate.isWeighed() {
		rec.decide(nil)
	}
}

// throw throws bytes away, and ends the call if they are too many.
func (rec *recorder) throw(n int) {
	if !rec.told && rec.forgotten.Load() {
		rec.kept.drop()
	}
	if rec.left -= int64(n); rec.left < 0 {
		rec.stop()
	}
}

// forget says that nothing of the answer is needed any more.
func (rec *recorder) forget() {
	rec.loan.mu.Lock()
	defer rec.loan.mu.Unlock()
	rec.forgotten.Store(true)
	rec.letGo()
}

// leave says that the handlers have ended.
func (rec *recorder) leave() {
	rec.loan.mu.Lock()
	defer rec.loan.mu.Unlock()
	rec.ended = true
	rec.letGo()
}

// letGo lets go of what nobody needs any more. The loan must be locked.
func (rec *recorder) letGo() {
	if !rec.forgotten.Load() {
		return
	}
	if rec.told || rec.ended {
		rec.kept.drop()
	}
	if rec.ended {
		// A client can be held for long after its upstream has answered.
		rec.header, rec.head, rec.needed = http.Header{}, nil, Answer{}
	}
}

// FlushError flushes what is passed on; http.ResponseController calls it.
func (rec *recorder) FlushError() error {
	if !rec.passed {
		rec.flushed = true
		return nil
	}
	return http.NewResponseController(rec.client).Flush()
}

// Flush implements http.Flusher.
func (rec *recorder) Flush() { _ = rec.FlushError() }
