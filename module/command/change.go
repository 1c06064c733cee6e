package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-callback/caddy-callback/module/api"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/desk"
)

// createFlags are the flags of create for texts, numbers and switches, and the fields
// that they set.
var (
	createTexts = map[string][2]string{
		"activity":           {"callbackActivity", "Ask the app at this path about each call"},
		"activity-case":      {"callbackActivityCase", "A text that is passed to that app"},
		"state-query":        {"stateQueryParameter", "The query parameter that carries the state; default: the path carries it"},
		"alternative-domain": {"alternativeDomain", "Replaces base_url in the callback URL"},
		"redirect":           {"responseRedirectUrl", "Redirect callers to this URL"},
		"response-body":      {"responseBody", "The body of the reply to calls"},
		"correlation-id":     {"correlationId", "The correlation id (default a new UUID)"},
		"expires-in":         {"expiresIn", "How long calls are accepted, as in 7d (default 24h)"},
		"deliver-to":         {"deliverTo", "Send the result to this URL"},
	}
	createSwitches = map[string][2]string{
		"multiple":               {"allowMultipleCalls", "Take calls until the callback is closed"},
		"include-key":            {"includeApiKey", "Put a key that is made for this callback into its URL"},
		"require-status":         {"requireStatus", "Refuse calls without the status header"},
		"require-correlation-id": {"requireCorrelationId", "Refuse calls without the correlation id"},
	}
)

func createCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create [--<field> <value>]... | --file <path>",
		Short: "Makes a callback and prints its URL",
		Long: `
Makes a callback and prints its URL. The flags are the common fields of the API;
--file takes all of them in one JSON document, as the API does, from a file or,
if the path is -, from the standard input.
`,
		Args: cobra.NoArgs,
		RunE: run((*adminClient).create),
	}
	for flag, field := range createTexts {
		cmd.Flags().String(flag, "", field[1])
	}
	for flag, field := range createSwitches {
		cmd.Flags().Bool(flag, false, field[1])
	}
	cmd.Flags().Bool("once", false, "End the callback with the first call that is refused")
	cmd.Flags().Int("response-code", 0, "The status of the reply to calls (default 200)")
	cmd.Flags().StringArray("response-header", nil, `A header of the reply to calls, as in "X-A: b"; repeatable`)
	cmd.Flags().StringSlice("methods", nil, "The methods of calls, as in POST,PUT (default all)")
	cmd.Flags().String("data-json", "", "JSON that is kept with the callback")
	cmd.Flags().String("file", "", "A JSON document with all fields; - for the standard input")
	cmd.Flags().String("idempotency-key", "", "A key; a second request with it makes no second callback")
	return cmd
}

func (c *adminClient) create(_ []string) error {
	body, err := c.creation()
	if err != nil {
		return err
	}
	header := make(http.Header)
	if c.set("idempotency-key") {
		header.Set(callback.IdempotencyKey, c.text("idempotency-key"))
	}
	var made struct{ ID, State, CallbackURL, RedirectURI, APIKey, StatusURL, ResultURL, ExpiresAt string }
	answer, err := c.do(http.MethodPost, api.Path, header, bytes.NewReader(body), &made)
	if err != nil {
		return err
	}
	return c.print(answer, func(w io.Writer) {
		for _, r := range [][2]string{
			{"id", made.ID}, {"state", made.State}, {"callback URL", made.CallbackURL}, {"redirect URI", made.RedirectURI}, {"API key", made.APIKey},
			{"status URL", made.StatusURL}, {"result URL", made.ResultURL}, {"expires", made.ExpiresAt},
		} {
			row(w, r[0], r[1])
		}
	})
}

// creation returns the document that the flags ask for.
func (c *adminClient) creation() ([]byte, error) {
	fields, err := c.creationFields()
	if err != nil {
		return nil, err
	}
	if !c.set("file") {
		return json.Marshal(fields)
	}
	if len(fields) > 0 {
		return nil, errors.New("--file holds all fields; leave out the flags for single ones")
	}
	return c.readFile()
}

