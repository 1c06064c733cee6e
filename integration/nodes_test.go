package integration

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// nodesSecret is what URLs are derived from in stores in PostgreSQL.
const nodesSecret = "correct-horse-battery-staple-of-all-nodes"

// inPostgres returns the store option of nodes that share a schema.
func inPostgres(url, schema string, options ...string) string {
	lines := append([]string{"schema " + schema, "secret " + nodesSecret}, options...)
	return fmt.Sprintf("store postgres %q {\n\t%s\n}", url, strings.Join(lines, "\n\t"))
}

// newNodes returns stages that share a partner. No server runs on them.
func newNodes(t *testing.T, n int) []*stage {
	t.Helper()
	return beside(t, newStage(t), n)
}

// beside returns a stage and others, so that there are n, that share its partner.
func beside(t *testing.T, first *stage, n int) []*stage {
	t.Helper()
	nodes := []*stage{first}
	for len(nodes) < n {
		c := harness.New(t)
		if err := os.Symlink(nodes[0].Path("partner.sock"), c.Path("partner.sock")); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, &stage{Caddy: c, partner: nodes[0].partner})
	}
	return nodes
}

// startNodes returns stages whose servers share a schema of the tests' PostgreSQL, and a
// partner.
func startNodes(t *testing.T, n int, cfg harness.Config) []*stage {
	t.Helper()
	return startNodesWith(t, n, func(*stage) harness.Config { return cfg })
}

// startNodesWith is startNodes with a configuration for each of them.
func startNodesWith(t *testing.T, n int, config func(node *stage) harness.Config) []*stage {
	t.Helper()
	nodes := newNodes(t, n)
	url, schema := postgrestest.New(t)
	for _, node := range nodes {
		cfg := config(node)
		cfg.StoreLine = inPostgres(url, schema)
		node.Start(t, cfg)
	}
	return nodes
}

// at returns the exchange as one whose callback is called, and asked about, at that node.
func (x *exchange) at(node *stage) *exchange {
	node.NeverLog(x.state())
	there := *x
	there.stage = node
	return &there
}

func TestCallAtOneNodeAnswersTheClientAtAnother(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2, harness.Config{})
	a, b := nodes[0], nodes[1]
	x := a.post(t, "text/plain", "an order")
	wantStatus(t, b.callURL(t, http.MethodPost, x.url, "done", "Content-Type", "text/plain"), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "done")
}
