// Command quickstart is Caddy with the callback plugin, on both sides of a callback:
// one of its sites calls back, and another one waits for it.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. QUICKSTART_PUBLIC_PORT,
// QUICKSTART_APP_PORT and QUICKSTART_PROVIDER_PORT in the environment replace the ports
// 8080, 9000 and 9001.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

var quickstart = example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "QUICKSTART_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "QUICKSTART_APP_PORT", Port: "9000"},
	Partner:   example.Address{Variable: "QUICKSTART_PROVIDER_PORT", Port: "9001"},
	Greeting: `Caddy is ready. In another terminal, run

    curl -i http://%s/orders -d '{"item":"book"}'

Ctrl+C ends this.

`,
}

func main() { quickstart.Main() }
