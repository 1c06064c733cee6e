package command

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

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
	Step    *struct{ ID, Name string } `json:"step"`
	History []struct {
		At, Kind, Reason, By string
		Status               int
	} `json:"history"`
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
		Use:   "list [<filters>] [--oldest] [--limit <n>] [--all]",
		Short: "Lists callbacks, the newest first",
		Args:  cobra.NoArgs,
		RunE:  run((*adminClient).list),
	}
	addFilters(cmd)
	cmd.Flags().String("id", "", "Only the one with this id")
	cmd.Flags().Bool("oldest", false, "The oldest first")
	cmd.Flags().Int("limit", 0, "How many to list at once, at most 1000 (default 100)")
	cmd.Flags().Bool("all", false, "List all there are, page by page")
	return cmd
}

func (c *adminClient) list(_ []string) error {
	query, err := c.filters()
	if err != nil {
		return err
	}
	if c.set("id") {
		query.Set("id", c.text("id"))
	}
	if c.on("oldest") {
		query.Set("order", "oldest")
	}
	if limit, _ := c.cmd.Flags().GetInt("limit"); c.set("limit") {
		query.Set("limit", strconv.Itoa(limit))
	}
	all := c.on("all")
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
	cb.writeHistory(w)
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

// writeHistory writes what has happened, one line each.
func (cb *listedCallback) writeHistory(w io.Writer) {
	name := "history"
	for _, h := range cb.History {
		line := h.At + "  " + h.Kind
		if h.Status != 0 {
			line += " " + strconv.Itoa(h.Status)
		}
		if h.By != "" {
			line += " by " + h.By
		}
		if h.Reason != "" {
			line += ": " + h.Reason
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\n", name, visible(line))
		name = ""
	}
}
