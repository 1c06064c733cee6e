package pages

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// road is the way from one person's browser to the sites: a proxy. There is no other way out of
// the browser.
type road struct {
	*httptest.Server
	sites http.Handler
	// leadsTo reports whether there is a site of that name.
	leadsTo func(host string) bool

	mu     sync.Mutex
	asked  []asked
	astray []string
}

// asked is a request of the browser, and the status that it got.
type asked struct {
	Method, URL string
	Header      http.Header
	Status      int
}

func newRoad(t *testing.T, sites http.Handler, leadsTo func(host string) bool) *road {
	t.Helper()
	r := &road{sites: sites, leadsTo: leadsTo}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP sends a request on to its site. Requests that lead elsewhere are noted.
func (r *road) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodConnect || !r.leadsTo(req.URL.Hostname()) {
		r.mu.Lock()
		r.astray = append(r.astray, req.Method+" "+req.RequestURI)
		r.mu.Unlock()
		http.Error(w, "there is no such site", http.StatusBadGateway)
		return
	}
	r.mu.Lock()
	at := len(r.asked)
	r.asked = append(r.asked, asked{Method: req.Method, URL: req.URL.String(), Header: req.Header.Clone()})
	r.mu.Unlock()
	r.sites.ServeHTTP(&statusWriter{ResponseWriter: w, told: func(status int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked[at].Status = status
	}}, req)
}

// requests returns what the browser has asked for with that method, in order.
func (r *road) requests(method string) (all []asked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.asked {
		if a.Method == method {
			all = append(all, a)
		}
	}
	return all
}

// takeAstray returns the requests to sites that do not exist, once.
func (r *road) takeAstray() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.astray
	r.astray = nil
	return all
}

// statusWriter tells the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	told func(status int)
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.told(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// sitesOf returns the way to the sites of a Caddy.
func sitesOf(t *testing.T, c *harness.Caddy) (sites http.Handler, leadsTo func(host string) bool) {
	t.Helper()
	forward := &httputil.ReverseProxy{
		Rewrite:       func(*httputil.ProxyRequest) {},
		Transport:     c.Client(t, harness.HTTP1).Transport,
		FlushInterval: -1,
		// The browser leaves before it is answered, or the server has ended.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	return forward, func(host string) bool {
		name, local := strings.CutSuffix(host, ".test")
		_, err := os.Stat(c.Path(name + ".sock"))
		return local && err == nil
	}
}
