package caddycallback_test

import (
	"slices"
	"strings"
	"testing"
)

// floors are the packages of this module from the lowest floor up. A package imports only
// packages of floors below its own.
var floors = []string{
	"span quoted page failpoint linear memory outage verify",
	"problem unpack",
	"inject",
	"callback",
	"config deliver upstream routes store store/postgres/postgrestest trend",
	"engine store/storetest store/badger store/postgres store/archive",
	"answer",
	"app app/apptest",
	"desk",
	"hold api server dashboard",
	"command",
}

// caddysRooms are the packages below module/app that import Caddy: upstream sends requests
// through Caddy's handlers, routes walks through them, and a store registers itself.
var caddysRooms = []string{"upstream", "routes", "store/badger", "store/postgres", "app/apptest"}

// TestImportsPointDown holds the packages below module to their floors.
func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	const prefix = "github.com/caddy-callback/caddy-callback/module/"
	floorOf := make(map[string]int)
	for i, line := range floors {
		for room := range strings.FieldsSeq(line) {
			floorOf[room] = i
		}
	}
	walk(t, "module", func(path string) {
		if strings.HasSuffix(path, ".go") {
			// So that "go test" does not remember a result when an import has changed.
			read(t, path)
		}
	})
	seen := 0
	for line := range strings.Lines(run(t, ".", "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./module/...")) {
		words := strings.Fields(line)
		room := strings.TrimPrefix(words[0], prefix)
		floor, known := floorOf[room]
		if !known {
			t.Errorf("module/%s stands on no floor; say in this test on which", room)
			continue
		}
		seen++
		for _, imported := range words[1:] {
			below, ours := strings.CutPrefix(imported, prefix)
			if !ours && strings.HasPrefix(imported, strings.TrimSuffix(prefix, "module/")) {
				t.Errorf("module/%s imports %s, which is above all rooms", room, imported)
			}
			if ours && floorOf[below] >= floor {
				t.Errorf("module/%s imports module/%s, which is not below it", room, below)
			}
			if strings.HasPrefix(imported, caddyModule) && floor < floorOf["app"] && !slices.Contains(caddysRooms, room) {
				t.Errorf("module/%s imports %s, and knows Caddy by that", room, imported)
			}
		}
	}
	if seen != len(floorOf) {
		t.Errorf("%d packages stand on the floors, and there are %d", len(floorOf), seen)
	}
}
