package problem

import (
	"bytes"
	"html/template"
	"net/http"
)

// ForPeople returns a writer to which problems are written as pages, for a person whose
// browser shows them.
func ForPeople(w http.ResponseWriter) http.ResponseWriter { return forPeople{w} }

type forPeople struct{ http.ResponseWriter }

// Unwrap returns the writer within, as http.ResponseController wants it.
func (p forPeople) Unwrap() http.ResponseWriter { return p.ResponseWriter }

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Title}}</title></head>
<body><h1>{{.Title}}</h1><p>{{.Detail}}</p></body>
</html>
`))

// representation returns the problem as the writer wants it, and its media type.
func (p Problem) representation(w http.ResponseWriter) (body []byte, mediaType string) {
	if _, people := w.(forPeople); !people {
		return p.Document(), MediaType
	}
	var b bytes.Buffer
	if err := page.Execute(&b, p); err != nil {
		return p.Document(), MediaType
	}
	return b.Bytes(), "text/html; charset=utf-8"
}
