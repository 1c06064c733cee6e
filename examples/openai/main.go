// Command openai is Caddy with the callback plugin between an app that can only wait
// for an answer, and a stand-in of OpenAI's API, where responses are made in the
// background: to the app such a response is one call.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. OPENAI_PUBLIC_PORT, OPENAI_APP_PORT and
// OPENAI_PARTNER_PORT in the environment replace the ports 8080, 9000 and 9001.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

// public is where the stand-in has been told to send the webhooks of the account.
var public = example.Address{Variable: "OPENAI_PUBLIC_PORT", Port: "8080"}

// signingVariable is the environment variable with the secret of the webhooks.
const signingVariable = "OPENAI_WEBHOOK_SECRET"

var openai = example.Example{
	Caddyfile: configuration,
	Public:    public,
	App:       example.Address{Variable: "OPENAI_APP_PORT", Port: "9000"},
	Partner:   example.Address{Variable: "OPENAI_PARTNER_PORT", Port: "9001"},
	Serve:     newAPI().ServeHTTP,
	Environment: map[string]string{
		signingVariable:  example.WebhookSecret(),
		"OPENAI_API_KEY": "sk-example",
	},
	Greeting: `Caddy is ready to wait for responses. In another terminal, run

    curl -i http://%s/v1/responses -H 'Authorization: Bearer sk-example' -H 'Content-Type: application/json' -d '{"model":"gpt-example","input":"a book","background":true}'

The answer takes two seconds, and is the whole response. Ctrl+C ends this.

`,
}

func main() { openai.Main() }
