package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-callback/caddy-callback/module/api"
	"github.com/caddy-callback/caddy-callback/module/desk"
)

func watchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch [<id> | [--phase <phase>] [--name <name>] [--correlation-id <id>]]",
		Short: "Prints what happens to a callback until it has ended, or to all that match until Ctrl+C",
		Long: `
Prints what happens to a callback until it has ended, or to all callbacks that match
until Ctrl+C, one line each. It goes on after Caddy was reloaded or started anew, and
says so if it may have missed something.
`,
		Args: cobra.MaximumNArgs(1),
		RunE: run((*adminClient).watch),
	}
	for _, f := range filterFlags {
		if f.parameter == "phase" || f.parameter == "name" || f.parameter == "correlationId" {
			cmd.Flags().String(f.flag, "", f.usage)
		}
	}
	return cmd
}

const (
	// watchWait is how long one request waits for a change, in seconds, where the server has
	// no stream. It is shorter than the time that Caddy gives requests to the admin endpoint
	// when the configuration changes.
	watchWait = "5"
	// watchEvery is how often the list is fetched there.
	watchEvery = time.Second
	// comesBackAfter is how long it is waited before a stream that has ended is opened again,
	// and comesBackWithin for how long that is tried.
	comesBackAfter  = 200 * time.Millisecond
	comesBackWithin = time.Minute
)

func (c *adminClient) watch(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	query := make(url.Values)
	for _, f := range filterFlags {
		if c.set(f.flag) {
			query.Set(f.parameter, c.text(f.flag))
		}
	}
	if len(args) == 1 && len(query) > 0 {
		return errors.New("either an id or filters say which callbacks are meant; leave one of the two out")
	}
	w := watcher{c: c, query: query}
	if len(args) == 1 {
		w.id = args[0]
		query.Set("id", w.id)
	}
	err := w.watch(ctx)
	if ctx.Err() != nil {
		// An interrupt is the normal end of watching.
		return nil
	}
	return err
}

// watcher prints changes.
type watcher struct {
	c     *adminClient
	query url.Values
	// id is that of the one callback that is watched until its end; empty for all.
	id string
	// last is the id of the last event.
	last string
}

// errEnded says that the callback that was watched has ended.
var errEnded = errors.New("the callback has ended")

// watch prints changes as they happen. It goes on when the stream ends, as it does when the
// configuration changes, and polls where there is none.
func (w *watcher) watch(ctx context.Context) error {
	lost := time.Time{}
	for begun := false; ; {
		opened, err := w.follow(ctx)
		switch {
		case errors.Is(err, errEnded):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case opened && isAnswer(err):
			return err
		case opened:
			begun, lost = true, time.Time{}
		case isAnswer(err) && !begun:
			return w.poll(ctx, err)
		case !begun || !lost.IsZero() && time.Since(lost) > comesBackWithin:
			return err
		case lost.IsZero():
			lost = time.Now()
			w.note("The admin endpoint does not answer; trying again for a minute.")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(comesBackAfter):
		}
	}
}

// isAnswer reports whether an error is one that the server has answered with.
func isAnswer(err error) bool { return errors.As(err, new(refusal)) }

// follow prints the changes of one stream. It reports whether there was one.
func (w *watcher) follow(ctx context.Context) (opened bool, err error) {
	header := make(http.Header)
	if w.last != "" {
		header.Set("Last-Event-ID", w.last)
	}
	res, err := caddycmd.AdminAPIRequest(w.c.address, http.MethodGet, api.Path+"/events?"+w.query.Encode(), header, nil)
	if err != nil {
		return false, w.c.explain(err)
	}
	defer func() { _ = res.Body.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = res.Body.Close() })
	defer stop()
	if w.id != "" {
		// It may have changed before the stream began.
		if err := w.showOne(); err != nil {
			return true, err
		}
	}
	events := newEventReader(res.Body)
	for {
		e, err := events.next()
		if err != nil {
			return true, nil
		}
		w.last = e.id
		if err := w.tell(e); err != nil {
			return true, err
		}
	}
}

