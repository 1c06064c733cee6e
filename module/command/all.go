package command

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-callback/caddy-callback/module/api"
	"github.com/caddy-callback/caddy-callback/module/desk"
)

// act is what a command does to one callback or to all that match.
type act struct {
	name desk.Act
	// verb says what the command does to n callbacks, as in: This closes 3 callbacks.
	verb string
	// one does it to the callback with that id.
	one func(id string) error
	// header and body are those of the request that does it to all that match.
	header http.Header
	body   []byte
}

// addAct adds the flags of a command that acts on all callbacks that match.
func addAct(cmd *cobra.Command) *cobra.Command {
	addFilters(cmd)
	cmd.Flags().Bool("all", false, "All callbacks; without it, and without an id, a filter is needed")
	cmd.Flags().Bool("yes", false, "Do not ask before it is done to all that match")
	return cmd
}

// actOn does it to the callbacks with these ids, or else to all that match.
func (c *adminClient) actOn(ids []string, a act) error {
	query, err := c.filters()
	if err != nil {
		return err
	}
	if len(ids) > 0 {
		if len(query) > 0 || c.on("all") {
			return errors.New("either ids or filters say which callbacks are meant; leave one of the two out")
		}
		return each(ids, a.one)
	}
	if c.on("all") {
		query.Set("all", "true")
	}
	if len(query) == 0 {
		return errors.New("it is not said which callbacks are meant; give ids, or filters, or --all")
	}
	return c.actOnAll(query, a)
}

// each does it to one callback after the other, and goes on after one with which it fails.
func each(ids []string, one func(id string) error) error {
	var failed error
	for _, id := range ids {
		err := one(id)
		if err != nil && len(ids) > 1 {
			err = fmt.Errorf("%s: %w", visible(id), err)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// actOnAll does it to all callbacks that match, once somebody has confirmed their number.
func (c *adminClient) actOnAll(query url.Values, a act) error {
	n, err := c.count(query, a)
	if err != nil {
		return err
	}
	total := desk.Report{Skipped: make(map[string]int)}
	if n == 0 {
		return c.printReport(total, "No callback matches.")
	}
	if !c.on("yes") {
		if err := c.confirm(n, a); err != nil {
			return err
		}
	}
	failed := c.carryOut(query, n, a, &total)
	return errors.Join(c.printReport(total, ""), failed)
}

// count counts the callbacks that match, and makes sure that those made since then do not.
func (c *adminClient) count(query url.Values, a act) (n int, err error) {
	counting := maps.Clone(query)
	counting.Del("all")
	if a.name != desk.Redeliver && !counting.Has("phase") {
		// No others can be closed or resolved, as the API has it.
		counting.Set("phase", "waiting")
	}
	for {
		var counted struct {
			Count        int
			Before, Next string
		}
		if _, err := c.do(http.MethodGet, api.Path+"/count?"+counting.Encode(), nil, nil, &counted); err != nil {
			return 0, err
		}
		n += counted.Count
		counting.Set("createdBefore", counted.Before)
		query.Set("createdBefore", counted.Before)
		if counted.Next == "" {
			return n, nil
		}
		counting.Set("cursor", counted.Next)
	}
}

// confirm asks whether it is to be done to so many callbacks.
func (c *adminClient) confirm(n int, a act) error {
	_, _ = fmt.Fprintf(c.cmd.ErrOrStderr(), "This %s %s. Go on? [y/N] ", a.verb, callbacks(n))
	line, err := bufio.NewReader(c.cmd.InOrStdin()).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	if err != nil && line == "" {
		_, _ = fmt.Fprintln(c.cmd.ErrOrStderr())
		return errors.New("nothing was done: nobody has answered; where nobody can, write --yes")
	}
	return errors.New("nothing was done")
}

func callbacks(n int) string {
	if n == 1 {
		return "1 callback"
	}
	return strconv.Itoa(n) + " callbacks"
}

// carryOut does it to so many callbacks that match, and adds to the report what has become of
// them.
func (c *adminClient) carryOut(query url.Values, n int, a act, total *desk.Report) error {
	for {
		query.Set("expect", strconv.Itoa(n-total.Matched))
		var part desk.Report
		if _, err := c.do(http.MethodPost, api.Path+"/"+string(a.name)+"?"+query.Encode(), a.header, bytes.NewReader(a.body), &part); err != nil {
			return err
		}
		add(total, part)
		if part.Next == "" || total.Matched >= n {
			break
		}
		query.Set("cursor", part.Next)
		if !c.json {
			_, _ = fmt.Fprintf(c.cmd.ErrOrStderr(), "%d of %s\n", total.Matched, callbacks(n))
		}
	}
	if total.Failed > 0 {
		return fmt.Errorf("it has failed with %s", callbacks(total.Failed))
	}
	return nil
}

// add adds a report to another.
func add(total *desk.Report, part desk.Report) {
	total.Matched += part.Matched
	total.Done += part.Done
	total.Failed += part.Failed
	for reason, n := range part.Skipped {
		total.Skipped[reason] += n
	}
	total.Failures = append(total.Failures, part.Failures...)
}

// printReport prints what has become of the callbacks that match, or a line for people if there
// were none.
func (c *adminClient) printReport(r desk.Report, none string) error {
	document, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if none != "" {
		return c.report(append(document, '\n'), "%s", none)
	}
	return c.print(append(document, '\n'), func(w io.Writer) {
		row(w, "matched", strconv.Itoa(r.Matched))
		row(w, "done", strconv.Itoa(r.Done))
		for _, reason := range slices.Sorted(maps.Keys(r.Skipped)) {
			row(w, "skipped", fmt.Sprintf("%d (%s)", r.Skipped[reason], strings.ReplaceAll(reason, "-", " ")))
		}
		row(w, "failed", strconv.Itoa(r.Failed))
		for _, f := range r.Failures {
			row(w, f.ID, f.Reason)
		}
	})
}
