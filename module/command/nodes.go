package command

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-callback/caddy-callback/module/api"
)

func nodesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "nodes",
		Short: "Lists the nodes that share the store",
		Args:  cobra.NoArgs,
		RunE:  run((*adminClient).nodes),
	}
}

func (c *adminClient) nodes(_ []string) error {
	var roster struct {
		Shared        bool
		Nodes         []listedNode
		Waiting, Held int
	}
	answer, err := c.do(http.MethodGet, api.Path+"/nodes", nil, nil, &roster)
	if err != nil {
		return err
	}
	if err := c.print(answer, func(w io.Writer) {
		if roster.Shared {
			_, _ = fmt.Fprintln(w, "NODE\tRELEASE\tHOST\tLAST HEARD OF\t")
		} else {
			_, _ = fmt.Fprintln(w, "RELEASE\tHOST")
		}
		for _, n := range roster.Nodes {
			n.write(w, roster.Shared)
		}
	}); err != nil || c.json {
		return err
	}
	if !roster.Shared {
		_, _ = fmt.Fprintln(c.cmd.ErrOrStderr(), "The store belongs to this process alone. With store postgres, several can share one.")
	}
	_, _ = fmt.Fprintf(c.cmd.ErrOrStderr(), "In all, callbacks that wait: %d; clients that this node holds: %d\n", roster.Waiting, roster.Held)
	return nil
}

// listedNode is what the command reads of a node.
type listedNode struct {
	Number        uint64
	This          bool
	Release, Host string
	SilentSeconds float64
}

// write writes a line of a table.
func (n *listedNode) write(w io.Writer, shared bool) {
	if !shared {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", visible(n.Release), visible(n.Host))
		return
	}
	this := ""
	if n.This {
		this = "this node"
	}
	silent := time.Duration(n.SilentSeconds * float64(time.Second)).Round(100 * time.Millisecond)
	_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%v ago\t%s\n", n.Number, visible(n.Release), visible(n.Host), silent, this)
}
