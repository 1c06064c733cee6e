package span

import (
	"net/http"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// The attributes that have URLs, or parts of them, by the conventions of today and of earlier
// times.
const query = attribute.Key("url.query")

var paths = []attribute.Key{"url.path", "url.full", "url.original", "http.target", "http.url"}

// cut stands where something was.
const cut = "***"

// Hide takes the path and the query of a request, which hold secrets, out of the span that Caddy
// has made of it. shown stands in the place of the path; a URL that has the path in another
// spelling goes as a whole.
func Hide(r *http.Request, shown string) {
	span := trace.SpanFromContext(r.Context())
	known, ok := span.(interface{ Attributes() []attribute.KeyValue })
	if !ok || !span.IsRecording() {
		return
	}
	for _, a := range known.Attributes() {
		if a.Value.Type() != attribute.STRING {
			continue
		}
		value := a.Value.AsString()
		hidden := strings.ReplaceAll(value, r.URL.Path, shown)
		if r.URL.RawQuery != "" {
			hidden = strings.ReplaceAll(hidden, r.URL.RawQuery, cut)
		}
		switch {
		case a.Key == query:
			hidden = cut
		case slices.Contains(paths, a.Key) && !strings.Contains(hidden, shown):
			hidden = shown
		}
		if hidden != value {
			span.SetAttributes(a.Key.String(hidden))
		}
	}
}
