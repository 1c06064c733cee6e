package integration

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// work is what a, one of two nodes, does when something happens to it: it makes the request of a
// job, and delivers a result. Neither has its answer.
type work struct {
	a, b *stage
	// cfgOfA starts a again.
	cfgOfA harness.Config
	// job and delivery are the attempts at the two, and parked what their clients were told.
	job, delivery                *attempts
	parkedJob, parkedDelivery    parked
	firstOfJob, firstOfDelivery  attempt
	secondOfJob, secondOfDeliver attempt
}

// attempts are those at one piece of work. The first one is refused for good, as soon as it is
// released, and the others succeed.
type attempts struct {
	arrived chan attempt
	release chan struct{}
	first   chan struct{}
	id      func(*http.Request) string
	success int
}

// attempt is when somebody was asked, and under which identity.
type attempt struct {
	at      time.Time
	id, url string
}

func newAttempts(success int, id func(*http.Request) string) *attempts {
	a := &attempts{arrived: make(chan attempt, 16), release: make(chan struct{}), first: make(chan struct{}, 1), id: id, success: success}
	a.first <- struct{}{}
	return a
}

func (a *attempts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.arrived <- attempt{time.Now(), a.id(r), r.Header.Get(callbackHeader)}
	select {
	case <-a.first:
		<-a.release
		w.WriteHeader(http.StatusBadRequest)
	default:
		w.WriteHeader(a.success)
	}
}

// newWork starts two nodes on these stores, and has a begin its work.
func newWork(t *testing.T, storeOfA, storeOfB string) *work {
	t.Helper()
	nodes := newNodes(t, 2)
	w := &work{a: nodes[0], b: nodes[1]}
	w.job = newAttempts(http.StatusAccepted, func(r *http.Request) string { return r.Header.Get(idempotencyKey) })
	w.delivery = newAttempts(http.StatusOK, func(r *http.Request) string { return r.Header.Get("Webhook-Id") })
	target := httptest.NewServer(w.delivery)
	t.Cleanup(target.Close)
	t.Cleanup(w.releaseAll)
	to := w.a.toPartner()
	cfg := harness.Config{Private: "" +
		"callback /jobs/* park {\nname jobs\ncall {\n" + to + "}\n}\n" +
		"callback /results/* park {\nname results\ndeliver {\nto " + target.URL + "/hook\nallow " + target.URL + "\n}\n}\n" +
		"callback /held/* hold 2m\n" + to}
	w.cfgOfA = cfg
	w.cfgOfA.StoreLine, cfg.StoreLine = storeOfA, storeOfB
	w.a.Start(t, w.cfgOfA)
	w.b.Start(t, cfg)
	w.a.partner.Handle("/jobs/1", w.job.ServeHTTP)
	w.parkedJob = w.a.wantParked(t, w.a.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/jobs/1"), "text/plain", "x")))
	w.firstOfJob = harness.Receive(t, "the partner gets the job", w.job.arrived)
	x := w.a.held(t, "/results/1")
	w.parkedDelivery = w.a.wantParked(t, x.Answer(t))
	x.resolve(t, "the result")
	w.firstOfDelivery = harness.Receive(t, "the target gets the result", w.delivery.arrived)
	return w
}

// held sends a request, and waits until the partner has it.
func (s *stage) held(t *testing.T, path string) *exchange {
	t.Helper()
	return s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "x"))
}

// releaseAll lets the first attempts have their answers.
func (w *work) releaseAll() {
	for _, a := range []*attempts{w.job, w.delivery} {
		select {
		case <-a.release:
		default:
			close(a.release)
		}
	}
}

// takenOver waits for the second attempts, and returns when they came.
func (w *work) takenOver(t *testing.T) (job, delivery time.Time) {
	t.Helper()
	w.secondOfJob = harness.Receive(t, "the partner gets the job again", w.job.arrived)
	w.secondOfDeliver = harness.Receive(t, "the target gets the result again", w.delivery.arrived)
	return w.secondOfJob.at, w.secondOfDeliver.at
}

// ends has the partner call, and checks that what became of both is what came of the second
// attempts, and that there was no third.
func (w *work) ends(t *testing.T) {
	t.Helper()
	wantStatus(t, w.b.callURL(t, http.MethodPost, w.secondOfJob.url, "done", "Content-Type", "text/plain"), http.StatusOK)
	w.stays(t)
}

// stays checks that what became of both has not changed.
func (w *work) stays(t *testing.T) {
	t.Helper()
	wantAnswer(t, w.b.fetch(t, w.parkedJob.ResultURL), http.StatusOK, "done")
	harness.Eventually(t, "the result is delivered", func() bool {
		return strings.Contains(string(w.b.fetch(t, w.parkedDelivery.StatusURL).Body), `"delivered"`)
	})
	for what, both := range map[string][2]attempt{"job": {w.firstOfJob, w.secondOfJob}, "delivery": {w.firstOfDelivery, w.secondOfDeliver}} {
		if both[0].id == "" || both[0].id != both[1].id || both[0].url != both[1].url {
			t.Errorf("the attempts at the %s are not one: %+v", what, both)
		}
	}
	if jobs, deliveries := len(w.job.arrived), len(w.delivery.arrived); jobs+deliveries > 0 {
		t.Errorf("%d more attempts at the job, %d more at the delivery", jobs, deliveries)
	}
}
