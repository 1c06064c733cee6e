package caddycallback_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// reading are the calls that read as much as the other side sends, by the import path of
// their package. The first argument of some says where it goes.
var reading = map[string][]string{
	"io":                {"ReadAll", "Copy", "CopyN", "CopyBuffer"},
	"io/ioutil":         {"ReadAll"},
	"encoding/json":     {"NewDecoder"},
	"encoding/xml":      {"NewDecoder"},
	"encoding/gob":      {"NewDecoder"},
	"net/http/httputil": {"DumpRequest", "DumpRequestOut", "DumpResponse"},
}

// readingMethods are methods that do so, of any type.
var readingMethods = []string{"ReadFrom", "ParseForm", "ParseMultipartForm", "FormValue", "PostFormValue", "FormFile"}

// readsOtherwise are the places where that is right, and why: what comes from outside is
// read into a memory.Buffer, or piece by piece.
var readsOtherwise = map[string]string{
	"module/answer/result.go io.Copy":           "it goes to the client, as the client takes it",
	"module/answer/reading.go io.Copy":          "it goes into a hash",
	"module/answer/served.go io.Copy":           "it goes to the client, as the client takes it",
	"module/answer/waitpage.go io.ReadAll":      "it is at most 16 KiB of a result, which a page shows",
	"module/hold/page.go io.ReadAll":            "it is a file of the operator's, of limited size",
	"module/api/create.go json.NewDecoder":      "the body is in a buffer with a lease",
	"module/api/fields.go json.NewDecoder":      "the body is in a buffer with a lease",
	"module/command/change.go io.ReadAll":       "the command is a process of its own, and reads what its user gives it",
	"module/command/command.go io.ReadAll":      "the command is a process of its own, and reads what the server answers",
	"module/dashboard/body.go io.Copy":          "it goes to the client, as the client takes it",
	"module/deliver/signature.go io.Copy":       "it goes into a hash",
	"module/store/storetest/body.go io.ReadAll": "it is a test",
}

// TestWhatComesFromOutsideIsReadUnderALease holds all rooms to memory.Buffer: nothing else
// keeps what others send.
func TestWhatComesFromOutsideIsReadUnderALease(t *testing.T) {
	t.Parallel()
	found := make(map[string]bool)
	walk(t, "module", func(file string) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return
		}
		for call, line := range readingCalls(t, read(t, file)) {
			found[file+" "+call] = true
			if readsOtherwise[file+" "+call] == "" {
				t.Errorf("%s:%d: %s keeps what others send, and nobody counts it; use a memory.Buffer, or say in this test why it is right", file, line, call)
			}
		}
	})
	for place := range readsOtherwise {
		if !found[place] {
			t.Errorf("%s is not there; take it from the list", place)
		}
	}
}

// readingCalls returns the calls in a source that read as much as the other side sends, and
// their lines. What is thrown away is not kept.
func readingCalls(t *testing.T, source string) map[string]int {
	t.Helper()
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, "", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	packages := make(map[string]string)
	for _, spec := range parsed.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		packages[name] = imported
	}
	calls := make(map[string]int)
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if len(n.Args) > 0 && isSelector(n.Args[0], "io", "Discard") {
				return false
			}
		case *ast.SelectorExpr:
			imported, name := "", n.Sel.Name
			if of, ok := n.X.(*ast.Ident); ok {
				imported = packages[of.Name]
			}
			switch line := files.Position(n.Pos()).Line; {
			case slices.Contains(reading[imported], name):
				calls[path.Base(imported)+"."+name] = line
			case imported == "" && slices.Contains(readingMethods, name):
				calls[name] = line
			}
		}
		return true
	})
	return calls
}

func isSelector(e ast.Expr, of, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == of && s.Sel.Name == name
}

func TestReadingCallsAreFound(t *testing.T) {
	t.Parallel()
	const source = `package p
import ("bytes"; "io"; js "encoding/json"; "net/http/httputil")
func f(r io.Reader, q any) {
	_, _ = io.Copy(io.Discard, r)
	all := io.ReadAll
	js.NewDecoder(r)
	httputil.DumpRequest(nil, true)
	new(bytes.Buffer).ReadFrom(r)
	q.Body.ParseForm()
	ReadAll(r)
}`
	got := readingCalls(t, source)
	for call, line := range map[string]int{"io.ReadAll": 5, "json.NewDecoder": 6, "httputil.DumpRequest": 7, "ReadFrom": 8, "ParseForm": 9} {
		if got[call] != line {
			t.Errorf("%s is found at line %d, want %d", call, got[call], line)
		}
		delete(got, call)
	}
	if len(got) > 0 {
		t.Errorf("found besides: %v", got)
	}
}
