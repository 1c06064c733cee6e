// Package problem holds the error answers: problem documents (RFC 9457) with
// stable types.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddy-callback/caddy-callback/module/page"
)

// typeBase begins every problem type. What follows it is the problem's slug.
const typeBase = "https://github.com/caddy-callback/caddy-callback/blob/main/docs/problems.md#"

// MediaType is the media type of problem documents.
const MediaType = "application/problem+json"

// Sentence returns an error's text as a sentence.
func Sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// Problem is an error answer.
type Problem struct {
	// Slug is the last part of the type, which programs can rely on.
	Slug string
	// Status is the HTTP status.
	Status int
	// Title describes the type for people; it is the same for every occurrence.
	Title string
	// Detail says what is wrong this time, and what to do.
	Detail string
	// Advice says what a person can do who sees the problem as a page: a sentence or two.
	Advice string
	// RetryAfter is how long to wait before another try; with 0 the header is not
	// sent.
	RetryAfter time.Duration
	// Header is added to the answer.
	Header http.Header
	// Members are further members of the document.
	Members []Member
}

// Member is a further member of a problem document.
type Member struct {
	Name  string
	Value string
}

// With returns the problem with another detail.
func (p Problem) With(detail string) Problem {
	p.Detail = detail
	return p
}

// Type returns the problem type.
func (p Problem) Type() string { return typeBase + p.Slug }

// Error makes a problem usable as an error.
func (p Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Detail
}

// Document returns the problem document. Members without a value are left out.
func (p Problem) Document() []byte {
	b := []byte("{")
	add := func(name, value string) {
		if value == "" {
			return
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = appendString(b, name)
		b = append(b, ':')
		b = appendString(b, value)
	}
	add("type", p.Type())
	add("title", p.Title)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(p.Status), 10)
	add("detail", p.Detail)
	for _, m := range p.Members {
		add(m.Name, m.Value)
	}
	return append(b, "}\n"...)
}

func appendString(b []byte, s string) []byte {
	// A string always has a JSON form.
	quoted, _ := json.Marshal(s)
	return append(b, quoted...)
}

// observed is called with the slug of each problem that is sent.
var observed atomic.Pointer[func(slug string)]

// Observe sets the function that is called with the slug of each problem that is
// sent. The function must return at once.
func Observe(told func(slug string)) { observed.Store(&told) }

// Note reports the problem to the function set with Observe. It is for answers that
// are not sent with Write.
func (p Problem) Note() {
	if told := observed.Load(); told != nil {
		(*told)(p.Slug)
	}
}

// Write answers with the problem: with its document, or with a page to a writer that For has
// returned for a person.
func (p Problem) Write(w http.ResponseWriter) {
	p.Note()
	h := w.Header()
	for name, values := range p.Header {
		h[name] = values
	}
	// Remove headers that belong to the body of an answer that is not sent.
	for _, name := range []string{"Content-Encoding", "Content-Length", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(p.RetryAfter.Seconds())))
	}
	if a, depends := w.(asked); depends {
		page.Vary(h)
		if a.page && p.writePage(w) == nil {
			return
		}
	}
	h.Set("Content-Type", MediaType)
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.Document())
}
