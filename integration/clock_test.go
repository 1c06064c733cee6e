package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// The clock is set while the server is under load. No step is larger than two days:
// after such a step the server would follow the clock at once.
func TestClockThatIsSetUnderTheServerEndsAndStopsNothing(t *testing.T) {
	t.Parallel()
	l := newLoad(t)
	l.pause = 50 * time.Millisecond
	urls := make(chan string, 3)
	l.partner.HandleEvery(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/clock/") {
			l.serve(w, r)
			return
		}
		urls <- r.Header.Get(callbackHeader)
		w.WriteHeader(http.StatusAccepted)
	})
	cfg := l.config()
	cfg.Private = "" +
		"callback /clock/late hold 500ms\n" +
		"callback /clock/moment park {\nexpires_in 500ms\n}\n" +
		"callback /clock/hour park {\nexpires_in 1h\n}\n" + cfg.Private
	l.SetClock(t, 0)
	l.Start(t, cfg)
	stop := make(chan struct{})
	l.until(stop)
	l.power.set(true)

	send := func(path string) (client *harness.Pending, url string) {
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/clock/"+path), "text/plain", "x")
		client = harness.Send(l.Client(t, harness.HTTP1), req)
		return client, harness.Receive(t, "the partner gets the request", urls)
	}
	settings := []time.Duration{time.Hour, -time.Hour, 0, 24 * time.Hour, 0, -24 * time.Hour, 0}
	for _, ahead := range settings {
		client, _ := send("moment")
		moment := l.wantParked(t, client.Answer(t))
		client, url := send("hour")
		hour := l.wantParked(t, client.Answer(t))
		late, _ := send("late")
		l.SetClock(t, ahead)

		wantProblem(t, late.Answer(t), http.StatusGatewayTimeout, "timeout")
		if st := l.ends(t, moment.StatusURL); st.Phase != "expired" {
			t.Errorf("set to %v: what had half a second is %s", ahead, st.Phase)
		}
		if st := l.status(t, hour.StatusURL); st.Phase != "waiting" {
			t.Errorf("set to %v: what had an hour is %s", ahead, st.Phase)
		}
		wantStatus(t, l.partner.Call(t, http.MethodPost, url, "text/plain", "in time"), http.StatusOK)
		wantAnswer(t, l.fetch(t, hour.ResultURL), http.StatusOK, "in time")
	}
	close(stop)
	l.finish(t)
	l.figures("the clock was set %d times", len(settings))
}
