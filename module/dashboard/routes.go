package dashboard

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

var routesPage = load("routes")

// routesData is what the view "routes" shows.
type routesData struct {
	Frame      frame
	Directives []shownDirective
	// Bases are the base URLs, with what was found when they were checked last; none for a
	// visitor that does not see all callbacks.
	Bases []shownBase
}

// shownDirective is a directive as the page shows it.
type shownDirective struct {
	directive
	// Called is when one of its callbacks was called last; zero if that was not seen.
	Called moment
	// Known says that calls are counted under its name, Seen that there was one.
	Known, Seen bool
	// To leads to its callbacks; empty for nowhere.
	To string
}

// shownBase is a base URL as the page shows it.
type shownBase struct {
	URL, Of string
	checked
	// Checked says that it was checked.
	Checked bool
}

// routes shows the directives of the configuration.
func (v *visit) routes() error {
	data := routesData{Frame: v.frame()}
	for _, d := range v.d.described() {
		if v.visitor.names != nil && (d.Name == "" || !v.visitor.sees(d.Name)) {
			continue
		}
		s := shownDirective{directive: d, Known: d.Name != ""}
		if s.Known {
			at := v.rt.Trend.LastCalled(d.Name)
			s.Called, s.Seen, s.To = moment(at), !at.IsZero(), v.link("name", d.Name)
		}
		data.Directives = append(data.Directives, s)
	}
	if v.visitor.names == nil {
		data.Bases = v.bases()
	}
	return v.write(routesPage, show{title: "Routes", data: data})
}

// bases returns the base URLs of the configuration, each once.
func (v *visit) bases() (all []shownBase) {
	add := func(url, of string) {
		if url == "" || slices.ContainsFunc(all, func(b shownBase) bool { return b.URL == url }) {
			return
		}
		b := shownBase{URL: url, Of: of}
		b.checked, b.Checked = v.d.checks.of(url)
		all = append(all, b)
	}
	add(v.d.app.BaseURL, "base_url")
	add(v.d.app.StatusURL, "status_url")
	for _, d := range v.d.described() {
		add(d.Base, "base_url of "+d.Kind+" "+d.Name)
	}
	return all
}

// checked is what was found when a base URL was checked.
type checked struct {
	At callback.Time
	// OK says that it leads to this store's callback_server, Says what was found.
	OK   bool
	Says string
}

const (
	// mostChecks bounds the base URLs that are checked, and checkAgain is how long what was
	// found is not looked for again.
	mostChecks = 20
	checkAgain = 5 * time.Second
)

// checks has what was found when base URLs were checked. The zero value is empty.
type checks struct {
	mu    sync.Mutex
	found map[string]checked
	// running says that a check is under way.
	running sync.Mutex
}

// of returns what was found of a base URL, and whether it was checked.
func (cs *checks) of(url string) (checked, bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c, ok := cs.found[url]
	return c, ok
}

func (cs *checks) put(url string, c checked) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.found == nil {
		cs.found = make(map[string]checked)
	}
	cs.found[url] = c
}

// check finds out whether the base URLs lead here, and sends the browser back to the view.
func (v *visit) check() error {
	if v.visitor.names != nil {
		return problem.KeyNotAllowed
	}
	if !v.d.checks.running.TryLock() {
		return problem.Busy.With("A check is under way.")
	}
	defer v.d.checks.running.Unlock()
	ctx := context.WithoutCancel(v.r.Context())
	var all sync.WaitGroup
	bases := v.bases()
	for _, base := range bases[:min(len(bases), mostChecks)] {
		if base.Checked && v.rt.Engine.Now().Sub(base.At.Time()) < checkAgain {
			continue
		}
		all.Go(func() {
			c := newChecked(deliver.Knock(ctx, base.URL, v.rt.Engine.Origin()))
			c.At = callback.At(v.rt.Engine.Now())
			v.d.checks.put(base.URL, c)
		})
	}
	all.Wait()
	v.goTo("routes#bases")
	return nil
}

// newChecked says what an answer at a base URL means.
func newChecked(k deliver.Knocked) checked {
	switch {
	case k.Error != "":
		return checked{Says: "Nothing answered: " + k.Error + ". Partners may reach it all the same, if they come by another way."}
	case k.Problem == problem.LoopDetected.Slug:
		return checked{OK: true, Says: "It leads to this server's callback_server."}
	case k.Problem == problem.UnknownState.Slug:
		return checked{Says: "It leads to a callback_server with another store."}
	case k.Status >= http.StatusMultipleChoices && k.Status < http.StatusBadRequest:
		return checked{Says: "It is redirected, with status " + count(k.Status) + ". Partners may not follow that."}
	}
	return checked{Says: "Something else answered, with status " + count(k.Status) + "."}
}
