// Command approval_guarded is Caddy with the callback plugin, and a gate in front of a
// shop: purchases wait until somebody who has signed in has approved them. The shop is
// told who it was. Mails are printed in place of being sent.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. GUARDED_PUBLIC_PORT,
// GUARDED_APP_PORT and GUARDED_PARTNER_PORT in the environment replace the ports
// 8080, 9000 and 9001.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

var guarded = example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "GUARDED_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "GUARDED_APP_PORT", Port: "9000"},
	Partner:   example.Address{Variable: "GUARDED_PARTNER_PORT", Port: "9001"},
	Serve:     serve,
	Greeting: `Purchases wait for the approval of somebody who has signed in. In another terminal, run

    curl -i 'http://%s/purchases?price=80' -d '{"item":"chair"}'

and open the link that is mailed, which is printed here; sign in as alice, with the
password wonderland. Ctrl+C ends this.

`,
}

func main() { guarded.Main() }
