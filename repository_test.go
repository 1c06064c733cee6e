package caddycallback_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-callback/caddy-callback"
)

const caddyModule = "github.com/caddyserver/caddy/v2"

// manifest is xcaddy.json.
type manifest struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	Repository string `json:"repository"`
	License    string `json:"license"`
	Caddy      struct {
		Modules       []string `json:"modules"`
		Directives    []string `json:"directives"`
		GlobalOptions []string `json:"global_options"`
	} `json:"caddy"`
	Compatibility struct {
		Caddy string `json:"caddy"`
		Go    string `json:"go"`
	} `json:"compatibility"`
	Dependencies []struct {
		Module  string `json:"module"`
		Version string `json:"version"`
	} `json:"dependencies"`
}

func readManifest(t *testing.T) (m manifest) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "xcaddy.json")), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestManifestIsTrueToGoMod(t *testing.T) {
	t.Parallel()
	m, mod := readManifest(t), readGoMod(t, "go.mod")
	same(t, "compatibility.go", m.Compatibility.Go, ">="+mod.Go)
	same(t, "compatibility.caddy", m.Compatibility.Caddy, ">="+strings.TrimPrefix(mod.version(caddyModule), "v"))
	same(t, "repository", m.Repository, "https://"+mod.Module.Path)
	same(t, "name", m.Name, filepath.Base(mod.Module.Path))
	if len(m.Dependencies) != 1 || m.Dependencies[0].Module != mod.Module.Path || m.Dependencies[0].Version != "v"+m.Version {
		t.Errorf("dependencies is %v, want %s at v%s: what Caddy is to be built with", m.Dependencies, mod.Module.Path, m.Version)
	}
}

func TestManifestIsTrueToTheFilesBesideIt(t *testing.T) {
	t.Parallel()
	m := readManifest(t)
	newest := regexp.MustCompile(`(?m)^## (\S+)`).FindStringSubmatch(read(t, "CHANGELOG.md"))
	if newest == nil {
		t.Fatal("CHANGELOG.md has no version")
	}
	same(t, "version", m.Version, newest[1])
	if m.License != "Apache-2.0" || !strings.Contains(read(t, "LICENSE"), "Apache License\n                           Version 2.0") {
		t.Errorf("license is %s, and LICENSE does not say so", m.License)
	}
}

func TestManifestListsWhatIsRegistered(t *testing.T) {
	t.Parallel()
	m, own := readManifest(t), readGoMod(t, "go.mod").Module.Path
	var modules []string
	for _, id := range caddy.Modules() {
		info, err := caddy.GetModule(id)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(reflect.Indirect(reflect.ValueOf(info.New())).Type().PkgPath(), own+"/") {
			modules = append(modules, id)
		}
	}
	sameSet(t, "caddy.modules", m.Caddy.Modules, modules)
	sameSet(t, "caddy.directives", m.Caddy.Directives, registered(t, "RegisterHandlerDirective", "RegisterDirective"))
	sameSet(t, "caddy.global_options", m.Caddy.GlobalOptions, registered(t, "RegisterGlobalOption"))
}

// registered returns the names that package caddyfile registers with those functions.
func registered(t *testing.T, functions ...string) (names []string) {
	t.Helper()
	inspect(t, "caddyfile", func(n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return
		}
		function, ok := call.Fun.(*ast.SelectorExpr)
		if ok && slices.Contains(functions, function.Sel.Name) {
			names = append(names, text(t, call.Args[0]))
		}
	})
	return names
}

