package app

import (
	"context"
	"fmt"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// Directive is a directive that does background work. The work finds it by its name,
// because a reload or a restart replaces the value that began the work.
type Directive interface {
	// Attempt tries once to do a callback's job. ok is false if the directive has
	// no block for the job.
	Attempt(ctx context.Context, rt *Runtime, cb *engine.Callback) (attempt callback.Attempt, ok bool)
	// Deliverer returns what sends the directive's results; nil stands for the
	// Deliverer of the global option.
	Deliverer() *Deliverer
}

// Register lets background work find a directive by its name.
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

// AtStart adds a check that runs when the app starts: by then, the base URLs and names of
// all directives are known.
func (a *App) AtStart(check func() error) { a.atStart = append(a.atStart, check) }

// AddBases adds base URLs of a directive: results are not delivered to them.
func (a *App) AddBases(urls ...string) error { return a.bases.Add(urls...) }

// Mention notes the name of a directive, and the keys of the placeholders that it
// injects. Start fails if one of them refers to a directive that does not exist.
func (a *App) Mention(mode, name string, keys []string) { a.names.add(mode, name, keys) }
