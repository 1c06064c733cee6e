package callback

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// said is what a call means: a success, unless one of these is set.
type said struct {
	// progress: it is not the answer yet. unrecognized is then what it has where a
	// success would say so, if it means neither success nor failure.
	progress     bool
	unrecognized *string
	failure      *Failure
}

// progressStatus is the status that a delivery has which is no result, but progress. Another
// server may deliver to a callback URL.
var progressStatus = strconv.Itoa(http.StatusAccepted)

// read returns what a call means, or what is wrong with its content.
func (r *Record) read(p *Policy, c *Call) (said, Fault) {
	if p.Confirm != nil && (!c.byHand || c.Choice != "") {
		return p.Confirm.chosen(c)
	}
	header, _ := c.whole()
	ids, statuses := header.Values(p.wire.CorrelationID), header.Values(p.wire.Status)
	switch {
	case slices.ContainsFunc(ids, func(id string) bool { return !sameCorrelation(r.CorrelationID, id) }):
		return said{}, Fault{Slug: "correlation-mismatch", Detail: p.wire.CorrelationID + " does not belong to this callback."}
	case len(ids) == 0 && p.RequireCorrelationID:
		return said{}, Fault{Slug: "missing-header", Detail: p.wire.CorrelationID + " is required."}
	case len(statuses) == 0 && c.Suffix != SuffixFailed && header.Get(p.wire.ResultStatus) == progressStatus:
		return said{progress: true}, Fault{}
	case len(statuses) == 0 && p.RequireStatus:
		return said{}, Fault{Slug: "missing-header", Detail: p.wire.Status + " is required; it is Ok or Failed."}
	}
	failed, valid := readStatus(statuses)
	switch {
	case !valid:
		return said{}, Fault{Slug: "invalid-status", Detail: p.wire.Status + " must be Ok or Failed, and not both."}
	case failed || c.Suffix == SuffixFailed:
		return said{failure: p.failure(c)}, Fault{}
	}
	said, err := p.judge(c)
	if err != nil {
		return said, unreadable(err)
	}
	return said, Fault{}
}

// judge returns what the content of a call means. The order is the same for every call:
// a failure, then progress, then, if the policy says what a success is, that. It is an
// error if the order comes to a value that cannot be read: what is not understood is
// never a success.
func (p *Policy) judge(c *Call) (said, error) {
	if p.Failed == nil && p.Progress == nil && p.Succeeded == nil {
		return said{}, nil
	}
	m := c.judged()
	switch failed, err := matches(p.Failed, c, m); {
	case err != nil:
		return said{}, err
	case failed:
		return said{failure: p.failure(c)}, nil
	}
	if progress, err := matches(p.Progress, c, m); progress || err != nil {
		return said{progress: progress}, err
	}
	if p.Succeeded == nil || c.byHand {
		return said{}, nil
	}
	switch succeeded, err := matches(p.Succeeded, c, m); {
	case succeeded || err != nil:
		return said{}, err
	case p.Failed == nil:
		return said{failure: p.failure(c)}, nil
	}
	word := wordIn(p.Succeeded, c, m)
	return said{progress: true, unrecognized: &word}, nil
}

// unreadableCall is the fault of a call whose meaning cannot be read.
var unreadableCall = Fault{Slug: "unreadable"}

// IsUnreadable reports whether it is the meaning of the call that cannot be read.
func (f Fault) IsUnreadable() bool { return f.Slug == unreadableCall.Slug }

// unreadable returns the fault of a call whose meaning cannot be read.
func unreadable(err error) Fault {
	f := unreadableCall
	f.Detail = "What the call means cannot be read: " + err.Error() + "."
	if errors.Is(err, inject.ErrPacked) || errors.Is(err, inject.ErrCharset) {
		f.Status = http.StatusUnsupportedMediaType
	}
	return f
}

// readStatus reads the status header, which may be absent, or there several times with
// the same value.
func readStatus(values []string) (failed, valid bool) {
	switch {
	case len(values) == 0:
		return false, true
	case slices.ContainsFunc(values, func(v string) bool { return !strings.EqualFold(v, values[0]) }):
		return false, false
	}
	failed = strings.EqualFold(values[0], StatusFailed)
	return failed, failed || strings.EqualFold(values[0], StatusOk)
}

// failure reads the failure from a call that means Failed. A document status that the
// policy does not know becomes the technical status.
func (p *Policy) failure(c *Call) *Failure {
	text := func(at *inject.Location, name string) string {
		if at != nil {
			// A value that cannot be read is left out: the call means Failed in any
			// case.
			value, _ := c.judged().Get(*at)
			return c.tell(value, maxText)
		}
		lines, _ := c.whole()
		return c.tell(lines.Get(name), maxText)
	}
	f := &Failure{
		DocumentStatus: text(nil, p.wire.DocumentStatus),
		ErrorCode:      text(p.ErrorCode, p.wire.ErrorCode),
		ErrorText:      text(p.ErrorText, p.wire.ErrorText),
	}
	if !slices.Contains(p.DocumentStatuses, f.DocumentStatus) {
		f.DocumentStatus, f.TechnicalStatus = StatusFailed, f.DocumentStatus
	}
	return f
}
