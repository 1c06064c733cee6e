// Package example runs an example: Caddy with the callback plugin, and a small
// partner for it, in one process.
package example

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	// Importing Caddy's modules and ours registers them.
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	// The plugin that the examples show.
	_ "github.com/caddy-callback/caddy-callback"
)

// Example is an example.
type Example struct {
	// Caddyfile is Caddy's configuration.
	Caddyfile []byte
	// Public and App are Caddy's two sites, as in the Caddyfile.
	Public, App Address
	// Partner is where the partner listens, and Serve what it does. Without Serve it
	// is a third site of Caddy's.
	Partner Address
	Serve   http.HandlerFunc
	// Backend is where the app itself listens, and Pages what it shows, in an example
	// that has one. The user then visits the public site.
	Backend Address
	Pages   http.Handler
	// Beside starts what runs beside Caddy, in an example that has that; stop is called
	// when Caddy ends.
	Beside func() (stop func(), err error)
	// Environment is what the Caddyfile finds in the environment if nothing else is there.
	Environment map[string]string
	// Greeting says what to do when Caddy is ready; %s in it stands for the app's
	// site, or for the public one if the example has Pages.
	Greeting string
}

// Main runs the example until Caddy ends.
func (e Example) Main() {
	if err := e.prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	go e.greet()
	Run(e.Caddyfile)
}

// prepare starts the partner, and what else the example needs.
func (e Example) prepare() error {
	for name, value := range e.Environment {
		if os.Getenv(name) != "" {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	for _, site := range e.sites() {
		l, err := site.listen()
		if err != nil {
			return err
		}
		_ = l.Close()
	}
	if e.Serve != nil {
		l, err := e.Partner.listen()
		if err != nil {
			return err
		}
		go serve("the partner", l, e.Serve)
	}
	if e.hasBackend() {
		pages, err := e.Backend.listen()
		if err != nil {
			return err
		}
		go serve("the app", pages, e.Pages)
	}
	if e.Beside != nil {
		stop, err := e.Beside()
		if err != nil {
			return err
		}
		caddy.OnExit(func(context.Context) { stop() })
	}
	return nil
}

// Run runs Caddy in this process, until it ends, with the Caddyfile on its standard input.
func Run(caddyfile []byte) {
	input, output, err := os.Pipe()
	if err == nil {
		// Caddy keeps data of its own, too, which would otherwise go to the user's home.
		err = os.Setenv("XDG_DATA_HOME", "callback-data")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	go func() {
		_, _ = output.Write(caddyfile)
		_ = output.Close()
	}()
	os.Stdin = input
	os.Args = []string{os.Args[0], "run", "--config", "-", "--adapter", "caddyfile"}
	caddycmd.Main()
}

// greet waits until Caddy serves, and prints Greeting.
func (e Example) greet() {
	for _, site := range e.sites() {
		for !site.serves() {
			time.Sleep(50 * time.Millisecond)
		}
	}
	at := e.App
	if e.hasBackend() {
		at = e.Public
	}
	fmt.Printf(e.Greeting, at)
}

// sites returns where Caddy listens.
func (e Example) sites() []Address {
	if e.Serve == nil {
		return []Address{e.Public, e.App, e.Partner}
	}
	return []Address{e.Public, e.App}
}

func (e Example) hasBackend() bool { return e.Pages != nil }

// serve runs the partner or the app.
func serve(who string, l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	fmt.Fprintf(os.Stderr, "Error: %s has ended: %v\n", who, server.Serve(l))
}

// Say prints what the partner does. The callback URL is a secret and must not be
// printed.
func Say(correlationID, format string, args ...any) {
	fmt.Printf("%s  partner, order %.8s: %s\n", time.Now().Format(time.TimeOnly), correlationID, fmt.Sprintf(format, args...))
}

// Address is an address of this machine, with the port in an environment variable, or
// else the default one.
type Address struct{ Variable, Port string }

// String returns the address as host:port.
func (a Address) String() string {
	port := os.Getenv(a.Variable)
	if port == "" {
		port = a.Port
	}
	return net.JoinHostPort("localhost", port)
}

func (a Address) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", a.String())
	if err != nil {
		return nil, fmt.Errorf("%w; to use another port, set %s", err, a.Variable)
	}
	return l, nil
}

func (a Address) serves() bool {
	c, err := net.Dial("tcp", a.String())
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
