// Command grexx is Caddy with the callback plugin, a small platform whose payments
// come back by callback, and a small bank. It shows the system service Callback of
// Grexx, with Caddy in its place.
//
// Caddy's configuration is the Caddyfile beside this file. It is compiled in, so
// that the command works from any directory. GREXX_PUBLIC_PORT, GREXX_APP_PORT,
// GREXX_API_PORT and GREXX_BANK_PORT in the environment replace the ports 8080,
// 3000, 9000 and 9001.
package main

import (
	_ "embed"
	"fmt"
	"html"
	"net/http"
	"time"

	"github.com/caddy-callback/caddy-callback/examples/internal/example"
)

//go:embed Caddyfile
var configuration []byte

// The addresses of all parties.
var (
	public = example.Address{Variable: "GREXX_PUBLIC_PORT", Port: "8080"}
	api    = example.Address{Variable: "GREXX_API_PORT", Port: "9000"}
	bank   = example.Address{Variable: "GREXX_BANK_PORT", Port: "9001"}
	pages  = example.Address{Variable: "GREXX_APP_PORT", Port: "3000"}
)

var grexx = example.Example{
	Caddyfile: configuration,
	Public:    public,
	App:       api,
	Partner:   bank,
	Serve:     serveBank,
	Backend:   pages,
	Pages:     newPlatform(),
	Greeting: `Caddy is ready. Open this page in a browser and pay:

    http://%s/

Ctrl+C ends this.

`,
}

func main() { grexx.Main() }

// say prints what happens. It must not print the callback URL, which is a secret.
func say(format string, args ...any) {
	fmt.Printf("%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// page answers with a page, whose content is HTML.
func page(w http.ResponseWriter, status int, content string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<!doctype html>\n<title>Grexx</title>\n%s\n", content)
}

// serveBank is the bank: a customer who is sent here pays, or does not, and is sent
// back.
func serveBank(w http.ResponseWriter, r *http.Request) {
	back := html.EscapeString(r.FormValue("back"))
	page(w, http.StatusOK, `<p>Pay 17 euros?</p>
<p><a href="`+back+`?status=ok">Pay</a></p>
<p><a href="`+back+`?status=cancelled">Cancel</a></p>
<p><a href="`+back+`?status=odd">Come back with something odd</a></p>`)
}
