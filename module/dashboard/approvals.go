package dashboard

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/desk"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var approvalsPage = load("approvals", "rows", "question")

// approvalsData is what the view "approvals" shows.
type approvalsData struct {
	Frame frame
	Live  live
	List  list
	// Asked are the callbacks of the list with what is asked.
	Asked []approval
}

// approval is a callback that waits for a person.
type approval struct {
	row
	Question *question
}

// question is what a person is asked.
type question struct {
	Title, Text []callback.Span
	// Choices can be made at To; none if the visitor cannot, or nobody any more.
	Choices []callback.Choice
	To      string
	// Back says that the browser comes back to the view "approvals".
	Back bool
}

const (
	// acting is what paths call a decision.
	acting    = "decide"
	fieldBack = "back"
	// mostAsked bounds what is shown of a text in the list, in bytes.
	mostAsked = 500
)

// questionOf returns what a callback asks a person; nil if it asks nothing.
func (v *visit) questionOf(cb *engine.Callback, most int) *question {
	if cb.Policy.Confirm == nil {
		return nil
	}
	title, text := callback.Text{cb.Policy.Confirm.Title}, callback.Text{cb.Policy.Confirm.Text}
	if cb.Question != nil {
		title, text = cb.Question.Title, cb.Question.Text
	}
	q := &question{Title: title.Cut(callback.MaxTitle).Spans(), Text: text.Cut(most).Spans()}
	if v.visitor.acts && undecided(cb) {
		q.Choices, q.To = cb.Policy.Confirm.Choices, v.at.root+"callback/"+cb.ID.String()+"/"+acting
	}
	return q
}

// undecided reports whether nobody has decided. What goes on after the decision still waits.
func undecided(cb *engine.Callback) bool { return cb.Phase == callback.Waiting && cb.Call == nil }

// asksSomebody reports whether one of the callbacks that have waited longest for a person still
// does.
func (v *visit) asksSomebody() (bool, error) {
	page, err := v.desk().List(v.r.Context(), store.Query{Confirm: true, Phase: callback.Waiting, OldestFirst: true, Limit: pageRows})
	if err != nil {
		return false, err
	}
	defer page.Release()
	return slices.ContainsFunc(page.Callbacks, undecided), nil
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
	data.List, err = v.lookFor(q, query, func(cb *engine.Callback) {
		if !undecided(cb) {
			return
		}
		a := approval{v.newRow(cb), v.questionOf(cb, mostAsked)}
		if a.Question != nil {
			a.Question.Back = true
		}
		data.Asked = append(data.Asked, a)
	})
	if err != nil {
		return err
	}
	if len(data.Asked) == 0 && data.List.Next == "" {
		data.List.Empty = "Nobody has to decide anything: no callback waits that was made by a directive with the option confirm."
	}
	return v.write(approvalsPage, show{title: "Approvals", data: data, refresh: data.Live.refresh()})
}

// decide makes a choice in a person's place.
func (v *visit) decide(f form) error {
	cb, err := v.desk().Find(v.r.Context(), v.at.id)
	if err != nil {
		return err
	}
	choice := f.Get(callback.ChoiceField)
	if cb.Policy.Confirm == nil || !slices.ContainsFunc(cb.Policy.Confirm.Choices, func(c callback.Choice) bool { return c.Name == choice }) {
		return problem.InvalidField(callback.ChoiceField, "The callback does not ask for such a choice.")
	}
	call, lease, err := v.newCall(made{
		method: http.MethodPost, header: http.Header{"Content-Type": {formType}}, body: []byte(url.Values{callback.ChoiceField: {choice}}.Encode()),
	}, memory.OwnerOf(v.at.id))
	if err != nil {
		return err
	}
	defer lease.Release()
	return v.take(v.at.id, call, lease)
}
