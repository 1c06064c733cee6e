// Command openfaas is Caddy with the callback plugin between an app that waits for
// answers, and a stand-in of OpenFaaS that runs functions asynchronously.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. OPENFAAS_PUBLIC_PORT,
// OPENFAAS_APP_PORT and OPENFAAS_PARTNER_PORT in the environment replace the ports
// 8080, 9000 and 9001.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

var openfaas = example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "OPENFAAS_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "OPENFAAS_APP_PORT", Port: "9000"},
	Partner:   example.Address{Variable: "OPENFAAS_PARTNER_PORT", Port: "9001"},
	Serve:     newGateway().ServeHTTP,
	Greeting: `Caddy is ready to wait for functions. In another terminal, run

    curl -i http://%s/function/shout -d 'a book'

The answer takes two seconds, and is the function's own. Ctrl+C ends this.

`,
}

func main() { openfaas.Main() }
