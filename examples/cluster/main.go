// Command cluster is two nodes with the callback plugin on one PostgreSQL, a load
// balancer in front of them, and a small partner that answers by callback, two seconds
// later. The request is held at one node, and the call comes to the other.
//
// The configuration of both nodes is the Caddyfile beside this file, and the balancer's is
// balancer.Caddyfile. They are compiled in, so that the command works from any directory.
// CLUSTER_PUBLIC_PORT, CLUSTER_APP_PORT and CLUSTER_PARTNER_PORT in the environment replace
// the ports 8080, 9000 and 9001. CLUSTER_DATABASE is the URL of a database to use in place
// of a server of the example's own.
package main

import (
	_ "embed"
	"os"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var node []byte

//go:embed balancer.Caddyfile
var balancer []byte

// cluster is the example. A node of it is the same command, with the variable nodeName.
type cluster struct{ example.Example }

var both = cluster{example.Example{
	Caddyfile: balancer,
	Public:    example.Address{Variable: "CLUSTER_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "CLUSTER_APP_PORT", Port: "9000"},
	Partner:   example.Address{Variable: "CLUSTER_PARTNER_PORT", Port: "9001"},
	Serve:     takeOrder,
	Beside:    startNodes,
	Greeting: `Two nodes are ready to hold requests. In another terminal, run

    curl -i http://%s/orders -d '{"item":"book"}'

The request is held at node a, and the partner's call comes to node b; curl gets its
answer all the same. Ctrl+C ends this.

`,
}}

// Main runs the example, or one of its nodes.
func (c cluster) Main() {
	if os.Getenv(nodeName) != "" {
		go endWith(os.Stdin)
		example.Run(node)
		return
	}
	c.Example.Main()
}

func main() { both.Main() }
