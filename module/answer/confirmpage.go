package answer

import (
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/page"
)

// confirmPage is what the page shows on which a person decides.
type confirmPage struct {
	*callback.Confirmation
	// User is who decides, "" if nobody knows.
	User string
	// TooLate says that the person has chosen when it was decided already.
	TooLate bool
}

var confirmBody = page.New("confirm", `{{define "body"}}<main>
<div class="card">
<h1 id="title">{{range .Title.Spans}}{{template "span" .}}{{else}}Please decide{{end}}</h1>
{{with .Text.Spans}}<p class="asked">{{range .}}{{template "span" .}}{{end}}</p>
{{end}}{{if .Decided}}<div role="status">
{{if .TooLate}}<p>This was decided before you chose. What was decided then counts.</p>
{{end}}<h2 class="{{if .Choice.Failed}}bad{{else}}good{{end}}">{{with .Choice.Label}}{{.}}{{else}}Decided{{end}}</h2>
<dl>
<dt>Decided</dt><dd>{{when .At}}</dd>
{{with .By}}<dt>By</dt><dd>{{text .}}</dd>
{{end}}</dl>
</div>
{{else}}<form method="post" aria-labelledby="title">
<p class="actions">{{range .Choices}}<button name="choice" value="{{.Name}}"{{if .Failed}} class="danger"{{end}}>{{.Label}}</button>
{{end}}</p>
</form>
<p class="soft">{{with .User}}You decide as {{text .}}. {{end}}This can be decided until {{when .Until}}.</p>
{{end}}</div>
</main>{{end}}{{define "span"}}{{if .Given}}<span class="given">{{text .Text}}</span>{{else}}{{.Text}}{{end}}{{end}}`)

// WriteConfirmation answers a person with the page on which they decide, or see what was
// decided. user is who they are, "" if nobody knows.
func WriteConfirmation(w http.ResponseWriter, r *http.Request, v callback.Verdict, p *callback.Policy, user string) {
	data := confirmPage{Confirmation: v.Confirmation, User: user, TooLate: v.Kind == callback.Conflict}
	view := page.View{Title: data.Title.String(), Assets: AssetsFrom(r), Data: data, Forms: p.Leads()}
	if view.Title == "" {
		view.Title = "Please decide"
	}
	if data.TooLate {
		view.Status = http.StatusConflict
	}
	if !data.Decided {
		// The browser says with the form where it comes from, and to nobody else more than the
		// site: the state is in the path.
		view.Referrer = "strict-origin"
	}
	if err := page.Write(w, confirmBody, view); err != nil {
		ProblemOf(err).Write(w)
	}
}

// ShowsDecided reports whether a person who has decided sees what was decided: nothing else is
// configured that they should see.
func ShowsDecided(v callback.Verdict, p *callback.Policy) bool {
	plain := v.Reply != nil && v.Reply.Status == callback.DefaultReplyStatus && v.Reply.Body == "" && v.Reply.Header.Get("Location") == ""
	return p.Confirm != nil && p.Respond == nil && plain && (v.Kind == callback.Accepted || v.Kind == callback.Repeated)
}
