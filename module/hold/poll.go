package hold

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// Poll configures how the upstream is asked for the result, beside the callback that it may
// make. Whichever comes first is the result.
type Poll struct {
	// From lists places in the ack, header, json or xml, that may hold the URL to ask. The
	// first that is there counts. Only its path and query are used. Default: to.
	From []inject.Location `json:"from,omitempty"`

	// To is the path to ask if the ack holds no URL, with a query if need be. It may hold the
	// placeholders {http.callback.correlation_id}, {http.callback.id} and
	// {http.callback.name}. Default: an upstream whose ack holds no URL is not asked.
	To string `json:"to,omitempty"`

	// After is how long after the ack the upstream is asked for the first time. Default: 10s.
	After caddy.Duration `json:"after,omitempty"`

	// Every is how long it then takes until it is asked again, unless its Retry-After says
	// otherwise. Default: 5s.
	Every caddy.Duration `json:"every,omitempty"`

	// Longest is up to which Every doubles, time after time. Default: every; it does not
	// double.
	Longest caddy.Duration `json:"longest,omitempty"`

	// Allow lists further hosts that a URL in the ack may name. The block's routes decide who
	// is asked, so the URL of another host would be asked of the wrong one. Default: the
	// hosts of the proxies in the block.
	Allow []string `json:"allow,omitempty"`

	// Using is the route through which the upstream is asked. It carries nothing of the
	// client's request: credentials belong there. Default: the block call.
	Using caddyhttp.RouteList `json:"using,omitempty"`

	source
}

// The defaults of Poll, and how long one request may take.
const (
	DefaultPollAfter = 10 * time.Second
	DefaultPollEvery = 5 * time.Second
	pollTimeout      = 30 * time.Second
)

// Check makes sure that the options make sense together.
func (p *Poll) Check() error {
	for _, at := range p.From {
		if !ackHas(at.In) {
			return fmt.Errorf("from: an ack has no place %s; the places are header, json and xml", at.In)
		}
		if err := at.Validate(); err != nil {
			return fmt.Errorf("from: %w; choose another place or name", err)
		}
	}
	if _, err := oneBody(p.From); err != nil {
		return fmt.Errorf("from: %w", err)
	}
	if p.To != "" {
		if err := target(p.To).check(); err != nil {
			return err
		}
	}
	for _, d := range []struct {
		option string
		given  caddy.Duration
	}{{"after", p.After}, {"every", p.Every}, {"every", p.Longest}} {
		if d.given != 0 && time.Duration(d.given) < time.Second {
			return fmt.Errorf("%s: %s is too short; write at least 1s", d.option, time.Duration(d.given))
		}
	}
	if p.Longest != 0 && p.Longest < p.every() {
		return fmt.Errorf("every: the longest wait (%s) is shorter than the first (%s); write the shorter one first", time.Duration(p.Longest), time.Duration(p.every()))
	}
	return checkHosts(p.Allow)
}

func (p *Poll) every() caddy.Duration { return cmp.Or(p.Every, caddy.Duration(DefaultPollEvery)) }

func checkHosts(hosts []string) error {
	for _, host := range hosts {
		if host == "" || strings.ContainsAny(host, "/*?#@: {}") {
			return fmt.Errorf("allow: %q is not the name of a host; write one like api.example.com", host)
		}
	}
	return nil
}

// checkPoll makes sure that the upstream can be asked, and what for.
func (h *Handler) checkPoll() error {
	p := h.Poll
	if p == nil {
		return nil
	}
	if err := p.Check(); err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	switch {
	case len(p.From) == 0 && p.To == "":
		return errors.New("poll: it needs the place of the URL in the ack, or a path, as in: from header Location, or: to /jobs/{http.callback.correlation_id}")
	case p.Using == nil && h.Call == nil:
		return errors.New("poll: it needs a block with the route to the upstream, as in: using { reverse_proxy https://api.example.com }")
	case h.Ask != "":
		return errors.New("poll: the app is asked about calls, and nobody calls; leave one of the two out")
	case h.Multiple:
		return errors.New("poll: with multiple on there is no end to be asked for; leave one of the two out")
	}
	return nil
}

// provisionSources provisions the routes through which the upstream is asked. callHosts are the
// hosts of the block call.
func (h *Handler) provisionSources(ctx caddy.Context, callHosts []string) error {
	if p := h.Poll; p != nil {
		hosts := hostsOf(p.Using)
		if err := p.Using.Provision(ctx); err != nil {
			return fmt.Errorf("poll: using: %w", err)
		}
		p.source = source{routes: p.Using, to: target(app.Known(p.To)), hosts: append(hosts, allowed(p.Allow)...)}
		if p.Using == nil {
			p.routes, p.hosts = h.Call, append(callHosts, allowed(p.Allow)...)
		}
	}
	if f := h.Fetch; f != nil {
		hosts := hostsOf(f.Using)
		if err := f.Using.Provision(ctx); err != nil {
			return fmt.Errorf("fetch: %w", err)
		}
		f.source = source{routes: f.Using, to: target(app.Known(f.To)), hosts: hosts}
	}
	return nil
}

