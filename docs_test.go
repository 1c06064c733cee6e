package caddycallback_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-callback/caddy-callback/module/problem"
)

// TestProblemTypesAreDocumented makes sure that the address in every problem type
// leads to a heading, and every heading is of a type.
func TestProblemTypesAreDocumented(t *testing.T) {
	t.Parallel()
	same(t, "the problem type", problem.Busy.Type(), readManifest(t).Repository+"/blob/main/docs/problems.md#busy")
	var slugs []string
	inspect(t, "module", func(n ast.Node) {
		field, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return
		}
		name, ok := field.Key.(*ast.Ident)
		if _, literal := field.Value.(*ast.BasicLit); ok && literal && name.Name == "Slug" {
			slugs = append(slugs, text(t, field.Value))
		}
	})
	slices.Sort(slugs)
	sameSet(t, "the headings of docs/problems.md", headings(t, "docs/problems.md", "###"), slices.Compact(slugs))
}

// TestOptionsAreDocumented makes sure that the reference has every option that the
// parser says there is, and no other.
func TestOptionsAreDocumented(t *testing.T) {
	t.Parallel()
	reference := read(t, "docs/directives.md")
	_, hold, _ := strings.Cut(reference, "\n## callback hold\n")
	hold, rest, _ := strings.Cut(hold, "\n## callback_server\n")
	_, rest, _ = strings.Cut(rest, "\n## callback_api\n")
	api, rest, _ := strings.Cut(rest, "\n## callback_dashboard\n")
	dashboard, global, found := strings.Cut(rest, "\n## The global option callback\n")
	if !found {
		t.Fatal("docs/directives.md does not have the headings that this test looks for")
	}
	ofModes := []string{"timeout"}
	for _, mode := range []string{"hold", "park", "defer"} {
		ofModes = append(ofModes, options(t, ":80 {\n callback "+mode+" {\n nosuch\n}\n}")...)
	}
	slices.Sort(ofModes)
	sameSet(t, "the options of callback", headingsIn(hold, "###"), slices.Compact(ofModes))
	// "off" is all that their option takes, and part of the heading.
	for name, section := range map[string]string{"callback_api": api, "callback_dashboard": dashboard} {
		sameSet(t, "the options of "+name, headingsIn(strings.ReplaceAll(section, " off\n", "\n"), "###"),
			options(t, "{\n callback {\n base_url http://localhost\n}\n}\n:80 {\n "+name+" {\n nosuch\n}\n}"))
	}
	sameSet(t, "the global options", headingsIn(global, "###"), options(t, "{\n callback {\n base_url http://localhost\n nosuch\n}\n}"))
	for _, name := range options(t, "{\n callback {\n base_url http://localhost\n store badger {\n nosuch\n}\n}\n}") {
		if !strings.Contains(global, "\n| `"+name+"` |") {
			t.Errorf("the table of the store's options does not have %s", name)
		}
	}
}

// options returns the options that the error about an unknown one lists.
func options(t *testing.T, caddyfile string) []string {
	t.Helper()
	_, err := adapt(caddyfile)
	if err == nil {
		t.Fatalf("an unknown option is accepted:\n%s", caddyfile)
	}
	_, list, found := strings.Cut(err.Error(), "its options are ")
	if !found {
		t.Fatalf("the error lists no options: %v", err)
	}
	list, _, _ = strings.Cut(strings.ReplaceAll(list, " and ", ", "), ", at ")
	return strings.Split(list, ", ")
}

// TestCaddyfilesOfTheDocs makes sure that every Caddyfile in the docs can be used.
func TestCaddyfilesOfTheDocs(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?s)\n```caddyfile\n(.*?)```\n")
	awaits := regexp.MustCompile(`\tcallback (\S+ )?(hold|park)\b`)
	count := 0
	for _, page := range pages(t) {
		for i, match := range block.FindAllStringSubmatch(read(t, page), -1) {
			count++
			if warnings, err := adapt(whole(match[1])); err != nil || len(warnings) > 0 {
				t.Errorf("%s, Caddyfile %d: %v %v", page, i+1, err, warnings)
			}
			if !strings.HasPrefix(match[1], "callback") && awaits.MatchString(match[1]) && !strings.Contains(match[1], "\tcallback_server") {
				t.Errorf("%s, Caddyfile %d: it awaits calls, and has no callback_server", page, i+1)
			}
		}
	}
	if count == 0 {
		t.Error("the docs have no Caddyfile")
	}
}

// whole puts a directive that stands alone into a Caddyfile, and lets imports of partners find
// the examples, which readers copy beside their own.
func whole(example string) string {
	example = strings.ReplaceAll(example, "import partners/", "import examples/partners/")
	if !strings.HasPrefix(example, "callback") {
		return example
	}
	site := "\t" + strings.ReplaceAll(strings.TrimSuffix(example, "\n"), "\n", "\n\t")
	return "{\n\tcallback {\n\t\tbase_url https://app.example.com\n\t}\n}\n\napp.example.com {\n" + site + "\n}\n"
}

