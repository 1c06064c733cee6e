package dashboard

import (
	"cmp"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/page"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

//go:embed *.html
var files embed.FS

// load returns the template of a view, which stands in the file of that name and can use what
// the files shared name defines.
func load(name string, shared ...string) *template.Template {
	var text strings.Builder
	for _, file := range append([]string{"frame", name}, shared...) {
		// The files are part of the program.
		b, err := files.ReadFile(file + ".html")
		if err != nil {
			panic(err)
		}
		text.Write(b)
	}
	return page.New(name, text.String())
}

// frame is what stands around every view.
type frame struct {
	Title string
	Tabs  []tab
	// Root leads to where the pages are mounted.
	Root string
	// By is who looks, and Acts says that it may act.
	By   string
	Acts bool
}

// tab leads to a view.
type tab struct {
	Name, To string
	Here     bool
}

// tabs are the views that can be reached from everywhere, in their order, with those that
// belong to each.
var tabs = []struct {
	name, to string
	views    []view
}{
	{"Now", "", []view{viewNow}},
	{"Callbacks", "list", []view{viewList, viewAll, viewOne, viewAct, viewBody, viewReplay}},
	{"Approvals", "approvals", []view{viewApprovals}},
	{"Live", "live", []view{viewLive}},
	{"Routes", "routes", []view{viewRoutes, viewCheck}},
}

// frame returns what stands around the view.
func (v *visit) frame() frame {
	f := frame{Title: cmp.Or(v.d.Title, DefaultTitle), Root: v.at.root, By: v.visitor.by, Acts: v.visitor.acts}
	for _, t := range tabs {
		here := false
		for _, of := range t.views {
			here = here || of == v.at.view
		}
		f.Tabs = append(f.Tabs, tab{t.name, v.at.root + t.to, here})
	}
	return f
}

// show is what a page shows.
type show struct {
	title string
	data  any
	// refresh is after how many seconds a browser without the script loads the page again; 0
	// for never.
	refresh int
	status  int
}

// write answers with a page.
func (v *visit) write(t *template.Template, s show) error {
	return page.Write(v.w, t, page.View{
		Title: s.title + " · " + cmp.Or(v.d.Title, DefaultTitle), Assets: v.at.root + assetsAt + "/", Refresh: s.refresh, Data: s.data,
		Status: s.status, Referrer: referrers,
	})
}

// goTo sends the browser on to a page, after something was done. where is relative to where the
// pages are mounted.
func (v *visit) goTo(where string) {
	v.w.Header().Set("Location", v.at.root+where)
	v.w.WriteHeader(http.StatusSeeOther)
}

// asset answers with a file that pages load.
func (v *visit) asset() error {
	if !page.ServeAsset(v.w, v.r, v.at.part) {
		return errNoPage
	}
	return nil
}

// withSlash sends the browser on if it came to where the pages are mounted without a slash at the
// end: relative links would lead beside it.
func (v *visit) withSlash() bool {
	original, ok := v.r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || strings.HasSuffix(original.URL.Path, "/") {
		return false
	}
	to := url.URL{Path: "./" + path.Base(original.URL.Path) + "/", RawQuery: v.r.URL.RawQuery}
	v.w.Header().Set("Location", to.EscapedPath())
	if to.RawQuery != "" {
		v.w.Header().Set("Location", to.EscapedPath()+"?"+to.RawQuery)
	}
	v.w.WriteHeader(http.StatusPermanentRedirect)
	return true
}

// problemOf returns the problem that answers an error.
func problemOf(err error) problem.Problem {
	if errors.Is(err, store.ErrNotFound) {
		return problem.UnknownCallback
	}
	return answer.ProblemOf(err)
}

var problemPage = load("problem")

// problemData is what the page of a problem shows.
type problemData struct {
	Frame frame
	problem.Problem
}

// writeProblem answers with a problem: a page of ours for a visitor whose browser shows it.
func (v *visit) writeProblem(p problem.Problem) {
	if v.visitor == nil || !page.Wanted(v.r) {
		p.Write(problem.ForRequest(v.w, v.r))
		return
	}
	p.Note()
	for name, values := range p.Header {
		v.w.Header()[name] = values
	}
	if p.RetryAfter > 0 {
		v.w.Header().Set("Retry-After", strconv.Itoa(int(p.RetryAfter.Seconds())))
	}
	if err := v.write(problemPage, show{title: p.Title, data: problemData{v.frame(), p}, status: p.Status}); err != nil {
		p.Write(v.w)
	}
}
