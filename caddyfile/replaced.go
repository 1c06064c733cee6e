package caddyfile

import (
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// withoutReplaced returns what stands from the token on that was read last, with its block,
// but without the options in the block whose place another one takes: a store reads its
// options itself, and knows nothing of imports.
func (o *options) withoutReplaced() *caddyfile.Dispenser {
	segment := o.NextSegment()
	d := caddyfile.NewDispenser(segment)
	d.Next()
	inner := newOptions(d, o.of)
	head := 1 + len(d.RemainingArgs())
	last := make(map[string]int)
	var kept [][]caddyfile.Token
	dropped := false
	for inner.next(0) {
		at := inner.all[len(inner.all)-1]
		if i, given := last[inner.name]; given && inner.all.replaces(at, inner.seen[inner.name]) {
			kept[i], dropped = nil, true
		}
		inner.seen[inner.name], last[inner.name] = at, len(kept)
		kept = append(kept, d.NextSegment())
	}
	if dropped {
		// The braces of the block are around what is kept.
		block := slices.Concat(kept...)
		segment = slices.Concat(segment[:head+1], block, segment[len(segment)-1:])
	}
	whole := caddyfile.NewDispenser(segment)
	whole.Next()
	return whole
}
