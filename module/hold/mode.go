package hold

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

// given is an option together with whether it is given.
type given struct {
	option string
	given  bool
}

// checkMode refuses options that mean nothing in the mode.
func (h *Handler) checkMode() error {
	var senseless []given
	why := ""
	switch h.Mode {
	case modeHold:
		why = "callback hold has a client that waits"
		senseless = []given{
			{"then", h.Then != nil}, {"deliver", h.Deliver != nil},
			{"attempt_timeout", h.AttemptTimeout != 0}, {"retry_unsafe", h.RetryUnsafe},
		}
	case modePark:
		why = "callback park has a client that does not wait"
		senseless = []given{{"on_timeout", h.OnTimeout != ""}, {"on_disconnect", h.OnDisconnect != "" && h.OnDisconnect != "keep"}}
	case modeDefer:
		why = "callback defer has no callback URL: its upstream answers with its ordinary response"
		senseless = append(h.callOptions(), []given{
			{"call", h.Call != nil}, {"poll", h.Poll != nil}, {"fetch", h.Fetch != nil}, {"on_timeout", h.OnTimeout != ""}, {"on_disconnect", h.OnDisconnect != "" && h.OnDisconnect != "keep"},
		}...)
	}
	for _, s := range senseless {
		if s.given {
			return fmt.Errorf("%s: %s; leave the option out%s", s.option, why, h.orDirective(s.option))
		}
	}
	if h.Multiple && h.Then != nil {
		return errors.New("multiple: the block then runs for one call only; leave one of the two out")
	}
	return nil
}

// orDirective says where an option stands that is the name of one of Caddy's directives, too.
func (h *Handler) orDirective(option string) string {
	if h.Mode == modeDefer && slices.Contains([]string{"header", "redir", "respond"}, option) {
		return ", or, if the directive is meant, put it into then { ... }"
	}
	return ""
}

// endsWithClient says why options that let a callback outlive its client make no sense.
const endsWithClient = "with a block call the client's own request goes on after the callback, so the callback ends with the client; what is to go on without its client is callback park with call and then"

// checkStep refuses options by which the callback would outlive the client, if the client's
// own request goes on after the callback.
func (h *Handler) checkStep() error {
	if !h.isStep() {
		return nil
	}
	for _, s := range []given{
		{"on_timeout", h.parksAtTimeout()}, {"on_disconnect", h.OnDisconnect == "keep"}, {"multiple", h.Multiple},
	} {
		if s.given {
			return fmt.Errorf("%s: %s", s.option, endsWithClient)
		}
	}
	return nil
}

// callOptions are the options that are about calls.
func (h *Handler) callOptions() []given {
	return []given{
		{"state_query", h.StateQuery != ""}, {"inject", h.Inject != nil}, {"ack", h.Ack != nil || h.AckMatch != nil}, {"methods", h.Methods != nil},
		{"respond", h.Respond != nil}, {"header", h.ReplyHeaders != nil}, {"redir", h.Redirect != nil}, {"redir_failed", h.RedirectFailed != nil}, {"redir_late", h.RedirectLate != nil}, {"ask", h.Ask != ""},
		{"require", h.Require != nil}, {"failed", h.Failed != nil}, {"progress", h.Progress != nil},
		{"succeeded", h.Succeeded != nil}, {"result", h.Result != ""}, {"on_conflict", h.OnConflict != ""},
		{"error_code", h.ErrorCode != nil}, {"error_text", h.ErrorText != nil}, {"document_statuses", h.DocumentStatuses != nil},
		{"failed_body", h.FailedBody}, {"confirm", h.Confirm != nil}, {"retryable", h.Retryable != nil}, {"multiple", h.Multiple}, {"key", h.Keys != nil},
		{"use_body", h.UseBody != nil},
	}
}

// checkBlocks makes sure that the blocks and the name that are needed are given.
func (h *Handler) checkBlocks() error {
	switch {
	case h.Mode == modeDefer && h.Then == nil:
		return errors.New("it needs a block then { ... }: what runs in the background cannot be what follows in the route")
	case h.Mode == modePark && h.Then != nil && h.Call == nil:
		return errors.New("then: it runs after the callback of a call in the background; put that call into a block call { ... }")
	case (h.Poll != nil || h.Fetch != nil) && h.Name == "":
		return errors.New("poll and fetch need a name: after a restart, background work is found by the directive's name; add the option name")
	case h.background() && h.Name == "":
		return errors.New("it needs a name: after a restart, background work is found by the directive's name; add the option name")
	case !h.background() && (h.AttemptTimeout != 0 || h.RetryUnsafe):
		return errors.New("attempt_timeout and retry_unsafe are about background work, and there is none without a block call { ... }; leave them out")
	}
	if h.Deliver != nil && h.Name == "" {
		return h.Deliver.checkName()
	}
	return nil
}

func (h *Handler) checkCorrelation() error {
	c := h.CorrelationID
	if c == nil {
		return nil
	}
	if c.From != fromRequest && c.From != fromAck {
		return fmt.Errorf("correlation_id: %q is not known; write request or ack", c.From)
	}
	if err := callback.CheckLocation(c.Location); err != nil {
		return fmt.Errorf("correlation_id: %w", err)
	}
	switch {
	case c.From == fromAck && !ackHas(c.In):
		return fmt.Errorf("correlation_id: an ack has no %s; write header, json or xml", c.In)
	case c.From == fromAck && h.Mode == modeDefer:
		return errors.New("correlation_id: callback defer has no ack; write request")
	case c.From == fromRequest && callback.NewWire(cmp.Or(h.HeaderPrefix, callback.DefaultHeaderPrefix)).Speaks(c.Name) && c.In == inject.Header:
		return fmt.Errorf("correlation_id: header %s is one that clients cannot set; choose another name", c.Name)
	}
	return nil
}

func (h *Handler) checkAsk() error {
	if h.Ask == "" {
		return nil
	}
	return config.CheckPath(h.Ask)
}

func (h *Handler) checkDelivery() error {
	if h.Deliver == nil {
		return nil
	}
	for _, check := range []func() error{h.Deliver.Check, h.Deliver.CheckWhole} {
		if err := check(); err != nil {
			return fmt.Errorf("deliver: %w", err)
		}
	}
	return nil
}

// checkProgress makes sure that some calls are not the answer yet, if those are to be
// delivered. It is called when all options are read, because what says it may be the last.
func (h *Handler) checkProgress() error {
	switch {
	case h.Deliver == nil || !h.Deliver.Progress:
		return nil
	case h.Mode == modeDefer:
		return errors.New("deliver: progress: callback defer has no callback URL, so there are no calls; leave it out")
	case h.Progress == nil && (h.Failed == nil || h.Succeeded == nil):
		return errors.New("deliver: progress: each call is the answer; say which ones are not, as in: progress json status processing")
	}
	return nil
}

// checkDeliveryHeaders makes sure that no header of a delivery is a wire header.
func (h *Handler) checkDeliveryHeaders() error {
	if h.Deliver == nil {
		return nil
	}
	if err := h.Deliver.CheckWire(callback.NewWire(cmp.Or(h.HeaderPrefix, callback.DefaultHeaderPrefix))); err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	return nil
}

// NeedsName reports whether the directive is found by its name, which must then be
// unique.
func (h *Handler) NeedsName() bool {
	return h.background() || h.Poll != nil || h.Fetch != nil || h.Deliver != nil && h.Name != ""
}
