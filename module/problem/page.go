package problem

import (
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/page"
)

// For returns a writer for the answer to a request, to which problems are written as pages if
// the request is to be answered with one. What is no problem is written as it is.
func For(w http.ResponseWriter, wantsPage bool) http.ResponseWriter { return asked{w, wantsPage} }

// ForRequest is For, as page.Wanted says it.
func ForRequest(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	return For(w, page.Wanted(r))
}

// asked is a writer that knows how its client wants to be told of problems.
type asked struct {
	http.ResponseWriter
	page bool
}

// Unwrap returns the writer within, as http.ResponseController wants it.
func (a asked) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// shown is what the page of a problem shows.
type shown struct {
	Problem
	// StatusText names the status.
	StatusText string
	// ResultURL is where the result can be looked for, "" for nowhere.
	ResultURL string
	Facts     []fact
}

// fact is a line of the details.
type fact struct{ Name, Value string }

// factNames are how pages call the members of documents. Members that are not among them are
// not shown.
var factNames = map[string]string{
	"id": "Id", "correlationId": "Correlation id", "field": "Field", "documentStatus": "Document status",
	"technicalStatus": "Technical status", "errorCode": "Error code",
}

var body = page.New("problem", `{{define "body"}}<main>
<div class="card">
<h1>{{text .Title}}</h1>
<p>{{text .Advice}}</p>
{{with .ResultURL}}<p class="actions"><a class="button second" href="{{.}}">Look for the result</a></p>
{{end}}<h2>Details</h2>
<dl>
<dt>Status</dt><dd>{{.Status}} {{.StatusText}}</dd>
{{with .Detail}}<dt>Reason</dt><dd>{{text .}}</dd>
{{end}}{{range .Facts}}<dt>{{.Name}}</dt><dd>{{text .Value}}</dd>
{{end}}</dl>
</div>
</main>{{end}}`)

// writePage answers with the page of the problem. Whatever the error, nothing was written then.
func (p Problem) writePage(w http.ResponseWriter) error {
	data := shown{Problem: p, StatusText: http.StatusText(p.Status)}
	for _, m := range p.Members {
		switch name, known := factNames[m.Name]; {
		case m.Value == "":
		case known:
			data.Facts = append(data.Facts, fact{name, m.Value})
		case m.Name == "resultUrl":
			data.ResultURL = m.Value
		}
	}
	return page.Write(w, body, page.View{Title: p.Title, Status: p.Status, Data: data})
}