// TestNoExampleLeavesCallsToNobody makes sure that something follows callback_server in
// every site: Caddy answers what no handler takes with an empty 200, and a partner with a
// wrong URL would believe that it was heard.
func TestNoExampleLeavesCallsToNobody(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?s)\n```caddyfile\n(.*?)```\n")
	caddyfiles := make(map[string]string)
	for _, page := range pages(t) {
		for i, match := range block.FindAllStringSubmatch(read(t, page), -1) {
			caddyfiles[fmt.Sprintf("%s, Caddyfile %d", page, i+1)] = whole(match[1])
		}
	}
	examples, err := filepath.Glob("examples/*/Caddyfile")
	if err != nil || len(examples) == 0 {
		t.Fatalf("there are no examples: %v", err)
	}
	for _, path := range examples {
		caddyfiles[path] = read(t, path)
	}
	for name, caddyfile := range caddyfiles {
		raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var config struct {
			Apps struct {
				HTTP struct {
					Servers map[string]struct{ Routes []any }
				}
			}
		}
		if err := json.Unmarshal(raw, &config); err != nil {
			t.Fatal(err)
		}
		for _, server := range config.Apps.HTTP.Servers {
			for _, site := range server.Routes {
				if handlers := handlersIn(site); len(handlers) > 0 && handlers[len(handlers)-1] == "callback_server" {
					t.Errorf("%s: nothing follows callback_server; add respond 404", name)
				}
			}
		}
	}
}

// handlersIn returns the names of a site's handlers, in order.
func handlersIn(site any) []string {
	var names []string
	switch site := site.(type) {
	case []any:
		for _, element := range site {
			names = append(names, handlersIn(element)...)
		}
	case map[string]any:
		if name, ok := site["handler"].(string); ok && name != "subroute" {
			return []string{name}
		}
		names = append(handlersIn(site["routes"]), handlersIn(site["handle"])...)
	}
	return names
}

func adapt(caddyfile string) ([]caddyconfig.Warning, error) {
	_, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	return warnings, err
}

// TestLinksOfTheDocs makes sure that every link between the docs leads to a file
// and, if it names one, to a heading in it.
func TestLinksOfTheDocs(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(match[1], "#")
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			content := read(t, path)
			if anchor != "" && !slices.Contains(anchors(content), anchor) {
				t.Errorf("%s: %s leads to no heading", page, match[1])
			}
		}
	}
}

// pages returns all pages that are written for people.
func pages(t *testing.T) (paths []string) {
	t.Helper()
	walk(t, ".", func(path string) {
		if strings.HasSuffix(path, ".md") {
			paths = append(paths, path)
		}
	})
	return paths
}

func headings(t *testing.T, path, level string) []string {
	t.Helper()
	return headingsIn(read(t, path), level)
}

// headingsIn returns the headings of one level.
func headingsIn(page, level string) (found []string) {
	for line := range strings.Lines(page) {
		if heading, ok := strings.CutPrefix(line, level+" "); ok {
			found = append(found, strings.TrimSpace(heading))
		}
	}
	return found
}

var notInAnchors = regexp.MustCompile(`[^a-z0-9 _-]`)

// anchors returns the addresses of a page's headings, as GitHub makes them.
func anchors(page string) (all []string) {
	count := make(map[string]int)
	for line := range strings.Lines(page) {
		heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !ok || !strings.HasPrefix(line, "#") {
			continue
		}
		anchor := strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), ""), " ", "-")
		if n := count[anchor]; n > 0 {
			all = append(all, fmt.Sprintf("%s-%d", anchor, n))
		} else {
			all = append(all, anchor)
		}
		count[anchor]++
	}
	return all
}

// TestThreatsAreTried makes sure that there is every test that docs/security.md names.
func TestThreatsAreTried(t *testing.T) {
	t.Parallel()
	there := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	walk(t, ".", func(path string) {
		if strings.HasSuffix(path, "_test.go") {
			for _, match := range function.FindAllStringSubmatch(read(t, path), -1) {
				there[match[1]] = true
			}
		}
	})
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	for _, page := range []string{"docs/security.md", "docs/reliability.md"} {
		matches := named.FindAllStringSubmatch(read(t, page), -1)
		if len(matches) == 0 {
			t.Errorf("%s names no test", page)
		}
		if strings.Contains(read(t, page), "FIG_") {
			t.Errorf("%s lacks a figure", page)
		}
		for _, match := range matches {
			if !there[match[1]] {
				t.Errorf("%s: there is no %s", page, match[1])
			}
		}
	}
}
