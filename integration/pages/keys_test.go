package pages

import (
	"fmt"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// stop is what a keyboard meets when Tab is pressed once more.
type stop struct {
	End, Again bool
	Name       string
	Fault      string
	Keys       []string
}

// mostStops is how many stops a page has at most.
const mostStops = 500

// walk goes through the page that is open by Tab alone. Every element with which one can do
// something must be reached, show its focus, and act by the keys by which such elements act.
// Nothing comes of it.
func (p *person) walk(state string) {
	p.t.Helper()
	p.report(state, p.faultsOfWalk())
}

// faultsOfWalk walks in a narrow light window, and in a broad dark one.
func (p *person) faultsOfWalk() (faults []fault) {
	p.t.Helper()
	a := p.stepAside(readScript(p.t, "keys.js"))
	for i, width := range widths {
		p.setWidth(width)
		p.setScheme(schemes[i])
		how := fmt.Sprintf("by keyboard, %d px, %s", width, schemes[i])
		for _, what := range p.faultsOfRound(a) {
			faults = append(faults, fault{how, what})
		}
	}
	a.run("keys.end()", nil)
	return faults
}

func (p *person) faultsOfRound(a *aside) (faults []string) {
	p.t.Helper()
	a.run("keys.begin()", nil)
	for n := 0; ; n++ {
		if n > mostStops {
			return append(faults, fmt.Sprintf("it does not end after %d times Tab", n))
		}
		p.do(chromedp.KeyEvent(kb.Tab))
		var s stop
		a.run("keys.stop()", &s)
		if s.End {
			break
		}
		if s.Again {
			continue
		}
		if s.Fault != "" {
			faults = append(faults, s.Name+": "+s.Fault)
		}
		for _, key := range s.Keys {
			if !p.acts(a, key) {
				faults = append(faults, fmt.Sprintf("%s: %s does nothing", s.Name, key))
			}
		}
	}
	var missed []string
	a.run("keys.missed()", &missed)
	return append(faults, missed...)
}

// acts presses a key, and reports whether the focused element was clicked by that.
func (p *person) acts(a *aside, key string) bool {
	p.t.Helper()
	keys := map[string]string{"Enter": kb.Enter, "Space": " "}
	p.do(chromedp.KeyEvent(keys[key]))
	var acted bool
	a.run("keys.acted()", &acted)
	return acted
}
