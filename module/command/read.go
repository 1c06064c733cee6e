package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/api"
)

// listedCallback is what the commands read of a callback.
type listedCallback struct {
	ID              string          `json:"id"`
	Phase           string          `json:"phase"`
	CorrelationID   string          `json:"correlationId"`
	Name            string          `json:"name"`
	CreatedAt       string          `json:"createdAt"`
	ExpiresAt       string          `json:"expiresAt"`
	FinishedAt      string          `json:"finishedAt"`
	DocumentStatus  string          `json:"documentStatus"`
	TechnicalStatus string          `json:"technicalStatus"`
	ErrorCode       string          `json:"errorCode"`
	ErrorText       string          `json:"errorText"`
	ResultURL       string          `json:"resultUrl"`
	Calls           int             `json:"calls"`
	Data            json.RawMessage `json:"data"`
	Job             *struct {
		Block, NextAttemptAt, Error string
		Attempts                    int
	} `json:"job"`
	Step     *struct{ ID, Name string } `json:"step"`
	Delivery *struct {
		State, URL, NextAttemptAt, DeliveredAt, Error string
		Attempts, Status                              int
	} `json:"delivery"`
	LatestCall *struct {
		Method, Body, BodyEncoding, ReceivedAt string
		Query                                  json.RawMessage
		Headers                                map[string]string
	} `json:"latestCall"`
}

func listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [--phase <phase>] [--name <name>] [--dead] [--created-after <time>] [--created-before <time>] [--limit <n>] [--all]",
		Short: "Lists callbacks, the newest first",
		Args:  cobra.NoArgs,
		RunE:  run((*adminClient).list),
	}
	cmd.Flags().String("phase", "", "Only those that are waiting, resolved, failed, expired or closed")
	cmd.Flags().String("name", "", "Only those of the directive with this name")
	cmd.Flags().Bool("dead", false, "Only those whose result could not be delivered and was given up")
	cmd.Flags().String("created-after", "", "Only those made after a time like 2026-11-23T22:42:15Z, or an age like 90m or 7d")
	cmd.Flags().String("created-before", "", "Only those made before such a time")
	cmd.Flags().Int("limit", 0, "How many to list at once, at most 1000 (default 100)")
	cmd.Flags().Bool("all", false, "List all there are, page by page")
	return cmd
}

func (c *adminClient) list(_ []string) error {
	query := make(url.Values)
	for flag, parameter := range map[string]string{
		"phase": "phase", "name": "name", "created-after": "createdAfter", "created-before": "createdBefore",
	} {
		if c.set(flag) {
			query.Set(parameter, c.text(flag))
		}
	}
	if dead, _ := c.cmd.Flags().GetBool("dead"); dead {
		query.Set("delivery", answer.DeliveryDead)
	}
	if limit, _ := c.cmd.Flags().GetInt("limit"); c.set("limit") {
		query.Set("limit", strconv.Itoa(limit))
	}
	all, _ := c.cmd.Flags().GetBool("all")
	found := listedPage{Callbacks: []json.RawMessage{}}
	for {
		var page listedPage
		if _, err := c.do(http.MethodGet, api.Path+"?"+query.Encode(), nil, nil, &page); err != nil {
			return err
		}
		page.Callbacks = append(found.Callbacks, page.Callbacks...)
		found = page
		if found.Next == "" || !all && len(found.Callbacks) > 0 {
			break
		}
		query.Set("cursor", found.Next)
	}
	if err := c.printList(found); err != nil || c.json {
		return err
	}
	if found.Next != "" {
		_, _ = fmt.Fprintln(c.cmd.ErrOrStderr(), "There are more; list them with --all.")
	}
	_, _ = fmt.Fprintf(c.cmd.ErrOrStderr(), "In all, callbacks that wait: %d, clients that are held: %d\n", found.Waiting, found.Held)
	return nil
}

// listedPage is what the commands read of a list.
type listedPage struct {
	Callbacks []json.RawMessage `json:"callbacks"`
	Next      string            `json:"next,omitempty"`
	Waiting   int               `json:"waiting"`
	Held      int               `json:"held"`
}

