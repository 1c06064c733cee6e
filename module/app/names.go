package app

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
)

// names are the names of a configuration's directives, and the names that placeholders
// refer to.
type names struct {
	given map[string]bool
	meant []mention
}

// mention is a placeholder in a directive's injections, and the name that it refers to.
type mention struct{ mode, key, name string }

// add notes a directive's name, and the names that its placeholders refer to.
func (n *names) add(mode, name string, keys []string) {
	if n.given == nil {
		n.given = make(map[string]bool)
	}
	if name != "" {
		n.given[name] = true
	}
	for _, key := range keys {
		rest, ours := strings.CutPrefix(key, callback.PlaceholderPrefix)
		if of, ok := callback.EarlierCall(rest); ok && ours {
			n.meant = append(n.meant, mention{mode, key, of})
		}
	}
}

// check makes sure that placeholders refer to directives that exist. Others would never
// be replaced, without any error.
func (n *names) check() error {
	for _, m := range n.meant {
		if n.given[m.name] {
			continue
		}
		return fmt.Errorf("callback %s: inject: {%s}: %w", m.mode, m.key, noDirective(m.name, n.given))
	}
	return nil
}

// noDirective returns the error that no directive has a name.
func noDirective(name string, given map[string]bool) error {
	if len(given) == 0 {
		return fmt.Errorf("no directive has a name; give the one that is meant its name, as in: name %s", name)
	}
	names := slices.Sorted(maps.Keys(given))
	if near := config.Nearest(name, names); near != "" {
		return fmt.Errorf("no directive has the name %s; did you mean %s?", name, near)
	}
	return fmt.Errorf("no directive has the name %s; there are %s", name, strings.Join(names, ", "))
}
