// Command replicate is Caddy with the callback plugin between a client of Replicate
// and a stand-in of Replicate's API: Replicate's webhooks go to Caddy, which keeps
// the last one and sends it to the client.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. REPLICATE_PUBLIC_PORT,
// REPLICATE_APP_PORT, REPLICATE_PARTNER_PORT and REPLICATE_INBOX_PORT in the
// environment replace the ports 8080, 9000, 9001 and 9002.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

// partner is where the stand-in of Replicate's API is.
var partner = example.Address{Variable: "REPLICATE_PARTNER_PORT", Port: "9001"}

// signingVariable is the environment variable with the secret of the webhooks.
const signingVariable = "REPLICATE_WEBHOOK_SECRET"

var replicate = example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "REPLICATE_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "REPLICATE_APP_PORT", Port: "9000"},
	Partner:   partner,
	Serve:     newAPI().ServeHTTP,
	// The client listens there itself.
	Backend: example.Address{Variable: "REPLICATE_INBOX_PORT", Port: "9002"},
	Environment: map[string]string{
		signingVariable:       example.WebhookSecret(),
		"REPLICATE_API_TOKEN": "r8_example",
	},
	Greeting: `Caddy is ready to stand before Replicate. In another terminal, run

    cd integration/clients/testdata
    npm ci
    REPLICATE_BASE_URL=http://%s/v1 node replicate.mjs

The client creates predictions, and shows what comes of them. Ctrl+C ends this.

`,
}

func main() { replicate.Main() }
