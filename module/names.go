package module

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// names are those of the directives of a configuration, and those that placeholders
// speak of.
type names struct {
	given map[string]bool
	// meant has the placeholders by the name that they begin with.
	meant map[string]string
}

// add notes a directive's name, and the names that its injections speak of.
func (n *names) add(h *Handler) {
	if n.given == nil {
		n.given, n.meant = make(map[string]bool), make(map[string]string)
	}
	if h.Name != "" {
		n.given[h.Name] = true
	}
	for _, i := range h.injections {
		for _, key := range i.value.keys() {
			if rest, ours := strings.CutPrefix(key, callback.PlaceholderPrefix); ours && isEarlierCall(rest) {
				name, _, _ := strings.Cut(rest, ".")
				n.meant[name] = key
			}
		}
	}
}

// check makes sure that placeholders speak of directives that there are: others would
// stay as they are written, and nobody would notice.
func (n *names) check() error {
	for name, key := range n.meant {
		if n.given[name] {
			continue
		}
		if len(n.given) == 0 {
			return fmt.Errorf("inject: {%s}: no directive has a name; give the one that is meant its name, as in: name %s", key, name)
		}
		known := strings.Join(slices.Sorted(maps.Keys(n.given)), ", ")
		return errors.New("inject: {" + key + "}: no directive has the name " + name + "; there are " + known)
	}
	return nil
}
