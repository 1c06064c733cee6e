// Command park is Caddy with the callback plugin, and a small partner for it that
// answers by callback, two seconds later. The client does not wait, and picks the
// result up later.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. PARK_PUBLIC_PORT,
// PARK_APP_PORT and PARK_PARTNER_PORT in the environment replace the ports
// 8080, 9000 and 9001.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

var park = example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "PARK_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "PARK_APP_PORT", Port: "9000"},
	Partner:   example.Address{Variable: "PARK_PARTNER_PORT", Port: "9001"},
	Serve:     takeOrder,
	Greeting: `Caddy is ready to park requests. In another terminal, run

    curl -i http://%s/orders -d '{"item":"book"}'

It is answered at once, and the answer says where the result will be. Ctrl+C ends
this.

`,
}

func main() { park.Main() }
