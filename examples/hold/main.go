// Command hold is Caddy with the callback plugin, and a small partner for it that
// answers by callback, two seconds later.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. HOLD_PUBLIC_PORT, HOLD_APP_PORT and
// HOLD_PARTNER_PORT in the environment replace the ports 8080, 9000 and 9001.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

var hold = example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "HOLD_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "HOLD_APP_PORT", Port: "9000"},
	Partner:   example.Address{Variable: "HOLD_PARTNER_PORT", Port: "9001"},
	Serve:     takeOrder,
	Greeting: `Caddy is ready to hold requests. In another terminal, run

    curl -i http://%s/orders -d '{"item":"book"}'

The partner accepts the order at once and calls back two seconds later; only then
does curl get its answer. Ctrl+C ends this.

`,
}

func main() { hold.Main() }