// pollsBody returns the kind of body in which the ack may hold the URL to ask; "" for none.
func (h *Handler) pollsBody() inject.Place {
	if h.Poll == nil {
		return ""
	}
	body, _ := oneBody(h.Poll.From)
	return body
}

// pollAfterAck returns the job that asks for the result of an accepted request; nil for none.
// base is the URL of that request.
func (h *Handler) pollAfterAck(call *upstream.Call, e *engine.Engine, r *callback.Record, base *url.URL) *callback.Job {
	if h.Poll == nil {
		return nil
	}
	to, err := h.Poll.find(call, e, r, base)
	if err != nil {
		h.log.Warn("the upstream is not asked for the result, because of its ack; its callback goes on waiting for the call",
			zap.Stringer("id", r.ID), zap.Error(err))
		return nil
	}
	if to == "" {
		return nil
	}
	after := cmp.Or(asksFor(call), time.Duration(h.Poll.After), DefaultPollAfter)
	return &callback.Job{Block: callback.PollBlock, NextAt: callback.At(e.Now().Add(after)), Target: to}
}

// find returns the path to ask; "" if there is none.
func (p *Poll) find(call *upstream.Call, e *engine.Engine, r *callback.Record, base *url.URL) (string, error) {
	m := call.Message()
	defer unpacked(m, e, r.ID)()
	for _, at := range p.From {
		if at.InBody() && (call.Lost() != nil || len(m.Body) == 0) {
			continue
		}
		value, err := m.Read(at)
		switch {
		case err != nil:
			return "", fmt.Errorf("%s: %w", at, err)
		case value.Text != "" && !value.IsNull():
			to, err := p.reference(value.Text, base)
			if err != nil {
				return "", fmt.Errorf("%s: %w", at, err)
			}
			return to, nil
		}
	}
	return p.to.of(r)
}

// attemptSource asks for what a block is there for.
func (h *Handler) attemptSource(ctx context.Context, rt *app.Runtime, cb *engine.Callback) (callback.Attempt, bool) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	j := &job{h: h, rt: rt, cb: cb, step: &step{parent: cb.ID}}
	if cb.Job.Block == callback.PollBlock {
		if h.Poll == nil {
			return callback.Attempt{}, false
		}
		return j.poll(ctx), true
	}
	if h.Fetch == nil {
		return callback.Attempt{}, false
	}
	return j.fetch(ctx), true
}

// poll asks the upstream once for the result.
func (j *job) poll(ctx context.Context) callback.Attempt {
	call, err := j.h.Poll.ask(ctx, j, j.cb.Job.Target, upstream.ReadAll)
	if err != nil {
		return failedSource(err)
	}
	attempt := j.pollOf(call)
	attempt.Status = statusOf(call)
	attempt.Done = func() {
		if attempt.Call != nil {
			attempt.Call.Unpacked.Release()
		}
		call.Close()
	}
	return attempt
}

// pollOf returns what the upstream's answer means.
func (j *job) pollOf(call *upstream.Call) callback.Attempt {
	if reason, again := unanswered(call); reason != "" {
		if again {
			return j.pollAgain(reason, call)
		}
		return failedSource(errors.New(reason))
	}
	status := call.Status()
	switch {
	case status == http.StatusAccepted:
		waits := j.pollAgain("", call)
		waits.Kind = callback.AttemptPolled
		return waits
	case status < 200 || status > 299 || status == http.StatusPartialContent:
		// Nobody has asked for a part.
		return failedWith(status, "when it was asked for the result")
	case errors.Is(call.Lost(), memory.ErrBusy):
		return j.pollAgain("there was no memory to look into the answer", call)
	case call.Lost() != nil:
		return failedSource(errors.New("the upstream's answer is larger than allowed"))
	}
	m := call.Message()
	polled, err := callback.NewCall(http.MethodGet, "", "", m.Header, callback.At(j.rt.Engine.Now()))
	if err != nil {
		return failedSource(err)
	}
	polled.Body = callback.NewBody(m.Body)
	polled.Unpacked = j.rt.Engine.Packed(m.Body, j.rt.Engine.Memory(memory.OwnerOf(j.cb.ID)))
	attempt := j.pollAgain("", call)
	attempt.Kind, attempt.Call = callback.AttemptPolled, polled
	return attempt
}

// pollAgain returns an attempt after which the upstream is asked again.
func (j *job) pollAgain(reason string, call *upstream.Call) callback.Attempt {
	p := j.h.Poll
	wait, longest := time.Duration(p.every()), max(time.Duration(p.Longest), time.Duration(p.every()))
	for range min(j.cb.Job.Attempts, 32) {
		wait = min(2*wait, longest)
	}
	if asked := asksFor(call); asked > 0 {
		wait = asked
	}
	return callback.Attempt{Kind: callback.AttemptRetry, RetryAt: callback.At(j.rt.Engine.Now().Add(wait)), Error: reason}
}
