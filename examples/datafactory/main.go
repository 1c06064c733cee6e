// Command datafactory is Caddy with the callback plugin before a small app that knows
// nothing of callbacks, and a stand-in for a pipeline of Azure Data Factory that calls the
// app: its webhook activity waits until its callBackUri is called, and reads from the body
// whether the activity has failed.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. DATAFACTORY_PUBLIC_PORT,
// DATAFACTORY_APP_PORT and DATAFACTORY_PARTNER_PORT in the environment replace the ports
// 8080, 9000 and 9001.
package main

import (
	_ "embed"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

// partner is where both the app and the pipeline are.
var partner = example.Address{Variable: "DATAFACTORY_PARTNER_PORT", Port: "9001"}

var datafactory = example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "DATAFACTORY_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "DATAFACTORY_APP_PORT", Port: "9000"},
	Partner:   partner,
	Serve:     serve,
	Greeting: `Caddy is ready to accept work. In another terminal, run the activity of a pipeline:

    curl -i http://%[1]s/orders -H 'Content-Type: application/json' \
      -d '{"item":"book","callBackUri":"http://` + partner.String() + `/activity"}'

It is answered at once; two seconds later the activity has succeeded, as is shown here.
One that fails, because there are no unicorns:

    curl -i http://%[1]s/orders -H 'Content-Type: application/json' \
      -d '{"item":"unicorn","callBackUri":"http://` + partner.String() + `/activity"}'

Ctrl+C ends this.

`,
}

func main() { datafactory.Main() }
