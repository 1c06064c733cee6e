package desk

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

func TestChangesThatAQueryMeans(t *testing.T) {
	t.Parallel()
	id := callback.NewUUID()
	c := app.Change{ID: id, Name: "orders", CorrelationID: "order 17", Phase: callback.Closed}
	for query, want := range map[string]bool{
		"": true, "phase=closed": true, "phase=waiting": false, "name=orders": true, "name=bills": false, "id=" + id.String(): true,
		"id=" + callback.NewUUID().String(): false, "correlationId=order+17": true, "correlationId=order+1": false, "phase=closed&name=bills": false,
	} {
		values, _ := url.ParseQuery(query)
		q, err := ParseWatch(values)
		if err != nil || means(q, c) != want {
			t.Errorf("%s means it: %t, %v", query, means(q, c), err)
		}
	}
	for _, query := range []string{"phase=x", "limit=3", "createdAfter=1h", "delivery=dead", "id=x", "name=a&name=b"} {
		values, _ := url.ParseQuery(query)
		if _, err := ParseWatch(values); err == nil {
			t.Errorf("%s is taken", query)
		}
	}
}

// recorder is a client that takes what it is told, and tells when something has come.
type recorder struct {
	*httptest.ResponseRecorder
	came chan struct{}
}

func (r *recorder) Write(b []byte) (int, error) {
	n, err := r.ResponseRecorder.Write(b)
	select {
	case r.came <- struct{}{}:
	default:
	}
	return n, err
}

func TestStreamEndsWithWhateverItDependsOn(t *testing.T) {
	t.Parallel()
	for _, ending := range []string{"client", "exit", "configuration"} {
		exit, ended := make(chan struct{}), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		d := Desk{Runtime: &app.Runtime{Feed: app.NewFeed(), Exit: exit}}
		w := &recorder{httptest.NewRecorder(), make(chan struct{}, 1)}
		served := make(chan error, 1)
		go func() {
			served <- d.ServeChanges(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "http://a.test/events", nil), ended)
		}()
		<-w.came
		switch ending {
		case "client":
			cancel()
		case "exit":
			close(exit)
		case "configuration":
			close(ended)
		}
		select {
		case err := <-served:
			if err != nil || !strings.HasPrefix(w.Body.String(), "id: ") || w.Header().Get("Content-Type") != "text/event-stream" {
				t.Errorf("%s: %v, %s", ending, err, w.Body)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the stream does not end", ending)
		}
		cancel()
	}
}

func TestStreamIsNotBegunForWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	d := Desk{Runtime: &app.Runtime{Feed: app.NewFeed()}}
	for _, query := range []string{"?%zz", "?phase=x"} {
		w := httptest.NewRecorder()
		err := d.ServeChanges(w, httptest.NewRequest(http.MethodGet, "http://a.test/events"+query, nil), nil)
		wantProblem(t, err, "invalid-request", "")
		if w.Body.Len() > 0 {
			t.Errorf("%s: told %s", query, w.Body)
		}
	}
	w := httptest.NewRecorder()
	if err := d.ServeChanges(w, httptest.NewRequest(http.MethodHead, "http://a.test/events", nil), nil); err != nil || w.Code != http.StatusOK {
		t.Errorf("%v, %d", err, w.Code)
	}
	var listeners []*app.Listener
	for {
		l, err := d.Runtime.Feed.Listen("")
		if err != nil {
			break
		}
		listeners = append(listeners, l)
	}
	if err := d.ServeChanges(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://a.test/events", nil), nil); !errors.Is(err, engine.ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	for _, l := range listeners {
		l.Stop()
	}
}
