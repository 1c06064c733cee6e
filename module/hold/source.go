package hold

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/upstream"
)

// maxPollRedirects is how many redirects are followed when the upstream is asked.
const maxPollRedirects = 5

// source is where something is asked for: through routes, at a path that is known or found.
type source struct {
	routes caddyhttp.RouteList
	to     target
	// hosts are those that a URL may name.
	hosts []string
}

// errElsewhere says that a URL names a host that is not asked.
var errElsewhere = errors.New("the URL names another host than the one that is asked; if it is the same, add it to allow")

// maxTarget bounds path and query that the upstream is asked for, in bytes. They are kept in the
// record.
const maxTarget = 8 << 10

// reference returns the path and query of a URL that was found in what came from base.
func (s *source) reference(text string, base *url.URL) (string, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Opaque != "" || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("it is no URL")
	}
	if u.Host != "" && !slices.Contains(s.hosts, strings.ToLower(u.Hostname())) {
		return "", errElsewhere
	}
	if u.Host != "" && u.Path == "" {
		u.Path = "/"
	}
	u = (&url.URL{Scheme: "http", Host: "upstream", Path: base.Path, RawPath: base.RawPath}).ResolveReference(&url.URL{
		Path: u.Path, RawPath: u.RawPath, RawQuery: escapeQuery(u.RawQuery), ForceQuery: u.ForceQuery,
	})
	// Two slashes at the beginning would read as a host to some.
	to := "/" + strings.TrimLeft(u.RequestURI(), "/")
	if len(to) > maxTarget {
		return "", fmt.Errorf("it is longer than %d bytes", maxTarget)
	}
	return to, nil
}

// escapeQuery escapes in a query what cannot stand in the first line of a request.
func escapeQuery(query string) string {
	var b strings.Builder
	for _, c := range []byte(query) {
		if c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// target is a path with a query, and placeholders in either.
type target string

// targetPlaceholders are the placeholders that a target may hold.
var targetPlaceholders = []string{"{http.callback.correlation_id}", "{http.callback.id}", "{http.callback.name}"}

// errLeadsElsewhere says that a correlation id stands where it would lead to another path.
var errLeadsElsewhere = errors.New("with the callback's correlation id, . or .., the path would be another")

// of returns the target for a callback.
func (t target) of(r *callback.Record) (string, error) {
	path, query, found := strings.Cut(string(t), "?")
	put := func(text string, escape func(string) string) string {
		return strings.NewReplacer(targetPlaceholders[0], escape(r.CorrelationID), targetPlaceholders[1], r.ID.String(), targetPlaceholders[2], escape(r.Name)).Replace(text)
	}
	path = put(path, url.PathEscape)
	switch {
	case hasDots(path):
		return "", errLeadsElsewhere
	case !found:
		return path, nil
	}
	return path + "?" + put(query, url.QueryEscape), nil
}

// hasDots reports whether a path has a segment that stands for another one.
func hasDots(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(segment string) bool { return segment == "." || segment == ".." })
}

// check makes sure that a target is a path.
func (t target) check() error {
	sample := string(t)
	for _, placeholder := range targetPlaceholders {
		sample = strings.ReplaceAll(sample, placeholder, "0")
	}
	u, err := url.ParseRequestURI(sample)
	switch {
	case !strings.HasPrefix(sample, "/"), err != nil, u.Host != "", strings.ContainsAny(sample, " #"), hasDots(u.Path):
		return fmt.Errorf("to: %q is not a path; write one like /v1/jobs/{http.callback.correlation_id}, and put the host into the block", string(t))
	case strings.ContainsAny(sample, "{}"):
		return fmt.Errorf("to: %q has a placeholder that means nothing here; there are %s", string(t), strings.Join(targetPlaceholders, ", "))
	}
	return nil
}

// ask sends a GET request through the routes, and follows redirects to the same host. The call
// must be closed.
func (s *source) ask(ctx context.Context, j *job, to string, judge upstream.Judge) (*upstream.Call, error) {
	for range maxPollRedirects + 1 {
		r, _, err := upstream.NewRequest(ctx, j.h.server, &callback.Request{Method: http.MethodGet, URI: to, Header: j.cb.Trace})
		if err != nil {
			return nil, err
		}
		scope := scopeFor(r, j.rt)
		scope.set(j.cb)
		if j.cb.Call != nil {
			scope.setCall(j.cb.Name, j.cb.Call)
		}
		room := upstream.Room{Kept: j.h.app.MaxBodySize, Passed: -1, Drained: j.h.app.MaxBodySize}
		furnish(&room, j.rt.Engine, j.cb.ID)
		call := upstream.Run(ctx, s.routes, r, room, judge, nil)
		location := ""
		if call.Outcome() == upstream.Answered && call.Status() >= 300 && call.Status() <= 399 {
			location = call.Message().Header.Get("Location")
		}
		if location == "" {
			return call, nil
		}
		call.Close()
		if to, err = s.reference(location, r.URL); err != nil {
			return nil, fmt.Errorf("the upstream redirects: %w", err)
		}
	}
	return nil, errors.New("the upstream redirects too often")
}

// keepAll keeps every answer whole.
type keepAll struct{}

// Head implements upstream.Judge.
func (keepAll) Head(int, http.Header) upstream.Fate { return upstream.Kept }

// Body implements upstream.Judge.
func (keepAll) Body(*upstream.Answer) upstream.Fate { return upstream.Kept }

// unanswered returns why there is no answer that says anything, "" if there is one, and whether
// to ask again.
func unanswered(call *upstream.Call) (reason string, again bool) {
	switch outcome := call.Outcome(); {
	case outcome == upstream.Unhandled:
		return "nothing has answered in the block", false
	case outcome != upstream.Answered || call.Broken():
		return "the upstream could not be reached, or did not answer in time", true
	}
	switch status := call.Status(); {
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		return "the upstream answered " + strconv.Itoa(status), true
	}
	return "", false
}

// statusOf returns the status of the upstream's answer; 0 if there is none.
func statusOf(call *upstream.Call) int {
	if call.Outcome() != upstream.Answered {
		return 0
	}
	return call.Status()
}

// asksFor returns how long an upstream asks to be left alone; 0 if it does not say.
func asksFor(call *upstream.Call) time.Duration {
	if call.Outcome() != upstream.Answered {
		return 0
	}
	return deliver.RetryAfter(call.Message().Header.Get("Retry-After"), time.Now())
}

// failedSource is the attempt after which there is nothing to ask for any more.
func failedSource(err error) callback.Attempt {
	return callback.Attempt{Kind: callback.AttemptFailed, Code: failureUpstream, Error: problem.Sentence(err)}
}

// failedWith is failedSource for a status that is no answer.
func failedWith(status int, when string) callback.Attempt {
	code := strconv.Itoa(status)
	return callback.Attempt{Kind: callback.AttemptFailed, Code: code, Error: "The upstream has answered with status " + code + " " + when + "."}
}
