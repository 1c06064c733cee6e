package pages

import (
	"fmt"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// widths are those of the windows in which pages are looked at. At the last three nothing but the
// breadth of the page is: WCAG 1.4.10 wants 320, and a window may fill a large screen.
var (
	widths  = []int64{400, 1280}
	breadth = []int64{320, 640, 3840}
	schemes = []string{"light", "dark"}
)

// fault is something wrong with a page, and in which way of looking at it.
type fault struct{ how, what string }

// String returns both.
func (f fault) String() string { return f.how + ": " + f.what }

// report fails the test for faults: for each once, in however many ways it was seen.
func (p *person) report(state string, faults []fault) {
	p.t.Helper()
	ways := make(map[string]int)
	for _, f := range faults {
		ways[f.what]++
	}
	for _, f := range faults {
		if n := ways[f.what]; n > 0 {
			p.t.Errorf("%s: %s (in %d ways)", state, f, n)
		}
		delete(ways, f.what)
	}
}

// look opens a page in every way, and fails the test for all that is wrong with it. state says
// what the page shows.
func (p *person) look(url, state string) {
	p.t.Helper()
	p.report(state, p.faultsOf(url))
}

// faultsOf opens a page with and without script, and returns what is wrong with it.
func (p *person) faultsOf(url string) (faults []fault) {
	p.t.Helper()
	for _, script := range []bool{false, true} {
		p.useScript(script)
		p.open(url)
		how := "with script"
		if !script {
			how = "without script"
		}
		faults = append(faults, p.faultsHere(how)...)
	}
	return faults
}

// lookHere is look for the page as it is, however it came to be so.
func (p *person) lookHere(state string) {
	p.t.Helper()
	p.report(state, p.faultsHere("as it is"))
}

// faultsHere returns what is wrong with the page that is open, in each width and scheme.
func (p *person) faultsHere(how string) (faults []fault) {
	p.t.Helper()
	a := p.stepAside(readScript(p.t, "node_modules/axe-core/axe.min.js"), readScript(p.t, "axe.js"))
	add := func(how string, what []string) {
		for _, w := range what {
			faults = append(faults, fault{how, w})
		}
	}
	for _, width := range widths {
		at := fmt.Sprintf("%s, %d px", how, width)
		add(at, p.tooBroad(a, width))
		for _, scheme := range schemes {
			p.setScheme(scheme)
			var found struct{ Violations, Incomplete []string }
			a.run(fmt.Sprintf("check(%v)", scheme != schemes[0]), &found)
			add(at+", "+scheme, append(found.Violations, found.Incomplete...))
		}
	}
	for _, width := range breadth {
		add(fmt.Sprintf("%s, %d px", how, width), p.tooBroad(a, width))
	}
	p.setWidth(1280)
	add(how, p.harm())
	return faults
}

// harmless makes sure that nothing in the page that is open does anything, or breaks its layout,
// however it came to be so.
func (p *person) harmless(state string) {
	p.t.Helper()
	a := p.stepAside()
	faults := append(p.tooBroad(a, widths[0]), p.tooBroad(a, widths[1])...)
	for _, fault := range append(faults, p.harm()...) {
		p.t.Errorf("%s: %s", state, fault)
	}
}

// harm returns what has gone wrong since the last look, scripts of strangers that have run among
// it.
func (p *person) harm() (faults []string) {
	p.t.Helper()
	if evaluate[string](p, "typeof pwned") != "undefined" {
		faults = append(faults, "a script of somebody else has run in it")
	}
	return append(faults, p.takeFaults()...)
}

// tooBroad says by what the page is broader than the window, if it is.
func (p *person) tooBroad(a *aside, width int64) []string {
	p.t.Helper()
	p.setWidth(width)
	var broad []string
	a.run(`(() => {
		const root = document.scrollingElement, most = root.clientWidth;
		if (root.scrollWidth <= most) return [];
		const out = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > most + 1);
		return ["it is " + root.scrollWidth + " px broad, with " + (out.at(-1) ?? root).outerHTML.slice(0, 120)];
	})()`, &broad)
	return broad
}

func (p *person) setWidth(width int64) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, 800))
}

func (p *person) setScheme(scheme string) {
	p.t.Helper()
	p.do(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}))
}
