package app

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
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
		if len(n.given) == 0 {
			return fmt.Errorf("callback %s: inject: {%s}: no directive has a name; give the one that is meant its name, as in: name %s", m.mode, m.key, m.name)
		}
		known := strings.Join(slices.Sorted(maps.Keys(n.given)), ", ")
		return fmt.Errorf("callback %s: inject: {%s}: no directive has the name %s; there are %s", m.mode, m.key, m.name, known)
	}
	return nil
}
