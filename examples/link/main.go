// Command link is Caddy with the callback plugin, and a small partner for it that
// answers as the asynchronous HTTP step of Link requires, two seconds later.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. LINK_PUBLIC_PORT, LINK_APP_PORT and
// LINK_PARTNER_PORT in the environment replace the ports 8080, 9000 and 9001.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

var link = example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "LINK_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "LINK_APP_PORT", Port: "9000"},
	Partner:   example.Address{Variable: "LINK_PARTNER_PORT", Port: "9001"},
	Serve:     takeOrder,
	Greeting: `Caddy is ready to hold requests. In another terminal, run

    curl -i http://%[1]s/orders -d '{"item":"book"}'
    curl -i http://%[1]s/orders -d '{"item":"unicorn"}'

The partner accepts each order at once and calls back two seconds later. One it
takes, the other it rejects. Ctrl+C ends this.

`,
}

func main() { link.Main() }
