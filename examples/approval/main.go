// Command approval is Caddy with the callback plugin, and a gate in front of a shop:
// purchases wait until somebody has approved them on a page. Mails are printed in
// place of being sent.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. APPROVAL_PUBLIC_PORT,
// APPROVAL_APP_PORT and APPROVAL_PARTNER_PORT in the environment replace the ports
// 8080, 9000 and 9001.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

var approval = example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "APPROVAL_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "APPROVAL_APP_PORT", Port: "9000"},
	Partner:   example.Address{Variable: "APPROVAL_PARTNER_PORT", Port: "9001"},
	Serve:     serve,
	Greeting: `Purchases wait for somebody's approval. In another terminal, run

    curl -i 'http://%s/purchases?for=Alice&price=80' -d '{"item":"chair"}'

and open the link that is mailed, which is printed here. Ctrl+C ends this.

`,
}

func main() { approval.Main() }
