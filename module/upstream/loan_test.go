package upstream

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// held is a request as it comes to a handler, with what belongs to it.
type held struct {
	w    *httptest.ResponseRecorder
	r    *http.Request
	repl *caddy.Replacer
	vars map[string]any
}

func newHeld() *held {
	h := &held{w: httptest.NewRecorder(), repl: caddy.NewReplacer()}
	h.r = caddyhttp.PrepareRequest(httptest.NewRequest(http.MethodPost, "http://app.test/orders?a=1", nil), h.repl, h.w, new(caddyhttp.Server))
	h.vars = h.r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	return h
}

// start sends the request through a handler. At most limit bytes are read of what nobody
// needs.
func (h *held) start(limit int64, judge Judge, next func(w http.ResponseWriter, r *http.Request)) *Call {
	return h.send(Room{Kept: -1, Passed: -1, Drained: limit}, judge, next)
}

// startKeeping is start for answers of which that many bytes are kept.
func (h *held) startKeeping(limit int64, judge Judge, next func(w http.ResponseWriter, r *http.Request)) *Call {
	return h.send(newHouse().room(limit, 1<<20), judge, next)
}

func (h *held) send(room Room, judge Judge, next func(w http.ResponseWriter, r *http.Request)) *Call {
	return Start(caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		next(w, r)
		return nil
	}), h.w, h.r, room, judge, nil)
}

// head keeps every answer as soon as its status is there.
var head = always(KeptHead)

func replacerOf(r *http.Request) *caddy.Replacer {
	return r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
}

func (h *held) wants(t *testing.T, repl *caddy.Replacer, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if got, _ := repl.GetString(key); got != value {
			t.Errorf("{%s} is %q, want %q", key, got, value)
		}
	}
}

func TestHandlersAndThoseAroundThemSeeWhatTheOthersSet(t *testing.T) {
	h := newHeld()
	h.repl.Set("outer", "1")
	h.repl.Set("http.reverse_proxy.upstream.address", "login:1")
	h.repl.Set("http.reverse_proxy.header.X-Login", "yes")
	h.vars["outer"] = "2"
	c := h.start(0, head, func(w http.ResponseWriter, r *http.Request) {
		repl := replacerOf(r)
		caddyhttp.SetVar(r.Context(), "inner", "3")
		repl.Set("http.reverse_proxy.upstream.address", "partner:2")
		repl.Map(func(key string) (any, bool) { return "mapped", key == "map" })
		h.wants(t, repl, map[string]string{
			"outer": "1", "http.vars.outer": "2", "http.vars.inner": "3", "http.request.uri.query.a": "1", "nobody": "", "map": "mapped",
			"http.reverse_proxy.upstream.address": "partner:2",
		})
		w.WriteHeader(http.StatusAccepted)
		repl.Set("late", "4")
		caddyhttp.SetVar(r.Context(), "late", "5")
	})
	<-c.Done()
	if !c.TakeBack() {
		t.Fatal("the answer is passed on")
	}
	h.wants(t, h.repl, map[string]string{
		"outer": "1", "http.vars.outer": "2", "http.vars.inner": "3", "late": "4", "http.vars.late": "5", "nobody": "", "map": "mapped",
		"http.reverse_proxy.upstream.address": "partner:2", "http.reverse_proxy.header.X-Login": "",
	})
}

// The race detector sees it if the handlers touch what belongs to the request.
func TestHandlersThatGoOnTouchNothingOfTheRequest(t *testing.T) {
	for name, answered := range map[string]bool{"after the status": true, "before the status": false} {
		h := newHeld()
		h.repl.Set("outer", "1")
		sent, goOn := make(chan struct{}), make(chan struct{})
		c := h.start(1<<20, head, func(w http.ResponseWriter, r *http.Request) {
			repl, extra := replacerOf(r), func() *caddyhttp.ExtraLogFields {
				return r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields)
			}
			extra().Add(zap.String("before", ""))
			caddyhttp.SetVar(r.Context(), "before", "1")
			if answered {
				w.WriteHeader(http.StatusAccepted)
			}
			close(sent)
			<-goOn
			repl.Set("late", "2")
			repl.Map(func(string) (any, bool) { return nil, false })
			caddyhttp.SetVar(r.Context(), "late", "3")
			extra().Add(zap.String("late", ""))
			h.wants(t, repl, map[string]string{"outer": "", "http.request.uri": "", "late": "2", "http.vars.late": "3"})
			w.Header().Set("X-Late", "4")
			w.WriteHeader(http.StatusProcessing)
			w.WriteHeader(http.StatusNotFound)
			if _, err := w.Write([]byte("late")); err != nil {
				t.Error(err)
			}
			_ = http.NewResponseController(w).Flush()
		})
		<-sent
		if !c.TakeBack() {
			t.Fatal("the answer is passed on")
		}
		close(goOn)
		h.vars["after"] = true
		h.repl.Set("after", "1")
		h.r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields).Add(zap.String("after", ""))
		h.w.Header().Set("X-After", "1")
		h.w.WriteHeader(http.StatusOK)
		if got, _ := h.repl.GetString("http.vars.before"); (got == "1") != answered {
			t.Errorf("%s: the variable is %q", name, got)
		}
		<-c.Done()
		if h.w.Code != http.StatusOK || h.w.Body.Len() != 0 || h.w.Header().Get("X-Late") != "" || h.vars["late"] != nil {
			t.Errorf("%s: the client saw %d, %q, %v; variables %v", name, h.w.Code, h.w.Body, h.w.Header(), h.vars)
		}
	}
}

func TestLoanOfARequestWithoutPlaceholders(t *testing.T) {
	w := httptest.NewRecorder()
	c := Start(caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		caddyhttp.SetVar(r.Context(), "a", 1)
		w.WriteHeader(http.StatusAccepted)
		return nil
	}), w, httptest.NewRequest(http.MethodGet, "/", nil), Room{Kept: -1, Passed: -1}, head, nil)
	<-c.Done()
	if got := c.Outcome(); got != Answered || !c.TakeBack() {
		t.Errorf("outcome is %d", got)
	}
}
