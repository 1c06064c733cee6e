package app

import (
	"context"
	"fmt"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// Directive is a directive whose background work is found by its name: after a reload
// or a restart it is another value than the one that began the work.
type Directive interface {
	// Attempt tries once to do a callback's job. It is not ok if the directive has no
	// block for the job.
	Attempt(ctx context.Context, rt *Runtime, cb *engine.Callback) (attempt callback.Attempt, ok bool)
	// Deliverer sends the results of the directive; nil where the global option's
	// does.
	Deliverer() *Deliverer
}

// Register makes a directive's background work findable by the directive's name.
func (a *App) Register(name string, d Directive) error {
	if a.directives == nil {
		a.directives = make(map[string]Directive)
	}
	if a.directives[name] != nil {
		return fmt.Errorf("name: there are two directives with the name %s, and what runs in the background is found by its name; give each its own", name)
	}
	a.directives[name] = d
	return nil
}

// AtStart adds a check that is made when the app starts: the base URLs and names of all
// directives are known by then.
func (a *App) AtStart(check func() error) { a.atStart = append(a.atStart, check) }

// AddBases adds base URLs of a directive: results are not delivered to them.
func (a *App) AddBases(urls ...string) error { return a.bases.Add(urls...) }

// Mention notes the name of a directive, and the keys of the placeholders that it
// injects. At the start, those that speak of another directive must find it.
func (a *App) Mention(mode, name string, keys []string) { a.names.add(mode, name, keys) }
