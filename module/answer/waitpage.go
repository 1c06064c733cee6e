package answer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/page"
)

// Parameters of the status URL. With pageParameter whoever comes gets the page: the script asks
// for the news so. With "off" in refreshParameter the page does not load itself again.
const (
	pageParameter    = "page"
	refreshParameter = "refresh"
)

// waitPage is what the page at the status URL shows. Templates of a site's own have these
// fields, too (docs/pages.md), so none of them may change its meaning.
type waitPage struct {
	// Phase is waiting, resolved, failed, expired or closed.
	Phase string
	// Message is what people are told who wait.
	Message string
	// Since is when the request came, and Ended when its callback ended; 0 before that.
	Since, Ended callback.Time
	// Progress is how far it is.
	Progress []callback.ShownProgress
	// ID and CorrelationID are those of the callback.
	ID, CorrelationID string
	// ErrorCode, ErrorText and DocumentStatus say why it has failed.
	ErrorCode, ErrorText, DocumentStatus string
	// Reason says why it was closed.
	Reason string
	// Result is the result, if it is short and a text; ResultURL is where it can be fetched, ""
	// if there is none. ResultGone says that it is not kept any longer.
	Result, ResultURL string
	ResultGone        bool
	// URL is the address of the page, which people keep.
	URL string
	// Refreshes says that the page loads itself again where no script runs.
	Refreshes bool
}

var waitBody = page.New("wait", `{{define "body"}}<main>
<div class="card" id="news" data-live aria-live="polite">
{{if eq .Phase "waiting"}}<h1>Please wait</h1>
<p>{{text .Message}}</p>
{{range .Progress}}{{if .IsNumber}}<p class="bar"><progress max="{{.Most}}" value="{{.Value}}" aria-label="Progress"></progress> <span>{{.Percent}} %</span></p>
{{else}}<p>{{text .Text}}</p>
{{end}}{{end}}<p class="soft">Since {{when .Since}}</p>
{{else if eq .Phase "resolved"}}<h1 class="good">Done</h1>
{{template "result" .}}{{else if eq .Phase "failed"}}<h1 class="bad">It did not work</h1>
{{if .ErrorText}}<p>{{text .ErrorText}}</p>
{{else if not .Result}}<p>It is not known why.</p>
{{end}}{{template "result" .}}{{else if eq .Phase "expired"}}<h1 class="bad">No answer has come in time</h1>
<p>Nothing more will come. Go back to where you came from, and begin again if it is still needed.</p>
{{else}}<h1 class="bad">It was ended before there was an answer</h1>
<p>Nothing more will come. Go back to where you came from, and begin again if it is still needed.</p>
{{end}}{{if ne .Phase "waiting"}}<dl>
<dt>Begun</dt><dd>{{when .Since}}</dd>
<dt>Ended</dt><dd>{{when .Ended}}</dd>
{{with .ErrorCode}}<dt>Error code</dt><dd>{{text .}}</dd>
{{end}}{{with .Reason}}<dt>Reason</dt><dd>{{text .}}</dd>
{{end}}<dt>Id</dt><dd>{{.ID}}</dd>
</dl>
{{end}}</div>
{{if eq .Phase "waiting"}}<noscript><p class="actions"><a class="button second" href="?refresh={{if .Refreshes}}on{{else}}off{{end}}">Check now</a>
{{if .Refreshes}}<a class="button second" href="?refresh=off">Stop refreshing</a>{{else}}<a class="button second" href="?refresh=on">Refresh by itself</a>{{end}}</p></noscript>
{{end}}{{with .URL}}<p class="soft">You may close this page. Keep this link to come back: <a href="{{.}}">{{.}}</a></p>
{{end}}</main>{{end}}{{define "result"}}{{with .Result}}<h2 id="result">Result</h2>
<pre tabindex="0" role="region" aria-labelledby="result">{{text .}}</pre>
{{end}}{{with .ResultURL}}<p class="actions"><a class="button" href="{{.}}">Download the result</a></p>
{{end}}{{if .ResultGone}}<p>The result is not kept any longer.</p>
{{end}}{{end}}`)

// waitTitles are the titles of the page, by the phase of the callback.
var waitTitles = map[callback.Phase]string{
	callback.Waiting: "Please wait", callback.Resolved: "Done", callback.Failed: "It did not work",
	callback.Expired: "No answer has come in time", callback.Closed: "It was ended before there was an answer",
}

// messageWait is what people are told who wait, where the configuration does not say.
const messageWait = "Your request has arrived and is being worked on."

// refreshEvery is after how many seconds the page loads itself again.
const refreshEvery = 5

// ShowsPage reports whether whoever asks for the status sees the page.
func ShowsPage(r *http.Request, cb *engine.Callback) bool {
	return cb.Policy.Page != nil && (page.Wanted(r) || r.URL.Query().Has(pageParameter))
}

