package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// checkHealth makes sure that requests can have a path, and that it is the site's to give.
func checkHealth(path string) error {
	switch {
	case path == "":
		return nil
	case !strings.HasPrefix(path, "/"):
		return fmt.Errorf("%q is not a path; write one that begins with a slash, like /healthz", path)
	case strings.ContainsAny(path, "?#%*{}\\ "):
		return fmt.Errorf("%q is not one path; write it as it is, without query, escapes, wildcards and placeholders", path)
	case callback.ParsePath(path).Resource != callback.OfSite:
		return fmt.Errorf("%s is one of callback_server's own paths; write another one, like /healthz", path)
	}
	return nil
}

// serveHealth says whether requests are taken that make a callback. It shows nothing that
// a stranger could not find out with such a request.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		answer.LeaveUnread(w, r)
		problem.NotAllowed(readMethods).Write(w)
		return
	}
	status, word := http.StatusOK, "ok"
	if err := s.takesWork(r.Context()); err != nil {
		p := answer.ProblemOf(err)
		status, word = http.StatusServiceUnavailable, wordFor(err)
		w.Header().Set("Retry-After", strconv.Itoa(int(max(p.RetryAfter, problem.Unavailable.RetryAfter).Seconds())))
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(word)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, word)
}

// errExiting says that Caddy exits.
var errExiting = errors.New("the server is shutting down")

// takesWork returns nil if a request that makes a callback would be taken, else why not. It
// does not wait for a store that is being opened.
func (s *Server) takesWork(ctx context.Context) error {
	atOnce, cancel := context.WithCancel(ctx)
	cancel()
	rt, err := s.app.Use(atOnce)
	if err != nil {
		return err
	}
	defer rt.Release()
	if rt.Exiting() {
		return errExiting
	}
	return rt.Engine.TakesWork()
}

// wordFor says in a word why no work is taken.
func wordFor(err error) string {
	switch {
	case errors.Is(err, errExiting):
		return "exiting"
	case errors.Is(err, engine.ErrBusy):
		return "busy"
	case errors.Is(err, store.ErrFull):
		return "full"
	}
	return "unavailable"
}
