// Command oauth is Caddy with the callback plugin, a small app whose users sign in
// with OAuth 2.0, and a small authorization server for it.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. OAUTH_PUBLIC_PORT, OAUTH_APP_PORT,
// OAUTH_API_PORT and OAUTH_SERVER_PORT in the environment replace the ports 8080,
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
	public = example.Address{Variable: "OAUTH_PUBLIC_PORT", Port: "8080"}
	api    = example.Address{Variable: "OAUTH_API_PORT", Port: "9000"}
	server = example.Address{Variable: "OAUTH_SERVER_PORT", Port: "9001"}
	pages  = example.Address{Variable: "OAUTH_APP_PORT", Port: "3000"}
)

var oauth = example.Example{
	Caddyfile: configuration,
	Public:    public,
	App:       api,
	Partner:   server,
	Serve:     newAuthorizationServer().ServeHTTP,
	Backend:   pages,
	Pages:     newApp(),
	Greeting: `Caddy is ready. Open this page in a browser and sign in:

    http://%s/

Ctrl+C ends this.

`,
}

func main() { oauth.Main() }

// say prints what happens. It must not print state, code or token, which are secrets.
func say(format string, args ...any) {
	fmt.Printf("%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// page answers with a page, whose content is HTML.
func page(w http.ResponseWriter, status int, content string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<!doctype html>\n<title>OAuth</title>\n%s\n", content)
}
