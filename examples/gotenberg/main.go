// Command gotenberg is Caddy with the callback plugin before Gotenberg, which makes
// documents and reports them by webhook: the client gets 202, and each document is
// delivered to its URL, with a token that neither client nor Gotenberg has. What fails is
// delivered to a second URL. Gotenberg itself is played by a small stand-in.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. GOTENBERG_PUBLIC_PORT,
// GOTENBERG_APP_PORT and GOTENBERG_PARTNER_PORT in the environment replace the ports
// 8080, 9000 and 9001.
package main

import (
	_ "embed"
	"fmt"
	"os"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

// partner is where both Gotenberg and the archive are.
var partner = example.Address{Variable: "GOTENBERG_PARTNER_PORT", Port: "9001"}

// curl is a command for the user, with the page that is to become a document.
var curl = `    curl -i http://%%[1]s/forms/chromium/convert/url -F url=%s \
      -H 'Gotenberg-Webhook-Url: http://` + partner.String() + `/archive' \
      -H 'Gotenberg-Webhook-Error-Url: http://` + partner.String() + `/failures' \
      -H 'Gotenberg-Webhook-Extra-Http-Headers: {"X-Tenant":"acme"}'
`

var gotenberg = program{example.Example{
	Caddyfile: configuration,
	Public:    example.Address{Variable: "GOTENBERG_PUBLIC_PORT", Port: "8080"},
	App:       example.Address{Variable: "GOTENBERG_APP_PORT", Port: "9000"},
	Partner:   partner,
	Serve:     serve,
	Greeting: `Caddy is ready to have documents made. In another terminal, run

` + fmt.Sprintf(curl, "https://example.com") + `
The document comes to the archive two seconds later. One that cannot be made:

` + fmt.Sprintf(curl, "https://nowhere.invalid") + `
Ctrl+C ends this.

`,
}}

// program is the example, with the secret that its operator sets.
type program struct{ example.Example }

// Main runs the example until Caddy ends.
func (p program) Main() {
	if err := os.Setenv("ARCHIVE_TOKEN", archiveToken); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	p.Example.Main()
}

func main() { gotenberg.Main() }
