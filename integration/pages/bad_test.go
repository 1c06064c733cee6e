package pages

import (
	"net/http"
	"strings"
	"testing"
)

// bad is a page with one fault of each kind.
const bad = `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>A bad page</title>
<link rel="stylesheet" href="bad.css">
<main>
<h1>A bad page</h1>
<p class="faint-light">Faint where it is light.</p>
<p class="faint-dark">Faint where it is dark.</p>
<input type="text">
<p><a class="unseen" href="#">No outline</a> and <button class="pale">a pale one</button></p>
<div class="clickable" tabindex="0" role="button">Looks like a button</div>
<button tabindex="-1">Out of reach</button>
<button tabindex="3">First</button>
<p class="tiny"><a href="#1">1</a><a href="#2">2</a></p>
<div class="broad">Broad</div>
<noscript><img src="ok.svg"></noscript>
<img src="missing.svg" alt="missing">
<img src="http://elsewhere.test/x.svg" alt="elsewhere">
<p onclick="pwned = 1">A handler</p>
<script>pwned = 2</script>
<script src="bad.js"></script>
</main>
</html>`

const badStyle = `
body { background: light-dark(#fff, #000); color: light-dark(#000, #fff); }
.faint-light { color: light-dark(#ccc, #fff); }
.faint-dark { color: light-dark(#000, #333); }
.unseen { color: inherit; }
.unseen:focus { outline: none; }
.pale:focus { outline: 3px solid light-dark(#eee, #222); }
.tiny a { display: inline-block; width: 8px; height: 8px; font-size: 8px; overflow: hidden; color: inherit; }
@media (max-width: 30rem) { .broad { width: 500px; } }
`

const badScript = `
console.error("it says so");
window.pwned = 3;
setTimeout(() => { throw new Error("thrown") });
setTimeout(() => alert("hello"));
`

// badSite serves the bad page, under a policy that allows nothing inline.
func badSite() http.Handler {
	mux := http.NewServeMux()
	for name, file := range map[string]struct{ mediaType, content string }{
		"":        {"text/html", bad},
		"bad.css": {"text/css", badStyle},
		"bad.js":  {"text/javascript", badScript},
		"ok.svg":  {"image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg"/>`},
	} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/"+name {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", file.mediaType)
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src *")
			_, _ = w.Write([]byte(file.content))
		})
	}
	return mux
}

// What finds faults is itself tried, with a page that has them all.
func TestFaultsOfEveryKindAreFound(t *testing.T) {
	t.Parallel()
	p := come(t, badSite(), func(host string) bool { return host == "app.test" })
	const url = "http://app.test/"
	faults := p.faultsOf(url)
	faults = append(faults, p.faultsOfWalk()...)
	p.takeFaults()
	for _, want := range [][]string{
		{"with script, 400 px, light: color-contrast", ".faint-light"},
		{"without script, 1280 px, light: color-contrast", ".faint-light"},
		{"with script, 1280 px, dark: color-contrast", ".faint-dark"},
		{"with script, 400 px, light: label", "input"},
		{"with script, 400 px, light: target-size", "8px"},
		{"without script, 400 px, light: image-alt"},
		{"with script, 400 px: it is ", "broad"},
		{"with script: security: ", "inline script"},
		{"with script: security: ", "inline event handler"},
		{"with script: failed request: ", "missing.svg", "404"},
		{"request to another site: GET http://elsewhere.test/x.svg"},
		{"with script: console: error", "it says so"},
		{"with script: exception: Error: thrown"},
		{"with script: dialog: alert", "hello"},
		{"with script: a script of somebody else has run in it"},
		{"by keyboard, 400 px, light: <a> \"No outline\": its focus has no outline"},
		{"by keyboard, 1280 px, dark: <button> \"a pale one\": the outline of its focus has a contrast of 1."},
		{"by keyboard, 400 px, light: <div> \"Looks like a button\": Enter does nothing"},
		{"by keyboard, 400 px, light: <div> \"Looks like a button\": Space does nothing"},
		{"by keyboard, 400 px, light: <button> \"Out of reach\": Tab does not reach it"},
		{"by keyboard, 400 px, light: <p> \"A handler\": Tab does not reach it"},
		{"by keyboard, 400 px, light: <button> \"First\": it has a place of its own in the order"},
	} {
		if !found(faults, want) {
			t.Errorf("this fault is not found: %q", want)
		}
	}
	for _, wrong := range [][]string{
		{"light: color-contrast", ".faint-dark"},
		{"dark: color-contrast", ".faint-light"},
		{"with script, 400 px, light: image-alt", "ok.svg"},
		{"1280 px: it is "},
		{"without script: a script of somebody else has run in it"},
		{"<button> \"First\": its focus"},
		{"<button> \"First\": Enter"},
		{"content-autofill"},
	} {
		if found(faults, wrong) {
			t.Errorf("this is no fault, and is found: %q", wrong)
		}
	}
	if t.Failed() {
		t.Log(faults)
	}
}

// found reports whether one of the faults has all the texts in it.
func found(faults []fault, texts []string) bool {
	for _, f := range faults {
		all := true
		for _, text := range texts {
			all = all && strings.Contains(f.String(), text)
		}
		if all {
			return true
		}
	}
	return false
}