// WriteToPage sends a person on to the page.
func WriteToPage(w http.ResponseWriter, cb *engine.Callback) {
	h := w.Header()
	h.Set("Location", cb.StatusURL())
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// varyPage says on what it depends what whoever asks for the status gets.
func varyPage(h http.Header, cb *engine.Callback) {
	if cb.Policy.Page == nil {
		return
	}
	page.Vary(h)
	if len(cb.Policy.Page.Templates) > 0 {
		page.VaryLanguage(h)
	}
}

// servePage shows the page, or sends a person on whose callback is resolved.
func servePage(w http.ResponseWriter, r *http.Request, e *engine.Engine, cb *engine.Callback) {
	if cb.Phase == callback.Resolved {
		if url := cb.Policy.PageURL(cb.Lookup(cmp.Or(cb.Call, new(callback.Call)), nil)); url != "" {
			w.Header().Set("Location", url)
			w.WriteHeader(http.StatusSeeOther)
			return
		}
	}
	data := newWaitPage(r, e, cb)
	v := page.View{Title: waitTitles[cb.Phase], Assets: AssetsFrom(r), Data: data, Waits: cb.Phase == callback.Waiting, Most: maxOwnPage}
	if data.Refreshes {
		v.Refresh = refreshEvery
	}
	if own, lang, ok := ownPage(r, cb.Policy); ok {
		v.OwnTitle, v.Lang = own.Titled, lang
		if page.Write(w, own.Template, v) == nil {
			return
		}
		// It was tried when the configuration was loaded; what people wait for counts more.
		v.OwnTitle, v.Lang = false, ""
	}
	if err := page.Write(w, waitBody, v); err != nil {
		WriteJSON(w, http.StatusOK, newStatus(cb))
	}
}

func newWaitPage(r *http.Request, e *engine.Engine, cb *engine.Callback) waitPage {
	p := waitPage{
		Phase: cb.Phase.String(), Message: cmp.Or(cb.Policy.Page.Message, messageWait), Since: cb.CreatedAt, Ended: cb.FinishedAt,
		ID: cb.ID.String(), CorrelationID: cb.CorrelationID, URL: cb.StatusURL(),
	}
	switch cb.Phase {
	case callback.Waiting:
		p.Refreshes = r.URL.Query().Get(refreshParameter) != "off"
		p.Progress = progressOf(r.Context(), e, cb)
	case callback.Closed:
		p.Reason = cb.Reason
	case callback.Resolved, callback.Failed:
		p.showEnd(r.Context(), e, cb)
	}
	return p
}

// showEnd adds what has come of the callback.
func (p *waitPage) showEnd(ctx context.Context, e *engine.Engine, cb *engine.Callback) {
	if f := cb.Failure; f != nil {
		p.ErrorCode, p.ErrorText, p.DocumentStatus = f.ErrorCode, f.ErrorText, f.DocumentStatus
	}
	result := cb.Result(cb.Policy)
	switch {
	case result.Failure != nil:
	case result.Gone:
		p.ResultGone = true
	case result.Body.Size > 0 || result.Call != nil:
		p.ResultURL = cb.ResultURL()
		p.Result = shownResult(ctx, e, cb, result)
	}
}

// maxShown bounds a result that is shown in the page, in bytes.
const maxShown = 16 << 10

// shownResult returns a result as it is shown, "" for one that is not: it is a text or JSON, and
// short. Anything else might be a page, and can be fetched.
func shownResult(ctx context.Context, e *engine.Engine, cb *engine.Callback, result callback.Result) string {
	isJSON := result.Call != nil
	mediaType, parameters, err := mime.ParseMediaType(result.Header.Get("Content-Type"))
	switch {
	case isJSON:
	case err != nil, result.Body.Size > maxShown, parameters["charset"] != "" && !strings.EqualFold(parameters["charset"], "utf-8"):
		return ""
	case mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"):
		isJSON = true
	case mediaType != "text/plain":
		return ""
	}
	content, err := OpenPlain(ctx, e.Bodies(cb.ID), result, cb.Policy)
	if err != nil {
		return ""
	}
	defer func() { _ = content.Close() }()
	text, err := io.ReadAll(io.LimitReader(content, maxShown+1))
	if err != nil || len(text) > maxShown || !utf8.Valid(text) {
		return ""
	}
	var indented bytes.Buffer
	if isJSON && json.Indent(&indented, text, "", "  ") == nil {
		return indented.String()
	}
	return string(text)
}

// progressOf returns how far a callback is, as its latest call says it. What cannot be read for
// want of memory is left out.
func progressOf(ctx context.Context, e *engine.Engine, cb *engine.Callback) []callback.ShownProgress {
	if cb.Latest == nil || len(cb.Policy.Page.Progress) == 0 {
		return nil
	}
	space := e.Memory(memory.OwnerOf(cb.ID))
	body, err := e.BodiesIn(space).Whole(ctx, cb.Latest.Body)
	if err != nil {
		return nil
	}
	defer body.Release()
	call := *cb.Latest
	call.Body.Data = body.Bytes()
	call.Unpacked = e.Packed(call.Body.Data, space)
	defer call.Unpacked.Release()
	return cb.Policy.Page.Shown(&call)
}

// pageTag returns the entity tag of the page. It changes with every call that is taken.
func pageTag(r *http.Request, cb *engine.Callback) (string, error) {
	_, lang, _ := ownPage(r, cb.Policy)
	return DocumentTag([]any{"page", newStatus(cb), cb.Calls, lang, r.URL.Query().Get(refreshParameter)})
}

// AssetsFrom returns where the files are that pages load, relative to the path of a request to
// callback_server: whatever stands before that in the URL, Caddy need not know it.
func AssetsFrom(r *http.Request) string {
	_, rest, _ := strings.Cut(strings.TrimLeft(r.URL.Path, "/"), "/")
	return "../" + strings.Repeat("../", strings.Count(rest, "/")) + "cbr/-/"
}