// showOne prints the callback as it is, if that was not printed.
func (w *watcher) showOne() error {
	var cb listedCallback
	if _, err := w.c.do(http.MethodGet, apiPathOf(w.id), nil, nil, &cb); err != nil {
		return err
	}
	if w.last == "" || cb.Phase != "waiting" {
		document, err := json.Marshal(watched{At: time.Now().UTC().Format(time.RFC3339Nano), What: "seen", ID: cb.ID, Phase: cb.Phase, Name: cb.Name, CorrelationID: cb.CorrelationID})
		if err != nil {
			return err
		}
		w.print(document)
	}
	return endOf(cb.Phase)
}

func endOf(phase string) error {
	if phase != "waiting" {
		return errEnded
	}
	return nil
}

// watched is a change as it is printed.
type watched struct {
	At            string `json:"at"`
	What          string `json:"what"`
	ID            string `json:"id"`
	Phase         string `json:"phase"`
	Name          string `json:"name,omitempty"`
	CorrelationID string `json:"correlationId"`
}

// tell prints an event of the stream.
func (w *watcher) tell(e event) error {
	switch e.name {
	case desk.EventChange:
		phase := w.print(e.data)
		if w.id != "" {
			return endOf(phase)
		}
	case desk.EventLost:
		w.note("Changes before this one are missing.")
		if w.id != "" {
			return w.showOne()
		}
	}
	return nil
}

// print prints a change, as one line, and returns the phase after it.
func (w *watcher) print(document []byte) (phase string) {
	var d watched
	if json.Unmarshal(document, &d) != nil {
		return ""
	}
	at, err := time.Parse(time.RFC3339, d.At)
	if err != nil {
		at = time.Now()
	}
	_ = w.c.report(append(document, '\n'), "%s  %s  %s  %s  %s %s", at.Local().Format(time.TimeOnly), d.ID, d.What, d.Phase, d.Name, d.CorrelationID)
	return d.Phase
}

// note prints a line for people that is no change.
func (w *watcher) note(text string) { _, _ = fmt.Fprintln(w.c.cmd.ErrOrStderr(), text) }

// poll prints changes where there is no stream because of err: the server is of an earlier
// release, or too many listen.
func (w *watcher) poll(ctx context.Context, err error) error {
	if len(w.query) > 0 && w.id == "" {
		return err
	}
	if w.id != "" {
		return w.c.watchOne(ctx, w.id)
	}
	w.note("There is no stream of changes; looking at the newest 1000 callbacks every second. " + err.Error())
	return w.c.watchAll(ctx)
}

// watchOne prints the changes of one callback, until it has ended.
func (c *adminClient) watchOne(ctx context.Context, id string) error {
	wait := make(http.Header)
	for last := ""; ; {
		var cb listedCallback
		answer, err := c.doUntil(ctx, http.MethodGet, apiPathOf(id), wait, &cb)
		if err != nil {
			return err
		}
		if now := cb.Phase + strconv.Itoa(cb.Calls); now != last {
			c.printChange(&cb, answer)
			last = now
		}
		if cb.Phase != "waiting" {
			return nil
		}
		wait.Set("Prefer", "wait="+watchWait)
	}
}

// watchAll prints the changes of the newest callbacks, until the context ends.
func (c *adminClient) watchAll(ctx context.Context) error {
	var known map[string]string
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		var page struct {
			Callbacks []json.RawMessage `json:"callbacks"`
		}
		if _, err := c.doUntil(ctx, http.MethodGet, api.Path+"?limit=1000", nil, &page); err != nil {
			return err
		}
		now := make(map[string]string)
		for i := len(page.Callbacks) - 1; i >= 0; i-- {
			var cb listedCallback
			if json.Unmarshal(page.Callbacks[i], &cb) != nil {
				continue
			}
			now[cb.ID] = cb.Phase + strconv.Itoa(cb.Calls)
			if known != nil && known[cb.ID] != now[cb.ID] {
				c.printChange(&cb, append(page.Callbacks[i], '\n'))
			}
		}
		known = now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// printChange prints one change as one line.
func (c *adminClient) printChange(cb *listedCallback, answer []byte) {
	_ = c.report(answer, "%s  %s  %s  calls: %d  %s %s", time.Now().Format(time.TimeOnly), cb.ID, cb.Phase, cb.Calls, cb.Name, strings.TrimSpace(cb.ErrorText))
}
