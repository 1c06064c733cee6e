package integration

import (
	"net/http"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// The node that asks for the result is killed: another one asks, and answers the client that has
// come back to it with its key.
func TestPollingGoesOnAtAnotherNode(t *testing.T) {
	t.Parallel()
	nodes := startNodesWith(t, 2, func(node *stage) harness.Config { return node.polls("hold", "", "from header Location") })
	j := servedBy(nodes[0])
	send := func(node *stage) *harness.Pending {
		req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/orders/1"), jsonType, `{"a":1}`)
		req.Header.Set("Idempotency-Key", "order-1")
		return harness.Send(node.Client(t, harness.HTTP1), req)
	}
	_ = send(nodes[0])
	j.times(t, 1)
	second := send(nodes[1])
	nodes[0].Kill(t)
	seen := len(j.times(t, 1))
	j.times(t, seen+1)
	j.answer(polledAnswer{200, nil, "the result"})
	wantAnswer(t, second.Answer(t), http.StatusOK, "the result")
}
