// Command observability is Caddy with the callback plugin, and a partner that does what is worth
// watching: it calls back, says that something has failed, says what nobody understands, never
// calls, and takes no results.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so that the
// command works from any directory. OBSERVABILITY_PUBLIC_PORT, OBSERVABILITY_APP_PORT and
// OBSERVABILITY_PARTNER_PORT in the environment replace the ports 8080, 9000 and 9001.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

// key is the partner's, for the example only.
const key = "only-for-the-example"

var observability = example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "OBSERVABILITY_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "OBSERVABILITY_APP_PORT", Port: "9000"},
	Partner:   example.Address{Variable: "OBSERVABILITY_PARTNER_PORT", Port: "9001"},
	Serve:     newPartner().ServeHTTP,
	Environment: map[string]string{
		"OBSERVABILITY_KEY": key,
		// Without a collector nothing is sent.
		"OTEL_TRACES_EXPORTER": "none",
	},
	Greeting: `Caddy is ready to be watched. In another terminal, run

    curl -i http://%s/orders/book -d 'one'

The metrics are at /metrics of the same site. Ctrl+C ends this.

`,
}

func main() { observability.Main() }
