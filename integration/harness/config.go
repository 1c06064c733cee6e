package harness

import (
	"cmp"
	"fmt"
	"strings"
)

// BaseURL is where partners reach the public site.
const BaseURL = "http://callbacks.test"

// Config is a Caddyfile in its parts. The zero Config is the main job: a public
// site that takes the calls, and a private one that holds every request for up
// to two minutes and forwards it to the partner.
type Config struct {
	// Before holds snippets.
	Before string
	// Global holds further lines of the global options.
	Global string
	// Admin holds lines of the options of the admin endpoint.
	Admin string
	// BaseURL is the global base_url. The default is the constant of that name.
	BaseURL string
	// Store is the directory of the store. The default is "store" in the
	// Caddy's own directory.
	Store string
	// StoreLine holds the store option as a whole, in place of Store.
	StoreLine string
	// Callback holds further lines of the global callback block.
	Callback string
	// Public is what the public site holds. The default is callback_server.
	Public string
	// Timeout is how long the private site holds. The default is two minutes.
	Timeout string
	// Hold holds lines of the private site's callback block.
	Hold string
	// Private is what the private site holds. The default holds and forwards as
	// Timeout and Hold say.
	Private string
	// Sites holds whole further sites.
	Sites string
	// TLS serves the private site over HTTP/1.1, HTTP/2 and HTTP/3, too.
	TLS bool
	// Bare leaves out everything of the plugin: no global block, and sites that
	// hold what Public and Private say and nothing else.
	Bare bool
}

// Caddyfile returns the configuration as the server reads it.
func (c *Caddy) Caddyfile(cfg Config) string {
	var b strings.Builder
	b.WriteString(cfg.Before)
	b.WriteString("{\n")
	b.WriteString(indent(block("admin unix/"+c.Path("admin.sock"), cfg.Admin)))
	b.WriteString("\tpersist_config off\n\tauto_https disable_redirects\n")
	b.WriteString("\tservers {\n\t\tprotocols h1 h2 h2c h3\n\t}\n")
	b.WriteString(indent(cfg.Global))
	if !cfg.Bare {
		b.WriteString(indent(block("callback",
			"base_url "+cmp.Or(cfg.BaseURL, BaseURL),
			cmp.Or(cfg.StoreLine, "store badger "+cmp.Or(cfg.Store, c.Path("store"))),
			cfg.Callback)))
	}
	b.WriteString("}\n")

	public, private := cfg.Public, cfg.Private
	if !cfg.Bare {
		public = cmp.Or(public, "callback_server")
		private = cmp.Or(private, c.HoldAndForward("", cfg.Timeout, cfg.Hold))
	}
	b.WriteString(c.Site("callbacks", public))
	b.WriteString(c.Site("app", private))
	if cfg.TLS {
		b.WriteString(block("https://app.test:0",
			"bind 127.0.0.1",
			fmt.Sprintf("tls %s %s", c.Path("cert.pem"), c.Path("key.pem")),
			private))
	}
	b.WriteString(cfg.Sites)
	return b.String()
}

// HoldAndForward returns the directives that hold requests and forward them to
// the partner: those that the matcher selects, or all if it is empty.
func (c *Caddy) HoldAndForward(matcher, timeout, lines string) string {
	return Hold(matcher, timeout, lines) + "reverse_proxy unix/" + c.Path("partner.sock") + "\n"
}

// Hold returns a callback hold directive.
func Hold(matcher, timeout, lines string) string {
	return block(strings.Join(strings.Fields("callback "+matcher+" hold "+cmp.Or(timeout, "2m")), " "), lines)
}

// Site returns a site that clients reach as http://NAME.test.
func (c *Caddy) Site(name, lines string) string {
	return block("http://"+name+".test", "bind unix/"+c.socket(name), lines)
}

// socket returns where the site of that name listens.
func (c *Caddy) socket(name string) string { return c.Path(name + ".sock") }

func block(head string, lines ...string) string {
	var b strings.Builder
	b.WriteString(head + " {\n")
	for _, l := range lines {
		b.WriteString(indent(l))
	}
	b.WriteString("}\n")
	return b.String()
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\n"); line != "" {
			b.WriteString("\t" + line + "\n")
		}
	}
	return b.String()
}
