package app

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// Directive is a directive that does background work. The work finds it by its name,
// because a reload or a restart replaces the value that began the work.
type Directive interface {
	// Has reports whether the directive has a block for a job.
	Has(callback.Block) bool
	// Attempt tries once to do a callback's job. ok is false if the directive has
	// no block for the job.
	Attempt(ctx context.Context, rt *Runtime, cb *engine.Callback) (attempt callback.Attempt, ok bool)
	// Deliverer returns what sends the directive's results; nil stands for the
	// Deliverer of the global option.
	Deliverer() *Deliverer
}

// Register lets background work find a directive by its name. Of the copies of a directive
// that Claim allows, the first is found.
func (a *App) Register(name string, d Directive) {
	if a.directives == nil {
		a.directives = make(map[string]Directive)
	}
	if a.directives[name] == nil {
		a.directives[name] = d
	}
}

// OneNameOneDirective says why a name belongs to one directive.
const OneNameOneDirective = "idempotency keys, metrics and background work belong to one name; give each directive its own"

// claim is a directive that has a name.
type claim struct {
	server *caddyhttp.Server
	config [sha256.Size]byte
}

// Claim makes sure that no other directive has the same name. A site with addresses on
// several ports is a server for each, so a server may have a copy of what another has. d is
// the directive as it is configured, before it is provisioned.
func (a *App) Claim(server *caddyhttp.Server, name string, d any) error {
	if name == "" {
		return nil
	}
	config, err := json.Marshal(d)
	if err != nil {
		return err
	}
	c := claim{server, sha256.Sum256(config)}
	if a.claims == nil {
		a.claims = make(map[string][]claim)
	}
	for _, other := range a.claims[name] {
		if other.config != c.config || other.server == server {
			return fmt.Errorf("name: there are two directives with the name %s; %s", name, OneNameOneDirective)
		}
	}
	a.claims[name] = append(a.claims[name], c)
	return nil
}

// AddBases adds base URLs of a directive: results are not delivered to them.
func (a *App) AddBases(urls ...string) error { return a.bases.Add(urls...) }

// Mention notes the name of a directive, and the keys of the placeholders that it
// injects. The configuration is refused if one of them refers to a directive that does not exist.
func (a *App) Mention(mode, name string, keys []string) { a.names.add(mode, name, keys) }