// TestCaddysPinsAreNotRaised makes sure that Caddy is built with the versions
// that it was tested with, also when this plugin is in it.
func TestCaddysPinsAreNotRaised(t *testing.T) {
	t.Parallel()
	built := make(map[string]string)
	for line := range strings.Lines(run(t, ".", "go", "list", "-m", "-f", "{{.Path}} {{.Version}}", "all")) {
		path, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		built[path] = version
	}
	dir := strings.TrimSpace(run(t, ".", "go", "list", "-m", "-f", "{{.Dir}}", caddyModule))
	pins := readGoMod(t, filepath.Join(dir, "go.mod")).Require
	if len(pins) < 50 {
		t.Fatalf("Caddy's go.mod has only %d requirements", len(pins))
	}
	for _, pin := range pins {
		if built[pin.Path] != pin.Version {
			t.Errorf("Caddy requires %s %s, and is built with %s here: move what raises it into a module of its own",
				pin.Path, pin.Version, built[pin.Path])
		}
	}
}

// TestNestedModules runs the tests of the modules below this one, which have
// dependencies that would raise Caddy's own.
func TestNestedModules(t *testing.T) {
	t.Parallel()
	for _, dir := range nestedModules(t) {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			// They run what is compiled from this module, and "go test" looks for changes only
			// in their own.
			t.Log(run(t, dir, "go", "test", "-count=1", "./..."))
		})
	}
}

// nestedModules returns the folders with a go.mod of their own. It reads what is
// in them, so that "go test" does not remember a result when that has changed.
func nestedModules(t *testing.T) (dirs []string) {
	t.Helper()
	walk(t, ".", func(path string) {
		if filepath.Base(path) == "go.mod" && path != "go.mod" {
			dirs = append(dirs, filepath.Dir(path))
		}
	})
	for _, dir := range dirs {
		walk(t, dir, func(path string) { read(t, path) })
	}
	return dirs
}

// TestCorporaAreSmall makes sure that the folder of a fuzz target holds only inputs
// that failed once, and the few that cover what f.Add's do not: every clone carries
// them, and every go test runs them. What fuzzing finds interesting belongs into the
// fuzzing cache.
func TestCorporaAreSmall(t *testing.T) {
	t.Parallel()
	const most = 32
	files := make(map[string]int)
	walk(t, ".", func(path string) {
		if dir := filepath.Dir(path); strings.HasSuffix(filepath.Dir(dir), filepath.Join("testdata", "fuzz")) {
			files[dir]++
		}
	})
	for dir, n := range files {
		if n > most {
			t.Errorf("%s holds %d files, want at most %d: keep what failed once, and leave out what covers no more statements", dir, n, most)
		}
	}
}

// goMod is a go.mod, as the go command prints it.
type goMod struct {
	Module  struct{ Path string }
	Go      string
	Require []struct{ Path, Version string }
}

func readGoMod(t *testing.T, path string) (mod goMod) {
	t.Helper()
	// So that "go test" does not remember a result when the file has changed.
	read(t, path)
	if err := json.Unmarshal([]byte(run(t, ".", "go", "mod", "edit", "-json", path)), &mod); err != nil {
		t.Fatal(err)
	}
	return mod
}

func (m goMod) version(path string) string {
	for _, r := range m.Require {
		if r.Path == path {
			return r.Version
		}
	}
	return ""
}

// inspect looks at every part of the Go files in and below a folder, tests left out.
func inspect(t *testing.T, dir string, look func(ast.Node)) {
	t.Helper()
	walk(t, dir, func(path string) {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, read(t, path), 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			look(n)
			return true
		})
	})
}

// text returns the value of a string literal.
func text(t *testing.T, e ast.Expr) string {
	t.Helper()
	literal, ok := e.(*ast.BasicLit)
	if !ok {
		t.Fatalf("%T stands where a string literal was expected", e)
	}
	s, err := strconv.Unquote(literal.Value)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// walk calls visit for every file in and below a folder. Hidden folders are left out, and what npm
// has installed.
func walk(t *testing.T, dir string, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return filepath.SkipDir
		case !d.IsDir():
			visit(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out, stderr.String())
	}
	return string(out)
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %q, want %q", what, got, want)
	}
}

// sameSet compares lists whose order does not matter.
func sameSet(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s is\n%q, want\n%q", what, got, want)
	}
}
