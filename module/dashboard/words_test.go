package dashboard

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/desk"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

func TestCallThatIsNotTakenGetsItsProblem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		verdict callback.Verdict
		want    string
	}{
		{callback.Verdict{Kind: callback.Accepted}, ""}, {callback.Verdict{Kind: callback.Repeated}, ""}, {callback.Verdict{Kind: callback.Progressed}, ""},
		{callback.Verdict{Kind: callback.Conflict}, "already-resolved"}, {callback.Verdict{Kind: callback.Gone}, "expired"},
		{callback.Verdict{Kind: callback.Gone, Closed: true}, "closed"}, {callback.Verdict{Kind: callback.Unattended}, "nobody-waits"},
		{callback.Verdict{Kind: callback.Backlogged, RetryAfter: time.Minute}, "results-waiting"},
		{callback.Verdict{Kind: callback.Refused, Fault: callback.Fault{Slug: "unreadable"}}, "unreadable"}, {callback.Verdict{Kind: callback.WrongMethod}, "invalid-request"},
	} {
		var p problem.Problem
		if err := refusal(c.verdict); err != nil && !errors.As(err, &p) || p.Slug != c.want {
			t.Errorf("%+v: %v", c.verdict, err)
		}
	}
}

func TestAnswerAtABaseURLIsUnderstood(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		knocked deliver.Knocked
		ok      bool
		want    string
	}{
		{deliver.Knocked{Status: 508, Problem: "loop-detected"}, true, "It leads to this server's"}, {deliver.Knocked{Status: 508}, false, "Something else answered, with status 508"},
		{deliver.Knocked{Status: 404, Problem: "unknown-state"}, false, "another store"}, {deliver.Knocked{Status: 302}, false, "redirected"},
		{deliver.Knocked{Status: 200}, false, "Something else"}, {deliver.Knocked{Error: "timed out"}, false, "Nothing answered: timed out"},
	} {
		if got := newChecked(c.knocked); got.OK != c.ok || !strings.Contains(got.Says, c.want) {
			t.Errorf("%+v: %+v", c.knocked, got)
		}
	}
}

func TestReportSaysWhatHasBecomeOfAll(t *testing.T) {
	d := newDashboard(t, open)
	id := callback.NewUUID()
	report := d.reports.keep(keptReport{act: desk.Redeliver, filters: map[string][]string{"name": {"orders"}}, Report: desk.Report{
		Matched: 9, Done: 4, Failed: 2, Skipped: map[string]int{desk.SkippedNothing: 2, "another": 1}, Failures: []desk.Failure{{ID: id.String(), Reason: "busy"}}, Next: "more",
	}})
	wantIn(t, d.get(t, "/list?report="+report), 200, "4 callbacks were delivered again", "Of 9 callbacks that matched, 4 were delivered again.", "2 have no result to deliver.",
		"1 were left as they are: another.", "With 2 it has failed.", `href="./callback/`+id.String()+`">`+id.String()+": busy", `href="./list/redeliver?cursor=more&amp;name=orders"`)
}

func TestPackedBodyIsShownUnpacked(t *testing.T) {
	d := newDashboard(t, open)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write([]byte(`{"a":1.0}`))
	_ = w.Close()
	for body, want := range map[string]string{packed.String(): "It came packed, and is shown unpacked.", "no gzip at all": "as text"} {
		cb := d.create(t, callback.Spec{})
		d.call(t, cb, http.Header{"Content-Encoding": {"gzip"}}, body)
		wantIn(t, d.get(t, "/callback/"+cb.ID.String()+"/body/call"), 200, want, "<dt>Coding</dt><dd><bdi>gzip</bdi>")
		wantIn(t, d.get(t, "/callback/"+cb.ID.String()+"/replay/call"), 200, "It is packed.")
		if got := d.get(t, "/callback/"+cb.ID.String()+"/download/call").Body.String(); got != body {
			t.Errorf("%q is downloaded", got)
		}
	}
}
