package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/quoted"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

const (
	// askWithin is how long the app may take to answer a question about a call.
	askWithin = 30 * time.Second
	// maxAskAnswer bounds its answer, in bytes. The first sureAskAnswer are read even if no
	// memory is left.
	maxAskAnswer  = 1 << 20
	sureAskAnswer = 64 << 10
)

// question is what the app is asked about a call (docs/wire.md, section Questions to the
// app).
type question struct {
	RequestBody          *quoted.Body      `json:"requestBody"`
	RequestBodyEncoding  string            `json:"requestBodyEncoding,omitempty"`
	RequestHeaders       map[string]string `json:"requestHeaders"`
	RequestMethod        string            `json:"requestMethod"`
	RequestQuery         json.RawMessage   `json:"requestQuery"`
	CallbackSystemCase   string            `json:"callbackSystemCase"`
	CallbackActivityCase string            `json:"callbackActivityCase,omitempty"`
	ResponseType         string            `json:"responseType"`
	ResponseBody         string            `json:"responseBody"`
	ResponseCode         int               `json:"responseCode"`
	ResponseHeaders      map[string]string `json:"responseHeaders"`
	ResponseRedirectURL  string            `json:"responseRedirectUrl"`
}

func newQuestion(cb *engine.Callback, call *callback.Call, fields callback.Fields, body *quoted.Body) question {
	d := callback.NewDocument(call, body)
	q := question{
		RequestBody:         d.Body,
		RequestBodyEncoding: d.BodyEncoding,
		RequestHeaders:      d.Headers,
		RequestMethod:       strings.ToLower(d.Method),
		RequestQuery:        d.Query,
		CallbackSystemCase:  cb.ID.String(),
		ResponseType:        fields.Type,
		ResponseBody:        fields.Body,
		ResponseCode:        fields.Code,
		ResponseHeaders:     fields.Header.Joined(),
		ResponseRedirectURL: fields.RedirectURL,
	}
	if cb.Own != nil {
		q.CallbackActivityCase = cb.Own.Case
	}
	return q
}

// reaction is the app's answer. Fields that it leaves out keep their value.
type reaction struct {
	ResponseType        *string           `json:"responseType"`
	ResponseBody        *string           `json:"responseBody"`
	ResponseCode        *int              `json:"responseCode"`
	ResponseHeaders     map[string]string `json:"responseHeaders"`
	ResponseRedirectURL *string           `json:"responseRedirectUrl"`
	// KeepWaiting says that the call is not the answer yet, such as a handshake.
	KeepWaiting bool `json:"keepWaiting"`
}

// override returns the reply's fields, of which those in the app's answer are replaced.
func (a reaction) override(fields callback.Fields) (*callback.Fields, error) {
	if a.ResponseType != nil {
		fields.Type = *a.ResponseType
	}
	if a.ResponseBody != nil {
		fields.Body = *a.ResponseBody
	}
	if a.ResponseCode != nil {
		fields.Code = *a.ResponseCode
	}
	if a.ResponseRedirectURL != nil {
		fields.RedirectURL = *a.ResponseRedirectURL
	}
	if a.ResponseHeaders != nil {
		fields.Header = nil
		for _, name := range slices.Sorted(maps.Keys(a.ResponseHeaders)) {
			fields.Header = append(fields.Header, callback.Field{Name: http.CanonicalHeaderKey(name), Value: strings.TrimSpace(a.ResponseHeaders[name])})
		}
	}
	return &fields, fields.Check()
}

// asking returns what asks the app about the call that the request is, and returns what the
// app has decided.
func (s *Server) asking(e *engine.Engine, from *http.Request) engine.Ask {
	return func(ctx context.Context, cb *engine.Callback, call *callback.Call, fields callback.Fields) *callback.Asked {
		asked, err := s.ask(ctx, e, from, cb, call, fields)
		if err != nil {
			s.log.Error("the app could not be asked about a call", zap.Stringer("id", cb.ID), zap.Error(err))
			return &callback.Asked{Fault: callback.Fault{
				Slug: "ask-failed", Status: http.StatusBadGateway, Detail: "The app that decides on this call has not answered as it should.",
			}}
		}
		return asked
	}
}

