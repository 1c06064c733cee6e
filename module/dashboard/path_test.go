package dashboard

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestPathsLeadWhereTheyShould(t *testing.T) {
	t.Parallel()
	const text = "d290f1ee-6c54-4b01-90e6-d701748f0851"
	id, _ := callback.ParseUUID(text)
	for path, want := range map[string]location{
		"":                                    {view: viewNow, root: "./"},
		"/":                                   {view: viewNow, root: "./"},
		"/list":                               {view: viewList, root: "./"},
		"/list/close":                         {view: viewAll, part: "close", root: "../"},
		"/list/close/x":                       {root: "../../"},
		"/live":                               {view: viewLive, root: "./"},
		"/events":                             {view: viewStream, root: "./"},
		"/approvals":                          {view: viewApprovals, root: "./"},
		"/routes":                             {view: viewRoutes, root: "./"},
		"/routes/check":                       {view: viewCheck, root: "../"},
		"/routes/other":                       {root: "../"},
		"/-/page.css":                         {view: viewAsset, part: "page.css", root: "../"},
		"/-/a/b":                              {root: "../../"},
		"/callback":                           {root: "./"},
		"/callback/" + text:                   {view: viewOne, id: id, root: "../"},
		"/callback/" + text + "/close":        {view: viewAct, id: id, part: "close", root: "../../"},
		"/callback/" + text + "/body/call":    {view: viewBody, id: id, part: "call", root: "../../../"},
		"/callback/" + text + "/download/ack": {view: viewDownload, id: id, part: "ack", root: "../../../"},
		"/callback/" + text + "/replay/call":  {view: viewReplay, id: id, part: "call", root: "../../../"},
		"/callback/" + text + "/other/call":   {id: id, part: "call", root: "../../../"},
		"/callback/" + text + "/body/call/x":  {id: id, root: "../../../../"},
		"/callback/nobody":                    {root: "../"},
		"/callback/nobody/close":              {root: "../../"},
		"/nowhere":                            {root: "./"},
		"/" + strings.Repeat("x/", 1000):      {root: strings.Repeat("../", 8)},
	} {
		if got := parsePath(path); got != want {
			t.Errorf("%q leads to %+v, want %+v", path, got, want)
		}
	}
}

func TestPageThatIsMountedWithoutASlashSendsOnToTheOneWithIt(t *testing.T) {
	d := newDashboard(t, open)
	for original, want := range map[string]string{"/": "", "/ops/": "", "/ops": "./ops/?a=b", "/deep/o p:s": "./o%20p:s/?a=b", "//evil.test": "./evil.test/?a=b"} {
		r := httptest.NewRequest(http.MethodGet, "http://ops.test/?a=b", nil)
		w := httptest.NewRecorder()
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
		before := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
		before.URL.Path = original
		if err := d.ServeHTTP(w, r, nil); err != nil {
			t.Fatal(err)
		}
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("%s: sent to %q, want %q", original, got, want)
		}
	}
}

// All links and forms of the pages lead to pages, wherever these are mounted.
func TestLinksLeadToPages(t *testing.T) {
	d := newDashboard(t, open)
	cb := d.create(t, callback.Spec{Name: "orders", CorrelationID: "one"})
	d.create(t, callback.Spec{Name: "orders"})
	d.call(t, cb, http.Header{"Content-Type": {"text/plain"}}, "a body")
	seen := make(map[string]bool)
	const mounted = "http://ops.test/deep/er/"
	var follow func(string)
	follow = func(address string) {
		if seen[address] {
			return
		}
		seen[address] = true
		path, ok := strings.CutPrefix(address, mounted)
		if !ok {
			t.Errorf("a link leads to %s", address)
			return
		}
		got := d.get(t, "/"+path)
		at, _ := url.Parse(address)
		if got.Code == http.StatusSeeOther {
			to, _ := at.Parse(got.Header().Get("Location"))
			follow(to.String())
			return
		}
		if got.Code != http.StatusOK {
			t.Errorf("%s: status %d", address, got.Code)
			return
		}
		for _, attribute := range []string{`href="`, `src="`} {
			for _, rest := range strings.Split(got.Body.String(), attribute)[1:] {
				link, _, _ := strings.Cut(rest, `"`)
				to, err := at.Parse(strings.ReplaceAll(link, "&amp;", "&"))
				if err != nil {
					t.Fatal(err)
				}
				to.Fragment = ""
				if to.Host == "ops.test" && !strings.Contains(link, "cursor=") {
					follow(to.String())
				}
			}
		}
	}
	follow(mounted)
	for _, want := range []string{"list", "approvals", "routes", "-/page.css", "-/page.js", "callback/" + cb.ID.String() + "/body/call", "callback/" + cb.ID.String() + "/replay/call", "list/close?"} {
		found := false
		for address := range seen {
			found = found || strings.HasPrefix(address, mounted+want)
		}
		if !found {
			t.Errorf("no link leads to %s", want)
		}
	}
}
