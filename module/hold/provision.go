package hold

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Provision checks the configuration, and compiles what requests and calls need of it.
func (h *Handler) Provision(ctx caddy.Context) (err error) {
	h.log = ctx.Logger()
	if h.app, err = app.Of(ctx); err != nil {
		return err
	}
	h.server, _ = ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if err := h.app.Claim(h.server, h.Name, h); err != nil {
		return fmt.Errorf("callback %s: %w", h.Mode, err)
	}
	h.app.Stands(h.server, h)
	urls := []app.Text{{Option: "base_url", Text: h.BaseURL}, {Option: "status_url", Text: h.StatusURL}}
	h.setDefaults()
	for _, step := range []struct {
		option string
		do     func() error
	}{
		{"", func() error { return app.Because(h.checkURLs(), urls...) }},
		{"", h.Check},
		{"", func() error { return app.CheckKeysOf(h.Name, h.Keys, h.app.Keys) }},
		{"", h.compilePolicy},
		{"ack: ", h.compileAcks},
		{"inject: ", h.compileInjections},
		{"base_url: ", func() error { return h.app.AddBases(h.BaseURL, h.StatusURL) }},
		{"deliver: ", h.provisionDelivery},
		{"", func() error { return h.provisionBlocks(ctx) }},
		{"", func() error { return h.checkWriteTimeout(ctx) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("callback %s: %s%w", h.Mode, step.option, err)
		}
	}
	h.onlyHead, h.onlyBody = byBody(h.Only)
	h.app.Mention(h.Mode, h.Name, h.placeholderKeys())
	if h.Mode != modeDefer {
		h.app.AwaitCalls("callback " + h.Mode)
	}
	h.readsBody = h.asks.ofBody || h.injectsInto != "" || h.background() || h.Call != nil || h.CorrelationID.inBody(fromRequest) ||
		slices.ContainsFunc(h.deliveryPlaces(), inject.Location.InBody)
	return nil
}

// compilePolicy makes the policy, with the placeholders replaced that are known when the
// configuration is loaded.
func (h *Handler) compilePolicy() error {
	repl := caddy.NewReplacer()
	expand := func(text string) string { return repl.ReplaceKnown(text, "") }
	h.policy = h.newPolicy(expand)
	h.compileConfirm(expand)
	h.policy.Retain, h.policy.RetainBodies = time.Duration(h.app.Retain), time.Duration(h.app.RetainBodies)
	templates, err := h.Page.load(app.Known)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	if h.policy.Page != nil {
		h.policy.Page.Templates = templates
		if err := h.policy.Page.Check(); err != nil {
			return fmt.Errorf("page: %w", err)
		}
	}
	var redirects []app.Text
	for _, r := range []struct {
		option string
		to     *Redirect
	}{{"redir", h.Redirect}, {"redir_failed", h.RedirectFailed}, {"redir_late", h.RedirectLate}} {
		if r.to != nil {
			redirects = append(redirects, app.Text{Option: r.option, Text: r.to.URL})
		}
	}
	return app.Because(h.policy.Compile(), redirects...)
}

// insideCall is the context key that tells a directive that it is inside the block call
// of another.
type insideCall struct{}

// provisionBlocks provisions the blocks, and registers the directive by its name if it
// must be found by that.
func (h *Handler) provisionBlocks(ctx caddy.Context) error {
	if h.Mode != modeHold && ctx.Value(insideCall{}) != nil {
		return errors.New("it stands in a block call { ... }, whose upstream must answer by callback; put what runs after the callback into then { ... }")
	}
	callHosts := hostsOf(h.Call)
	if err := h.Call.Provision(ctx.WithValue(insideCall{}, true)); err != nil {
		return fmt.Errorf("call: %w", err)
	}
	if err := h.Then.Provision(ctx); err != nil {
		return fmt.Errorf("then: %w", err)
	}
	if err := h.provisionSources(ctx, callHosts); err != nil {
		return err
	}
	if h.NeedsName() {
		h.app.Register(h.Name, h)
	}
	return nil
}

// SetPlace implements app.Placed.
func (h *Handler) SetPlace(place string, inBlock int) { h.place, h.inBlock = place, inBlock }

// checkTargets makes sure that results may be sent to the URLs in the options to and
// failed_to.
func (h *Handler) checkTargets() error {
	for _, target := range []struct{ option, url string }{{"to", h.deliverTo}, {"failed_to", h.deliverFailedTo}} {
		if target.url == "" {
			continue
		}
		if err := h.deliverer.CheckURL(target.url); err != nil {
			return fmt.Errorf("%s: %w", target.option, deliver.WithCure(err))
		}
	}
	return nil
}

// deliveryPlace returns the place where the client's request holds its URL, nil for none.
func (h *Handler) deliveryPlace() *inject.Location {
	if h.Deliver == nil {
		return nil
	}
	return h.Deliver.place()
}

// deliveryPlaces returns the places where the client's request holds its URLs.
func (h *Handler) deliveryPlaces() (places []inject.Location) {
	if h.Deliver == nil {
		return nil
	}
	for _, at := range []*inject.Location{h.Deliver.place(), h.Deliver.FailedFrom} {
		if at != nil {
			places = append(places, *at)
		}
	}
	return places
}

// provisionDelivery compiles the rules of delivery, and puts our URLs into the places of the
// client's.
func (h *Handler) provisionDelivery() (err error) {
	if h.Deliver == nil {
		return nil
	}
	h.deliverFrom, h.deliverTo = h.deliveryPlace(), app.Known(h.Deliver.To)
	h.deliverFailedTo = app.Known(h.Deliver.FailedTo)
	h.deliverer, err = h.app.NewDeliverer(h.Deliver.DeliveryRules, h.Deliver.within(h.deliverTo, h.deliverFailedTo))
	if err != nil {
		return err
	}
	// Check again at the end, when the base URLs of all directives are known.
	h.app.WhenComplete(func() error {
		if err := h.checkTargets(); err != nil {
			return fmt.Errorf("callback %s: deliver: %w", h.Mode, err)
		}
		return nil
	})
	if err := h.checkTargets(); err != nil {
		return err
	}
	return h.replaceURLs()
}

// replaceURLs injects the callback URL into the place where the client's request holds its
// URL, and the URL for failures into the place of that for failures.
func (h *Handler) replaceURLs() error {
	if h.Mode == modeDefer {
		return nil
	}
	for _, replaced := range []struct {
		at  *inject.Location
		url string
	}{{h.deliverFrom, "url"}, {h.Deliver.FailedFrom, "failed_url"}} {
		if replaced.at == nil {
			continue
		}
		err := h.addInjection(Injection{In: replaced.at.In, Name: replaced.at.Name, Value: "{" + callback.PlaceholderPrefix + replaced.url + "}"})
		if err != nil {
			return err
		}
	}
	return nil
}

// placeholderKeys returns the keys of the placeholders that are injected.
func (h *Handler) placeholderKeys() (keys []string) {
	for _, i := range h.injections {
		keys = append(keys, i.value.Keys()...)
	}
	return keys
}

// background reports whether the request is carried out in the background.
func (h *Handler) background() bool {
	return h.Mode == modeDefer || h.Mode == modePark && h.Call != nil
}

// firstBlock returns the block that background work begins with.
func (h *Handler) firstBlock() callback.Block {
	if h.Mode == modeDefer {
		return callback.ThenBlock
	}
	return callback.CallBlock
}

// block returns the routes of a block, nil if there is none.
func (h *Handler) block(b callback.Block) caddyhttp.RouteList {
	if b == callback.CallBlock {
		return h.Call
	}
	return h.Then
}

// usesBody reports whether the call's body is the answer, or the body of a request that
// goes on after the call.
func (h *Handler) usesBody() bool { return h.UseBody == nil || *h.UseBody }

// correlates reports whether the upstream's ack names the correlation id.
func (h *Handler) correlates() bool { return h.CorrelationID != nil && h.CorrelationID.From == fromAck }

// inBody reports whether the correlation id is read from the body of the given message,
// fromRequest or fromAck.
func (c *Correlation) inBody(from string) bool { return c != nil && c.From == from && c.InBody() }

func (h *Handler) setDefaults() {
	h.BaseURL = strings.TrimSuffix(cmp.Or(config.Base(app.Known(h.BaseURL)), h.app.BaseURL), "/")
	h.StatusURL = strings.TrimSuffix(cmp.Or(config.Base(app.Known(h.StatusURL)), h.app.StatusURL, h.BaseURL), "/")
	h.HeaderPrefix = cmp.Or(h.HeaderPrefix, h.app.HeaderPrefix)
	h.InjectOff = h.InjectOff || h.app.InjectOff
	if h.isStep() {
		h.OnDisconnect = cmp.Or(h.OnDisconnect, "close")
	}
	h.OnDisconnect = cmp.Or(h.OnDisconnect, "keep")
	h.Errors = cmp.Or(h.Errors, "problem")
	h.Timeout = caddy.Duration(cmp.Or(time.Duration(h.Timeout), DefaultTimeout))
	lifetime := 24 * time.Hour
	switch {
	case h.isStep():
		lifetime = time.Duration(h.Timeout)
	case h.Mode == modeHold:
		lifetime = max(time.Hour, 10*time.Duration(h.Timeout))
	}
	h.ExpiresIn = caddy.Duration(cmp.Or(time.Duration(h.ExpiresIn), lifetime))
}

// newPolicy returns the policy of the directive. expand replaces the placeholders that are
// known when the configuration is loaded; those of the callback are left for the reply.
func (h *Handler) newPolicy(expand func(string) string) *callback.Policy {
	p := &callback.Policy{
		BaseURL:      h.BaseURL,
		StatusURL:    h.StatusURL,
		HeaderPrefix: h.HeaderPrefix,
		StateQuery:   h.StateQuery,
		Methods:      h.Methods,
		CopyHeaders:  h.CopyHeaders,
		AckIsResult:  !h.usesBody() && h.Then == nil && (h.Call == nil || h.Mode == modePark),
		Then:         h.Mode == modePark && h.Then != nil,
		Ask:          h.Ask,
	}
	if h.Mode == modeDefer {
		// There is no callback URL, so there are no calls.
		p.Methods = []string{}
	}
	h.apply(p)
	p.Fetch = h.Fetch != nil
	p.Page = h.Page.stored(expand, h.Message)
	if h.Mode != modeDefer {
		p.Confirm = h.Confirm.stored(expand)
	}
	p.FailedBody = p.FailedBody || h.answersAck()
	if h.Deliver != nil {
		p.Shape = h.Deliver.stored()
	}
	if h.Respond != nil {
		p.Respond = &callback.Respond{Status: h.Respond.Status, Body: expand(h.Respond.Body)}
	}
	redirect := func(r *Redirect) *callback.Redirect {
		if r == nil {
			return nil
		}
		return &callback.Redirect{URL: expand(r.URL), Status: r.Status}
	}
	p.Redirect, p.RedirectFailed, p.RedirectLate = redirect(h.Redirect), redirect(h.RedirectFailed), redirect(h.RedirectLate)
	for _, name := range slices.Sorted(maps.Keys(h.ReplyHeaders)) {
		for _, value := range h.ReplyHeaders[name] {
			p.ReplyHeader = append(p.ReplyHeader, callback.Field{Name: name, Value: expand(value)})
		}
	}
	return p
}

func (h *Handler) compileInjections() error {
	h.injectsHeader = make(map[string]bool)
	for _, configured := range h.Inject {
		if err := h.addInjection(configured); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) addInjection(configured Injection) error {
	i, err := newInjection(configured)
	if err != nil {
		return err
	}
	h.injections = append(h.injections, i)
	switch i.at.In {
	case inject.Header:
		h.injectsHeader[callback.PlainHeader(i.at.Name)] = true
	case inject.Form, inject.JSON, inject.XML:
		h.injectsInto = i.at.In
	}
	return nil
}

// checkWriteTimeout refuses a server whose write timeout would cut held requests off.
func (h *Handler) checkWriteTimeout(ctx caddy.Context) error {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if ok && h.Mode == modeHold && server.WriteTimeout > 0 && server.WriteTimeout < h.Timeout {
		return fmt.Errorf("the server's write timeout (%s) would cut requests off before their timeout (%s); raise the one or lower the other",
			time.Duration(server.WriteTimeout), time.Duration(h.Timeout))
	}
	return nil
}
