package caddyfile

import (
	"errors"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// origin is where a token stands: in a file, or in a snippet of a file.
type origin struct {
	file, snippet string
	line          int
	// importedAt is the import line that has brought the token here. A token that was
	// brought by none is the user's own.
	importedAt position
}

type position struct {
	file string
	line int
}

// originOf returns where the token stands that was read last. Caddy tells of imports in the
// text of errors alone.
func originOf(d *caddyfile.Dispenser) origin {
	at := origin{file: d.File(), line: d.Line()}
	_, chain, imported := strings.Cut(d.WrapErr(errors.New("")).Error(), ":"+strconv.Itoa(at.line)+" import chain ['")
	if !imported {
		return at
	}
	// The last one is the line that stands closest: FILE:LINE (import), or FILE:LINE (import SNIPPET).
	chain = strings.TrimSuffix(chain, "']")
	if i := strings.LastIndex(chain, "','"); i >= 0 {
		chain = chain[i+len("','"):]
	}
	where, snippet, _ := strings.Cut(chain, " (import")
	at.snippet = strings.Trim(snippet, " )")
	if i := strings.LastIndexByte(where, ':'); i >= 0 {
		at.importedAt.file = where[:i]
		at.importedAt.line, _ = strconv.Atoi(where[i+1:])
	}
	return at
}

// sameText reports whether both stand in the same file and snippet.
func (at origin) sameText(other origin) bool {
	return at.file == other.file && at.snippet == other.snippet
}

// origins are where the tokens of a block stand that were read so far, its own first.
type origins []origin

// replaces reports whether an option that stands at later may take the place of one that
// was given at earlier: one that came with an import, which does not stand around the later
// one and is not its own text.
func (all origins) replaces(later, earlier origin) bool {
	return earlier.importedAt != (position{}) && !earlier.sameText(later) && !all.imports(earlier, later)
}

// imports reports whether the text at outer has, at some remove, brought the token at inner.
func (all origins) imports(outer, inner origin) bool {
	for range all {
		if inner.importedAt == (position{}) {
			return false
		}
		around, known := all.around(inner.importedAt)
		if !known {
			// The block's own text is around everything that was imported into it.
			return outer.sameText(all[0])
		}
		if around.sameText(outer) {
			return true
		}
		if around.sameText(all[0]) {
			return false
		}
		inner = around
	}
	return false
}

// around returns the text that has the import line at p: that of the token which stands
// closest before it.
func (all origins) around(p position) (around origin, known bool) {
	for _, at := range all {
		if at.file == p.file && at.line <= p.line && (!known || at.line >= around.line) {
			around, known = at, true
		}
	}
	return around, known
}
