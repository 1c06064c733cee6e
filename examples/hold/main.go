// Command hold is Caddy with the callback plugin, and a small partner for it that
// answers by callback, two seconds later.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. HOLD_PUBLIC_PORT, HOLD_APP_PORT and
// HOLD_PARTNER_PORT in the environment replace the ports 8080, 9000 and 9001.
package main

import (
	_ "embed"
	"fmt"
	"net"
	"os"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-callback/caddy-callback"
)

//go:embed Caddyfile
var configuration []byte

// The addresses of this example: Caddy's two sites, as in the Caddyfile, and the
// partner.
var (
	public  = address{"HOLD_PUBLIC_PORT", "8080"}
	app     = address{"HOLD_APP_PORT", "9000"}
	partner = address{"HOLD_PARTNER_PORT", "9001"}
)

func main() {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	caddycmd.Main()
}

// prepare starts the partner, and lays out what Caddy will find: its arguments,
// and the Caddyfile on its standard input.
func prepare() error {
	for _, site := range []address{public, app} {
		l, err := site.listen()
		if err != nil {
			return err
		}
		_ = l.Close()
	}
	l, err := partner.listen()
	if err != nil {
		return err
	}
	input, output, err := os.Pipe()
	if err != nil {
		return err
	}
	// Caddy keeps data of its own, too. It would go to the user's home.
	if err := os.Setenv("XDG_DATA_HOME", "callback-data"); err != nil {
		return err
	}
	go servePartner(l)
	go greet()
	go func() {
		_, _ = output.Write(configuration)
		_ = output.Close()
	}()
	os.Stdin = input
	os.Args = []string{os.Args[0], "run", "--config", "-", "--adapter", "caddyfile"}
	return nil
}

// greet waits until Caddy serves, and says what to do then.
func greet() {
	for _, site := range []address{public, app} {
		for !site.serves() {
			time.Sleep(50 * time.Millisecond)
		}
	}
	fmt.Printf(`Caddy is ready to hold requests. In another terminal, run

    curl -i http://%s/orders -d '{"item":"book"}'

The partner accepts the order at once and calls back two seconds later; only then
does curl get its answer. Ctrl+C ends this.

`, app)
}

// address is an address of this machine, with the port that a variable of the
// environment names, or else the usual one.
type address struct{ variable, port string }

// String returns the address as host:port.
func (a address) String() string {
	port := os.Getenv(a.variable)
	if port == "" {
		port = a.port
	}
	return net.JoinHostPort("localhost", port)
}

func (a address) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", a.String())
	if err != nil {
		return nil, fmt.Errorf("%w; to use another port, set %s", err, a.variable)
	}
	return l, nil
}

func (a address) serves() bool {
	c, err := net.Dial("tcp", a.String())
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
