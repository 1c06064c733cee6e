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
		if key == nil || text == nil || key.Name != "Title" && key.Name != "Detail" && key.Name != "Advice" {
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

// A person who sees a problem is told what to do about it.
func TestEveryProblemHasAdvice(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "catalogue.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	problems := 0
	ast.Inspect(file, func(n ast.Node) bool {
		literal, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		if of, ok := literal.Type.(*ast.Ident); !ok || of.Name != "Problem" {
			return true
		}
		problems++
		advised := false
		for _, element := range literal.Elts {
			pair, _ := element.(*ast.KeyValueExpr)
			if key, _ := pair.Key.(*ast.Ident); key.Name == "Advice" {
				advised = true
			}
		}
		if !advised {
			t.Errorf("the problem at %d has none", literal.Pos())
		}
		return true
	})
	if problems < 20 {
		t.Errorf("only %d problems were found", problems)
	}
}
