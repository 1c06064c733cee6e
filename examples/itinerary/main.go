// Command itinerary is Caddy with the callback plugin, which sends a request from
// stop to stop, and a small partner that serves the stops.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. ITINERARY_PUBLIC_PORT,
// ITINERARY_APP_PORT and ITINERARY_PARTNER_PORT in the environment replace the ports
// 8080, 9000 and 9001.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

var itinerary = example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "ITINERARY_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "ITINERARY_APP_PORT", Port: "9000"},
	Partner:   example.Address{Variable: "ITINERARY_PARTNER_PORT", Port: "9001"},
	Serve:     serve,
	Greeting: `Caddy is ready to send orders on their way. In another terminal, run

    curl -i http://%s/orders -d '{"item":"book"}'

Two stops call back, one second after they are asked; the last one is an ordinary
app. Ctrl+C ends this.

`,
}

func main() { itinerary.Main() }
