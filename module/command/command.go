// Package command is the command caddy callback: a client of the API at the admin endpoint,
// and what moves a store.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/caddy-callback/caddy-callback/module/api"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "callback",
		Usage: "<command>",
		Short: "Lists, shows, makes, ends and removes callbacks",
		Long: `
Lists, shows, makes, ends and removes the callbacks of a running Caddy, through its admin
endpoint. Its address is the one that --address gives, or else the one in the
configuration that --config names, or else Caddy's default. Export and import work on
a store that no Caddy uses.

Each command exits with 0 if it has succeeded, and otherwise with 1.
`,
		CobraFunc: addCommands,
	})
}

func addCommands(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringP("config", "c", "", "Configuration file with the admin address, if --address is not used, and with the store for export and import")
	flags.StringP("adapter", "a", "", "Name of config adapter to apply (when --config is used)")
	flags.String("address", "", "The address to use to reach the admin API endpoint, if not the default")
	flags.Bool("json", false, "Print JSON")
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(listCommand(), showCommand(), createCommand(), resolveCommand(), closeCommand(), purgeCommand(), redeliverCommand(), watchCommand(), nodesCommand(), exportCommand(), importCommand())
}

// run turns a command's function into one that cobra can call.
func run(command func(c *adminClient, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		text := func(name string) string {
			value, _ := cmd.Flags().GetString(name)
			return value
		}
		address, err := caddycmd.DetermineAdminAPIAddress(text("address"), nil, text("config"), text("adapter"))
		if err != nil {
			return err
		}
		asJSON, _ := cmd.Flags().GetBool("json")
		return command(&adminClient{cmd: cmd, address: address, json: asJSON, out: cmd.OutOrStdout()}, args)
	}
}

// adminClient is a command that talks to the API at the admin endpoint.
type adminClient struct {
	cmd     *cobra.Command
	address string
	json    bool
	out     io.Writer
}

// text returns the value of a flag.
func (c *adminClient) text(flag string) string {
	value, _ := c.cmd.Flags().GetString(flag)
	return value
}

// set reports whether a flag was given.
func (c *adminClient) set(flag string) bool { return c.cmd.Flags().Changed(flag) }

// apiPathOf returns the path of a callback, or a path below it.
func apiPathOf(id string, below ...string) string {
	return strings.Join(append([]string{api.Path, url.PathEscape(id)}, below...), "/")
}

// do sends a request, and reads the answer into v if that is not nil. It also
// returns the answer as it came.
func (c *adminClient) do(method, uri string, header http.Header, body io.Reader, v any) ([]byte, error) {
	res, err := caddycmd.AdminAPIRequest(c.address, method, uri, header, body)
	if err != nil {
		return nil, c.explain(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("the answer of the admin endpoint broke off: %w", err)
	}
	if v == nil {
		return answer, nil
	}
	if err := json.Unmarshal(answer, v); err != nil {
		return nil, errors.New("the admin endpoint has not answered with JSON: is the same release of the plugin running?")
	}
	return answer, nil
}

// doUntil is do, but no longer waits for the answer when the context has ended.
func (c *adminClient) doUntil(ctx context.Context, method, uri string, header http.Header, v any) ([]byte, error) {
	type answer struct {
		body []byte
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		body, err := c.do(method, uri, header, nil, v)
		answered <- answer{body, err}
	}()
	select {
	case a := <-answered:
		return a.body, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// answered is the text that Caddy's client puts before an answer that is an error.
const answered = "caddy responded with error: HTTP "

// explain says what an error of Caddy's client means, and what to do.
func (c *adminClient) explain(err error) error {
	_, answer, found := strings.Cut(err.Error(), answered)
	if !found {
		return fmt.Errorf("the admin endpoint at %s cannot be reached; start Caddy, or say where it is with --address, or with --config and the configuration that it runs with: %w", c.address, err)
	}
	status, body, _ := strings.Cut(answer, ": ")
	var p struct {
		Title, Detail, Field, Error string
	}
	if json.Unmarshal([]byte(body), &p) != nil || p.Title == "" && p.Error == "" {
		return fmt.Errorf("the Caddy at %s answers %s: it does not have this plugin", c.address, status)
	}
	if p.Title == "" {
		return fmt.Errorf("the admin endpoint at %s answers %s: %s", c.address, status, p.Error)
	}
	if p.Field != "" {
		p.Detail = p.Field + ": " + p.Detail
	}
	return refusal(strings.TrimSpace(p.Title + " " + p.Detail))
}

// refusal is a problem that the API has answered with.
type refusal string

func (r refusal) Error() string { return string(r) }

// print writes JSON as it came, or a table.
func (c *adminClient) print(answer []byte, table func(w io.Writer)) error {
	if c.json {
		_, err := c.out.Write(answer)
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// say prints a line for people, and nothing where JSON is wanted.
func (c *adminClient) say(format string, args ...any) {
	if !c.json {
		_, _ = fmt.Fprintln(c.out, visible(fmt.Sprintf(format, args...)))
	}
}

// report prints the answer if JSON is wanted, else a line.
func (c *adminClient) report(answer []byte, format string, args ...any) error {
	c.say(format, args...)
	if !c.json {
		return nil
	}
	_, err := c.out.Write(answer)
	return err
}

// row writes a line of a table with two columns, unless there is no value.
func row(w io.Writer, name, value string) {
	if value != "" {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", name, visible(value))
	}
}

// visible returns a text as one line without control characters, which could do something
// to a terminal: parts of the text come from partners.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
