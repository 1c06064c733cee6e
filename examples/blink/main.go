// Command blink is Caddy with the callback plugin, a small workflow that waits for
// a callback, and a small ticket system that calls it back. It shows the action
// Generate Callback URL of Blink, with Caddy in its place.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. BLINK_PUBLIC_PORT, BLINK_WORKFLOW_PORT,
// BLINK_API_PORT and BLINK_TICKETS_PORT in the environment replace the ports 8080,
// 3000, 9000 and 9001.
package main

import (
	_ "embed"
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

// The addresses of all parties.
var (
	public   = example.Address{Variable: "BLINK_PUBLIC_PORT", Port: "8080"}
	api      = example.Address{Variable: "BLINK_API_PORT", Port: "9000"}
	tickets  = example.Address{Variable: "BLINK_TICKETS_PORT", Port: "9001"}
	workflow = example.Address{Variable: "BLINK_WORKFLOW_PORT", Port: "3000"}
)

var blink = example.Example{
	Caddyfile: configuration,
	Public:    public,
	App:       api,
	Partner:   tickets,
	Serve:     openTicket,
	Backend:   workflow,
	Pages:     http.HandlerFunc(runWorkflow),
	Greeting: `Caddy is ready. In another terminal, run

    curl -i http://%s/support -d '{"title":"the printer is on fire"}'

The workflow opens a ticket, waits until the ticket system calls back, two seconds
later, and goes on with what the call brought. Ctrl+C ends this.

`,
}

func main() { blink.Main() }

// say prints what happens. It must not print URL or key, which are secrets.
func say(format string, args ...any) {
	fmt.Printf("%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