// printList prints the callbacks that were found.
func (c *adminClient) printList(found listedPage) error {
	answer, err := json.Marshal(found)
	if err != nil {
		return err
	}
	return c.print(append(answer, '\n'), func(w io.Writer) {
		_, _ = fmt.Fprintln(w, "ID\tPHASE\tCREATED\tEXPIRES\tCALLS\tNAME\tCORRELATION ID")
		for _, raw := range found.Callbacks {
			var cb listedCallback
			if json.Unmarshal(raw, &cb) != nil {
				continue
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", cb.ID, cb.Phase, cb.CreatedAt, cb.ExpiresAt, cb.Calls, cb.Name, visible(cb.CorrelationID))
		}
	})
}

func showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show <id>",
		Short: "Shows a callback and the call that was taken last",
		Args:  cobra.ExactArgs(1),
		RunE:  run((*adminClient).show),
	}
}

func (c *adminClient) show(args []string) error {
	var cb listedCallback
	answer, err := c.do(http.MethodGet, apiPathOf(args[0]), nil, nil, &cb)
	if err != nil {
		return err
	}
	return c.print(answer, func(w io.Writer) { cb.write(w) })
}

// write writes a table of two columns.
func (cb *listedCallback) write(w io.Writer) {
	for _, r := range [][2]string{
		{"id", cb.ID}, {"phase", cb.Phase}, {"correlation id", cb.CorrelationID}, {"name", cb.Name}, {"created", cb.CreatedAt},
		{"expires", cb.ExpiresAt}, {"finished", cb.FinishedAt}, {"document status", cb.DocumentStatus},
		{"technical status", cb.TechnicalStatus}, {"error code", cb.ErrorCode}, {"error text", cb.ErrorText},
		{"result URL", cb.ResultURL}, {"calls", strconv.Itoa(cb.Calls)}, {"data", string(cb.Data)},
	} {
		row(w, r[0], r[1])
	}
	if j := cb.Job; j != nil {
		row(w, "job", fmt.Sprintf("%s, %d attempts, next %s %s", j.Block, j.Attempts, j.NextAttemptAt, j.Error))
	}
	if cb.Step != nil {
		row(w, "step", strings.TrimSpace(cb.Step.Name+" "+cb.Step.ID))
	}
	if d := cb.Delivery; d != nil {
		row(w, "delivery", fmt.Sprintf("%s to %s, %d attempts", d.State, d.URL, d.Attempts))
		row(w, "next attempt", d.NextAttemptAt)
		row(w, "delivered", d.DeliveredAt)
		row(w, "delivery error", d.Error)
	}
	if call := cb.LatestCall; call != nil {
		row(w, "latest call", call.Method+" "+call.ReceivedAt)
		row(w, "query", string(call.Query))
		headers, _ := json.Marshal(call.Headers)
		row(w, "headers", string(headers))
		if call.BodyEncoding != "" {
			call.BodyEncoding = " (" + call.BodyEncoding + ")"
		}
		row(w, "body"+call.BodyEncoding, call.Body)
	}
}

func watchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch [<id>]",
		Short: "Prints the changes of a callback until it has ended, or of the newest 1000 until Ctrl+C",
		Args:  cobra.MaximumNArgs(1),
		RunE:  run((*adminClient).watch),
	}
}

// watchWait is how long one request waits for a change, in seconds. It is shorter than the
// time that Caddy gives requests to the admin endpoint when the configuration changes.
const watchWait = "5"

// watchEvery is how often the list is fetched.
const watchEvery = time.Second

func (c *adminClient) watch(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := error(nil)
	if len(args) == 1 {
		err = c.watchOne(ctx, args[0])
	} else {
		err = c.watchAll(ctx)
	}
	if ctx.Err() != nil {
		// An interrupt is the normal end of watching.
		return nil
	}
	return err
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
	_ = c.report(answer, "%s  %s  %s  calls: %d  %s %s", time.Now().Format(time.TimeOnly), cb.ID, cb.Phase, cb.Calls, cb.Name, cb.ErrorText)
}
