package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestRequestsWithOneKeyThatComeToAllNodesAtOnceReachTheUpstreamOnce(t *testing.T) {
	t.Parallel()
	nodes := startNodesWith(t, 3, func(node *stage) harness.Config {
		return harness.Config{Private: harness.Hold("/hold*", "", "") + "callback /park* park\n" +
			"callback /defer* defer {\nname orders\nthen {\n" + node.toPartner() + "}\n}\n" + node.toPartner()}
	})
	a := nodes[0]
	for round := range 5 {
		path := "/hold" + a.path()
		var all []*harness.Pending
		for i := range 12 {
			all = append(all, nodes[(round+i)%3].again(t, withKey(t, path, path, "order")))
		}
		received := a.partner.Received(t, path)
		wantStatus(t, nodes[round%3].callURL(t, http.MethodPost, received.Header.Get(callbackHeader), "for all"), http.StatusOK)
		for _, p := range all {
			wantAnswer(t, p.Answer(t), http.StatusOK, "for all")
		}
		a.wantArrivals(t, path, 0)
	}
	for _, prefix := range []string{"/park", "/defer"} {
		path := prefix + a.path()
		var all []*harness.Pending
		for i := range 12 {
			all = append(all, nodes[i%3].again(t, withKey(t, path, path, "order")))
		}
		first := a.wantParked(t, all[0].Answer(t))
		for i, p := range all[1:] {
			if again := nodes[(i+1)%3].wantParked(t, p.Answer(t)); again.ID != first.ID {
				t.Errorf("%s: one key has the callbacks %s and %s", prefix, first.ID, again.ID)
			}
		}
		a.partner.Received(t, path)
		if prefix == "/defer" {
			a.ends(t, first.StatusURL)
		}
		a.wantArrivals(t, path, 0)
	}
}

func TestRetryAtAnotherNodeGetsTheAnswerOfTheFirst(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 3, harness.Config{})
	a, b, c := nodes[0], nodes[1], nodes[2]
	path := a.path()
	release := a.hang(path, harness.Ack(http.StatusAccepted, nil, ""))
	defer release()
	x := a.forward(t, harness.HTTP1, withKey(t, path, "k-1", "order"))
	beforeTheAck := b.again(t, withKey(t, path, "k-1", "order"))
	wantProblem(t, b.again(t, withKey(t, path, "k-1", "another")).Answer(t), http.StatusUnprocessableEntity, "idempotency-key-reused")
	harness.Eventually(t, "the retry waits", func() bool { return b.GoroutinesIn(t, "hold.(*exchange).attach") == 1 })
	release()
	a.Acknowledged(t)
	afterTheAck := c.again(t, withKey(t, path, "k-1", "order"))
	harness.Eventually(t, "the retry waits", func() bool { return c.GoroutinesIn(t, "hold.(*exchange).attach") == 1 })
	x.at(b).resolve(t, "one answer")
	for _, p := range []*harness.Pending{x.Pending, beforeTheAck, afterTheAck} {
		wantAnswer(t, p.Answer(t), http.StatusOK, "one answer")
	}
	for _, node := range nodes {
		replayed := node.again(t, withKey(t, path, "k-1", "order")).Answer(t)
		wantAnswer(t, replayed, http.StatusOK, "one answer")
		wantHeader(t, replayed.Header, "Idempotency-Replayed", "true")
	}
	a.wantArrivals(t, path, 0)
}

func TestAnswerThatIsNoAckIsReplayedAtAnotherNode(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2, harness.Config{})
	a, b := nodes[0], nodes[1]
	path := a.path()
	release := a.hang(path, harness.Ack(http.StatusConflict, http.Header{"X-Why": {"sold"}}, "sold out"))
	defer release()
	x := a.forward(t, harness.HTTP1, withKey(t, path, "k-1", "order"))
	retry := b.again(t, withKey(t, path, "k-1", "order"))
	harness.Eventually(t, "the retry waits", func() bool { return b.GoroutinesIn(t, "hold.(*exchange).attach") == 1 })
	release()
	wantAnswer(t, x.Answer(t), http.StatusConflict, "sold out")
	for _, p := range []*harness.Pending{retry, b.again(t, withKey(t, path, "k-1", "order"))} {
		replayed := p.Answer(t)
		wantAnswer(t, replayed, http.StatusConflict, "sold out")
		wantHeader(t, replayed.Header, "X-Why", "sold")
		wantHeader(t, replayed.Header, "Idempotency-Replayed", "true")
	}
	a.wantArrivals(t, path, 0)
}

// givenUpWithin is how soon the other nodes act for one that was killed.
const givenUpWithin = 14 * time.Second

// The node that serves the request ends before the ack: nobody knows whether the upstream got
// it. It gets it again, once, with what it got before.
func TestRetryOfARequestWhoseNodeHasEndedReachesTheUpstreamOnceMore(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *stage){
		"killed": func(t *testing.T, s *stage) { s.Kill(t) },
		"exited": func(t *testing.T, s *stage) { s.Terminate(t); s.Exited(t, exitWithin) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nodes := startNodes(t, 3, harness.Config{})
			a, b, c := nodes[0], nodes[1], nodes[2]
			path := a.path()
			release := a.hang(path, harness.Ack(http.StatusAccepted, nil, ""))
			defer release()
			x := a.forward(t, harness.HTTP1, withKey(t, path, "k-1", "order"))
			// They wait as long as the first one may be served.
			retries := []*harness.Pending{b.again(t, withKey(t, path, "k-1", "order")), c.again(t, withKey(t, path, "k-1", "order"))}
			for _, node := range nodes[1:] {
				harness.Eventually(t, "the retry waits", func() bool { return node.GoroutinesIn(t, "hold.(*exchange).attach") == 1 })
			}
			a.wantArrivals(t, path, 0)
			end(t, a)
			ended := time.Now()
			again := a.partner.Received(t, path)
			if took := time.Since(ended); name == "killed" && took > givenUpWithin*harness.TimeFactor || name == "exited" && took > 2*tellsWithin {
				t.Errorf("it comes again after %v", took)
			}
			for _, header := range []string{callbackHeader, correlationHeader, idempotencyKey} {
				wantHeader(t, again.Header, header, x.received.Header.Get(header))
			}
			x.at(c).resolve(t, "one answer")
			for _, p := range retries {
				wantAnswer(t, p.Answer(t), http.StatusOK, "one answer")
			}
			a.wantArrivals(t, path, 0)
			if answer, err := x.Outcome(); err == nil && !strings.Contains(string(answer.Body), "#shutting-down") {
				t.Errorf("the first client got %d %s", answer.Status, short(answer.Body))
			}
		})
	}
}