func (s *Server) ask(ctx context.Context, e *engine.Engine, from *http.Request, cb *engine.Callback, call *callback.Call, fields callback.Fields) (*callback.Asked, error) {
	if own := cb.Own; own != nil && own.Ask != "" && !callback.IsBelow(own.Ask, strings.TrimSuffix(s.AskPrefix, "/")) {
		return nil, fmt.Errorf("%s is not below %s", own.Ask, s.AskPrefix)
	}
	if s.Ask == nil {
		return nil, errors.New("callback_server has no route ask that leads to the app; add: ask { reverse_proxy ... }")
	}
	// What the app does must not depend on whether the partner waits for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askWithin)
	defer cancel()
	r, err := s.askRequest(ctx, e, from, cb, call, fields)
	if err != nil {
		return nil, err
	}
	room := upstream.Room{Kept: maxAskAnswer, Passed: -1, Drained: maxAskAnswer, Space: e.Memory(memory.OwnerOf(cb.ID)).Sure(sureAskAnswer)}
	// Handlers that do not read the question do not close it.
	said := upstream.Run(ctx, s.Ask, r, room, upstream.ReadAll, func() { _ = r.Body.Close() })
	defer said.Close()
	status := said.Status()
	switch {
	case said.Crash() != nil:
		return nil, fmt.Errorf("a handler panicked: %v", said.Crash())
	case said.Err() != nil:
		return nil, said.Err()
	case said.Panic() != nil || said.Outcome() != upstream.Answered:
		return nil, errors.New("it has not answered, or not in time")
	case status >= 400 && status <= 499:
		return &callback.Asked{Fault: callback.Fault{
			Slug: "refused", Status: status, Detail: "The app that decides on this call has refused it.",
		}}, nil
	case status < 200 || status > 299:
		return nil, fmt.Errorf("it answered with status %d", status)
	case errors.Is(said.Lost(), engine.ErrBusy):
		return nil, errors.New("no memory was left for its answer")
	case said.Lost() != nil:
		return nil, errors.New("its answer is too large")
	}
	asked, err := readReaction(said.Message(), fields)
	if err == nil && asked.Reply != nil && !s.ActiveContent {
		s.warnOfLeftOut(cb, asked.Reply.Header)
	}
	return asked, err
}

// warnOfLeftOut tells the log which headers of the app's answer the caller does not get.
func (s *Server) warnOfLeftOut(cb *engine.Callback, header callback.Header) {
	for _, line := range header {
		if callback.IsSiteWide(line.Name) {
			s.log.Warn("a header of the app's answer was left out: it acts on the whole site, and callback_server does not say active_content on",
				zap.Stringer("id", cb.ID), zap.String("header", line.Name))
		}
	}
}

// callerOf returns the address of whoever has sent a request, as Caddy knows it.
func callerOf(r *http.Request) string {
	host, port, err := net.SplitHostPort(r.RemoteAddr)
	if client, ok := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string); ok && err == nil && client != host {
		return net.JoinHostPort(client, port)
	}
	return r.RemoteAddr
}

// readReaction reads the app's answer. An answer that is not JSON changes
// nothing.
func readReaction(answer *inject.Message, fields callback.Fields) (*callback.Asked, error) {
	if len(bytes.TrimSpace(answer.Body)) == 0 || !inject.IsJSON(answer.Header.Get("Content-Type")) {
		return &callback.Asked{}, nil
	}
	var a reaction
	if err := json.Unmarshal(answer.Body, &a); err != nil {
		return nil, fmt.Errorf("its answer cannot be understood: %w", err)
	}
	reply, err := a.override(fields)
	if err != nil {
		return nil, fmt.Errorf("its answer cannot be used: %w", err)
	}
	return &callback.Asked{Reply: reply, KeepWaiting: a.KeepWaiting}, nil
}

// askRequest builds the request to the app, as the caller would have sent it. Its
// Idempotency-Key is the same whenever the same call to the same callback is made, so that
// the app can tell that it is asked again.
func (s *Server) askRequest(ctx context.Context, e *engine.Engine, from *http.Request, cb *engine.Callback, call *callback.Call, fields callback.Fields) (*http.Request, error) {
	// The call has been admitted, and is not refused for want of a piece of memory.
	bodies := e.BodiesIn(e.Memory(memory.OwnerOf(cb.ID)).Forced()).Counted()
	asked, err := bodies.Document(ctx, call.Body, func(body *quoted.Body) any { return newQuestion(cb, call, fields, body) })
	if err != nil {
		return nil, err
	}
	payload := call.Payload(cb.Policy)
	key := sha256.Sum256(append(cb.ID[:], payload[:]...))
	r, _, err := upstream.NewRequest(ctx, s.server, &callback.Request{
		Method: http.MethodPost, URI: cb.AskPath(cb.Policy), Host: "callback", RemoteAddr: callerOf(from),
		Header: append(callback.Header{
			{Name: "Content-Type", Value: "application/json"},
			{Name: callback.IdempotencyKey, Value: hex.EncodeToString(key[:])},
		}, call.Header.Trace()...),
	})
	if err != nil {
		_ = asked.Close()
		return nil, err
	}
	upstream.SetStream(r, upstream.NewStream(asked), asked.Size)
	return r, nil
}
