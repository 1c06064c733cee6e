package page

import (
	"errors"
	"html/template"
	"slices"
	"strings"
	"text/template/parse"
)

// Own is a page of which a site has written the body, and perhaps the title and more of the
// head.
type Own struct {
	Template *template.Template
	// Titled says that it has the title.
	Titled bool
}

// reserved are the names of the templates that make up a page.
var reserved = []string{"page", "body", "title", "head"}

// ParseOwn reads the template of a site's own page. It is what stands in the page's body, or
// defines the template body for that; title and head can be defined beside it. The name is
// that of its file, which errors name.
func ParseOwn(name, text string) (Own, error) {
	if slices.Contains(reserved, name) {
		name = "./" + name
	}
	t, err := template.New("page of a site").Funcs(functions).Parse(layout)
	if err != nil {
		return Own{}, err
	}
	frame, title := t.Lookup("page").Tree, t.Lookup("title").Tree
	own, err := t.New(name).Parse(text)
	if err != nil {
		return Own{}, errors.New(strings.TrimPrefix(err.Error(), "template: "))
	}
	if t.Lookup("page").Tree != frame {
		return Own{}, errors.New(name + " defines page, which is what is around its body; define body, title and head alone")
	}
	if t.Lookup("body") == nil {
		if own.Tree == nil || parse.IsEmptyTree(own.Tree.Root) {
			return Own{}, errors.New(name + " is empty, and so would be the page; write what stands in its body")
		}
		if _, err := t.AddParseTree("body", own.Tree); err != nil {
			return Own{}, err
		}
	}
	return Own{Template: t, Titled: t.Lookup("title").Tree != title}, nil
}
