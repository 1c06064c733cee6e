// Command provider is Caddy with the callback plugin before a small app that knows
// nothing of callbacks: Caddy accepts requests at once, and sends the app's answers
// to the callback URLs of the clients.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. PROVIDER_PUBLIC_PORT,
// PROVIDER_APP_PORT and PROVIDER_PARTNER_PORT in the environment replace the ports
// 8080, 9000 and 9001.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

// partner is where both the app and its client's inbox are.
var partner = example.Address{Variable: "PROVIDER_PARTNER_PORT", Port: "9001"}

var provider = example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "PROVIDER_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "PROVIDER_APP_PORT", Port: "9000"},
	Partner:   partner,
	Serve:     serve,
	Greeting: `Caddy is ready to accept requests. In another terminal, run

    curl -i http://%s/orders -H 'X-Link-Callback-Url: http://` + partner.String() + `/inbox' -d '{"item":"book"}'

It is answered at once; two seconds later the result is sent to that URL, and shown
here. Ctrl+C ends this.

`,
}

func main() { provider.Main() }
