// Command a2a is Caddy with the callback plugin between apps and an agent that
// speaks A2A, and that says by push notification how its tasks have ended.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. A2A_PUBLIC_PORT, A2A_APP_PORT and
// A2A_PARTNER_PORT in the environment replace the ports 8080, 9000 and 9001.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

var a2a = example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "A2A_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "A2A_APP_PORT", Port: "9000"},
	Partner:   example.Address{Variable: "A2A_PARTNER_PORT", Port: "9001"},
	Serve:     newAgent().ServeHTTP,
	Greeting: `Caddy is ready to wait for the agent. In another terminal, run

    curl -i http://%s/wait -H 'Content-Type: application/json' -d '{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"kind":"message","messageId":"1","role":"user","parts":[{"kind":"text","text":"a book"}]}}}'

The answer takes two seconds, and has the whole task. Ctrl+C ends this.

`,
}

func main() { a2a.Main() }
