package problem

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"testing"
)

// configured matches words of a Caddyfile: options of two words, and what they stand in.
var configured = regexp.MustCompile(`[a-z]_[a-z]|\bCaddyfile\b|\bmatcher\b`)

// Clients and partners read these texts. They know nothing of the configuration, and
// cannot change it.
func TestProblemsNameNoOption(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "catalogue.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	texts := 0
	ast.Inspect(file, func(n ast.Node) bool {
		pair, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, _ := pair.Key.(*ast.Ident)
		text, _ := pair.Value.(*ast.BasicLit)
		if key == nil || text == nil || key.Name != "Title" && key.Name != "Detail" {
			return true
		}
		texts++
		if word := configured.FindString(text.Value); word != "" {
			t.Errorf("%s names %q", text.Value, word)
		}
		return true
	})
	if texts < 20 {
		t.Errorf("only %d texts were found", texts)
	}
}