func (c *adminClient) creationFields() (map[string]any, error) {
	fields := make(map[string]any)
	for flag, field := range createTexts {
		if c.set(flag) {
			fields[field[0]] = c.text(flag)
		}
	}
	for flag, field := range createSwitches {
		if on, _ := c.cmd.Flags().GetBool(flag); c.set(flag) {
			fields[field[0]] = on
		}
	}
	if once, _ := c.cmd.Flags().GetBool("once"); once {
		fields["retryableAfterError"] = false
	}
	if code, _ := c.cmd.Flags().GetInt("response-code"); c.set("response-code") {
		fields["responseCode"] = code
	}
	if methods, _ := c.cmd.Flags().GetStringSlice("methods"); c.set("methods") {
		fields["methods"] = methods
	}
	headers := make(map[string]string)
	lines, _ := c.cmd.Flags().GetStringArray("response-header")
	for _, line := range lines {
		name, value, found := strings.Cut(line, ":")
		if !found {
			return nil, fmt.Errorf("--response-header %q has no colon; write it like \"X-A: b\"", line)
		}
		headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	if len(headers) > 0 {
		fields["responseHeaders"] = headers
	}
	if c.set("data-json") {
		data := c.text("data-json")
		if !json.Valid([]byte(data)) {
			return nil, errors.New("--data-json is not JSON; quote a text, as in '\"text\"'")
		}
		fields["data"] = json.RawMessage(data)
	}
	return fields, nil
}

// readFile reads the file that --file names.
func (c *adminClient) readFile() ([]byte, error) {
	if c.text("file") == "-" {
		return io.ReadAll(c.cmd.InOrStdin())
	}
	return os.ReadFile(c.text("file"))
}

func resolveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resolve [<id>... | <filters> | --all] [--status Ok|Failed] [--error-code <code>] [--error-text <text>] [--body <text> | --file <path>]",
		Short: "Calls callbacks in the partner's place",
		Long: `
Calls callbacks in the partner's place: those with the ids, or all that wait and
match the filters. Before it calls all that match it says how many they are, and
asks; those that have ended in the meantime are skipped.
`,
		RunE: run((*adminClient).resolve),
	}
	cmd.Flags().String("status", "", "Ok or Failed (default Ok)")
	cmd.Flags().String("document-status", "", "The document status, with Failed")
	cmd.Flags().String("error-code", "", "The error code, with Failed")
	cmd.Flags().String("error-text", "", "The error text, with Failed")
	cmd.Flags().String("body", "", "The body of the call")
	cmd.Flags().String("file", "", "A file with the body; - for the standard input")
	cmd.Flags().String("content-type", "", "The body's type (default application/json if it is JSON, else text/plain)")
	return addAct(cmd)
}

func (c *adminClient) resolve(args []string) error {
	header, body, err := c.call()
	if err != nil {
		return err
	}
	return c.actOn(args, act{name: desk.Resolve, verb: "resolves", header: header, body: body, one: func(id string) error {
		var cb listedCallback
		answer, err := c.do(http.MethodPost, apiPathOf(id, "resolve"), header, bytes.NewReader(body), &cb)
		if err != nil {
			return err
		}
		return c.report(answer, "%s is %s.", cb.ID, cb.Phase)
	}})
}

// call returns the call that the flags describe.
func (c *adminClient) call() (http.Header, []byte, error) {
	body := []byte(c.text("body"))
	if c.set("file") {
		if c.set("body") {
			return nil, nil, errors.New("--body and --file are both the body; leave one of the two out")
		}
		if c.text("file") == "-" && !c.on("yes") && c.cmd.Flags().NArg() == 0 {
			return nil, nil, errors.New("with --file - nobody can be asked whether to go on; write --yes")
		}
		var err error
		if body, err = c.readFile(); err != nil {
			return nil, nil, err
		}
	}
	wire := callback.NewWire(callback.DefaultHeaderPrefix)
	header := http.Header{"Content-Type": {callback.ContentType(string(body))}}
	for flag, name := range map[string]string{
		"status": wire.Status, "document-status": wire.DocumentStatus, "error-code": wire.ErrorCode, "error-text": wire.ErrorText,
		"content-type": "Content-Type",
	} {
		if c.set(flag) {
			header.Set(name, c.text(flag))
		}
	}
	return header, body, nil
}

func closeCommand() *cobra.Command {
	return addAct(&cobra.Command{
		Use:   "close [<id>... | <filters> | --all]",
		Short: "Closes callbacks, so that they take no calls any more",
		Long: `
Closes callbacks, so that they take no calls any more: those with the ids, or all
that wait and match the filters. Before it closes all that match it says how many
they are, and asks; those that have ended in the meantime are skipped.
`,
		RunE: run(func(c *adminClient, args []string) error {
			return c.actOn(args, act{name: desk.Close, verb: "closes", one: func(id string) error {
				if _, err := c.do(http.MethodDelete, apiPathOf(id), nil, nil, nil); err != nil {
					return err
				}
				c.say("%s takes no calls any more.", id)
				return nil
			}})
		}),
	})
}

func purgeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "purge <id>...",
		Short: "Removes callbacks with all that is stored of them",
		Long: `
Removes callbacks with all that is stored of them, however long they would be
kept otherwise. Those that wait are closed. This cannot be undone.
`,
		Args: cobra.MinimumNArgs(1),
		RunE: run(func(c *adminClient, args []string) error {
			return each(args, func(id string) error {
				if _, err := c.do(http.MethodDelete, apiPathOf(id)+"?purge=true", nil, nil, nil); err != nil {
					return err
				}
				c.say("%s is removed.", id)
				return nil
			})
		}),
	}
}

func redeliverCommand() *cobra.Command {
	return addAct(&cobra.Command{
		Use:   "redeliver [<id>... | <filters> | --all]",
		Short: "Delivers the results of callbacks again",
		Long: `
Delivers the results of callbacks again: of those with the ids, or of all that match
the filters, as in --dead --since 2h. Before it begins with all that match it says how
many they are, and asks; those that have no result to deliver are skipped.
`,
		RunE: run(func(c *adminClient, args []string) error {
			return c.actOn(args, act{name: desk.Redeliver, verb: "delivers the results of", one: func(id string) error {
				answer, err := c.do(http.MethodPost, apiPathOf(id, "redeliver"), nil, nil, nil)
				if err != nil {
					return err
				}
				return c.report(answer, "The result of %s is being delivered again.", id)
			}})
		}),
	})
}
