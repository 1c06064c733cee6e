package dashboard

import (
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/desk"
)

var approvalsPage = load("approvals", "rows")

// approvalsData is what the view "approvals" shows.
type approvalsData struct {
	Frame frame
	Live  live
	List  list
}

// approvals shows the callbacks that wait for a person, the oldest first.
func (v *visit) approvals() error {
	query := v.filters()
	query.Set("confirm", "true")
	query.Set("phase", callback.Waiting.String())
	query.Set("order", "oldest")
	q, err := desk.ParseQuery(query, v.rt.Engine.Now())
	if err != nil {
		return err
	}
	data := approvalsData{Frame: v.frame(), Live: v.live(v.eventsOf(nil), refreshEvery)}
	if data.List, err = v.look(q, query); err != nil {
		return err
	}
	if len(data.List.Rows) == 0 && data.List.Next == "" {
		data.List.Empty = "Nobody has to decide anything: no callback waits that was made by a directive with the option confirm."
	}
	return v.write(approvalsPage, show{title: "Approvals", data: data, refresh: data.Live.refresh()})
}
