package app

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// message returns the message that delivers the result.
func (wk worker) message(cb *engine.Callback, d *Deliverer, number int) deliver.Message {
	ended := cb.AsClientSees()
	result := ended.DeliveredResult(cb.Policy)
	id := cb.ID.String()
	if number > 1 {
		id += "." + strconv.Itoa(number)
	}
	header := make(http.Header)
	m := deliver.Message{
		Method: cb.Policy.DeliveryMethod(), URL: cb.DeliveryURL(), ID: id, Timestamp: time.Now(),
		Header: header, Own: d.header(cb.Record), Secrets: d.secrets, Origin: wk.rt.Engine.Origin(),
		Body: wk.body(cb, ended, result),
	}
	if envelope := cb.Policy.Envelope(); envelope != nil {
		result.Header = envelope.Header(result.Header)
	}
	result.Header.AddTo(header)
	if result.Body == nil && cb.Policy.Envelope() == nil {
		header.Set("Content-Type", problem.MediaType)
	}
	if id := cb.Delivery.CorrelationID; id != "" {
		header.Set(cb.Policy.Wire().CorrelationID, id)
	}
	header.Set(cb.Policy.Wire().ResultStatus, strconv.Itoa(result.Status))
	if cb.Policy.DeliversEvents() {
		for _, f := range ended.Event(cb.Policy, id) {
			header.Set(f.Name, f.Value)
		}
	}
	cb.Trace.AddTo(header)
	return m
}

// body returns the body of the message that delivers a result: that of the result, or the
// envelope with it.
func (wk worker) body(cb *engine.Callback, ended *callback.Record, result callback.Result) deliver.Body {
	bodies, envelope := wk.rt.Engine.Bodies(cb.ID), cb.Policy.Envelope()
	body := func(ctx context.Context) (io.ReadCloser, int64, error) {
		content, err := bodies.Result(ctx, result, cb.Policy)
		return content.ReadCloser, content.Size, err
	}
	switch {
	case result.Body == nil:
		body = deliver.Bytes(answer.FailedProblem(ended, result).Document())
	case envelope != nil:
		body = func(ctx context.Context) (io.ReadCloser, int64, error) {
			content, err := answer.OpenPlain(ctx, bodies, result, cb.Policy)
			return content.ReadCloser, content.Size, err
		}
	}
	if envelope != nil {
		body = deliver.Fill(envelope.Fill(ended.EnvelopeLookup(result)), body, wk.rt.Engine.Memory(memory.OwnerOf(cb.ID)))
	}
	return func(ctx context.Context) (io.ReadCloser, int64, error) {
		r, size, err := body(ctx)
		if err != nil {
			return nil, 0, err
		}
		return upstream.NewStream(r), size, nil
	}
}
