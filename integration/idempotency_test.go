package integration

import (
	"net/http"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

const idempotencyKey = "Idempotency-Key"

// withKey returns a POST request that can be made again.
func withKey(t *testing.T, path, key, body string) *http.Request {
	t.Helper()
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", body)
	req.Header.Set(idempotencyKey, key)
	return req
}

// again sends a request that was sent before.
func (s *stage) again(t *testing.T, req *http.Request) *harness.Pending {
	t.Helper()
	return harness.Send(s.Client(t, harness.HTTP1), req)
}

// wantArrivals checks how many more requests for the path the partner has got.
func (s *stage) wantArrivals(t *testing.T, path string, n int) {
	t.Helper()
	if got := s.partner.Arrived(path); got != n {
		t.Errorf("the partner has got %d more requests for %s, want %d", got, path, n)
	}
}

func TestRequestsWithOneKeyShareOneCallback(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	path := s.path()
	first := s.forward(t, harness.HTTP1, withKey(t, path, "k-1", "order"))
	wantHeader(t, first.received.Header, idempotencyKey, "k-1")
	second := s.again(t, withKey(t, path, "k-1", "order"))
	first.resolve(t, "one answer")
	for _, p := range []*harness.Pending{first.Pending, second} {
		wantAnswer(t, p.Answer(t), http.StatusOK, "one answer")
	}
	s.wantArrivals(t, path, 0)
}

func TestRequestsWithOneKeyThatComeAtOnceReachTheUpstreamOnce(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	path := s.path()
	all := make([]*harness.Pending, 8)
	for i := range all {
		all[i] = s.again(t, withKey(t, path, "k-1", "order"))
	}
	received := s.partner.Received(t, path)
	wantStatus(t, s.partner.Call(t, http.MethodPost, received.Header.Get(callbackHeader), "text/plain", "for all"), http.StatusOK)
	for _, p := range all {
		wantAnswer(t, p.Answer(t), http.StatusOK, "for all")
	}
	s.wantArrivals(t, path, 0)
}

func TestClientIsKnownByWhatTheDirectiveSays(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "idempotency_scope {http.request.header.X-Tenant}"})
	path := s.path()
	from := func(tenant, token string) *http.Request {
		req := withKey(t, path, "k-1", "order")
		req.Header.Set("X-Tenant", tenant)
		req.Header.Set("Authorization", "Bearer "+token)
		return req
	}
	first := s.forward(t, harness.HTTP1, from("shop", "1"))
	refreshed := s.again(t, from("shop", "2"))
	other := s.forward(t, harness.HTTP1, from("bank", "1"))
	first.resolve(t, "for the shop")
	wantAnswer(t, first.Answer(t), http.StatusOK, "for the shop")
	wantAnswer(t, refreshed.Answer(t), http.StatusOK, "for the shop")
	other.resolve(t, "for the bank")
	wantAnswer(t, other.Answer(t), http.StatusOK, "for the bank")
	s.wantArrivals(t, path, 0)
	wantProblem(t, s.public(t, from("", "1")), http.StatusBadRequest, "no-idempotency-scope")
	s.wantArrivals(t, path, 0)
	// Nobody asks who a client is that gives no key.
	plain := s.get(t)
	plain.resolve(t, "no key")
	wantAnswer(t, plain.Answer(t), http.StatusOK, "no key")
}

func TestParkedClientIsKnownByWhatTheDirectiveSays(t *testing.T) {
	t.Parallel()
	s := startDeferring(t, "idempotency_scope {http.request.header.X-Tenant}")
	path := s.path()
	ids := make(map[string]string)
	for _, client := range [][2]string{{"shop", "1"}, {"shop", "2"}, {"bank", "2"}} {
		req := withKey(t, path, "k-1", "order")
		req.Header.Set("X-Tenant", client[0])
		req.Header.Set("Authorization", "Bearer "+client[1])
		id := s.wantParked(t, s.public(t, req)).ID
		if before := ids[client[0]]; before != "" && before != id {
			t.Errorf("%s has two callbacks", client[0])
		}
		ids[client[0]] = id
	}
	if ids["shop"] == ids["bank"] {
		t.Error("two clients share a callback")
	}
}

func TestResultIsReplayedToTheSameKey(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	path := s.path()
	x := s.forward(t, harness.HTTP1, withKey(t, path, "k-1", "order"))
	wantStatus(t, x.call(t, "application/json", `{"ok":true}`), http.StatusOK)
	original := x.Answer(t)
	wantAnswer(t, original, http.StatusOK, `{"ok":true}`)
	wantHeader(t, original.Header, "Idempotency-Replayed")
	replayed := s.again(t, withKey(t, path, "k-1", "order")).Answer(t)
	wantAnswer(t, replayed, http.StatusOK, `{"ok":true}`)
	wantHeader(t, replayed.Header, "Idempotency-Replayed", "true")
	wantHeader(t, replayed.Header, "Content-Type", "application/json")
	wantHeader(t, replayed.Header, correlationHeader, original.Header.Get(correlationHeader))
	s.wantArrivals(t, path, 0)
}

func TestAnswerThatIsNoAckIsReplayedToTheSameKey(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusConflict, http.Header{"X-Why": {"sold"}}, "sold out"))
	wantAnswer(t, s.forward(t, harness.HTTP1, withKey(t, path, "k-1", "order")).Answer(t), http.StatusConflict, "sold out")
	replayed := s.again(t, withKey(t, path, "k-1", "order")).Answer(t)
	wantAnswer(t, replayed, http.StatusConflict, "sold out")
	wantHeader(t, replayed.Header, "X-Why", "sold")
	wantHeader(t, replayed.Header, "Idempotency-Replayed", "true")
	s.wantArrivals(t, path, 0)
}

func TestKeyThatComesWithAnotherRequestIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	path := s.path()
	x := s.forward(t, harness.HTTP1, withKey(t, path, "k-1", "order"))
	wantProblemDocument(t, s.again(t, withKey(t, path, "k-1", "another")).Answer(t), http.StatusUnprocessableEntity)
	wantProblemDocument(t, s.again(t, withKey(t, path+"?b=2", "k-1", "order")).Answer(t), http.StatusUnprocessableEntity)
	s.wantArrivals(t, path, 0)
	x.stillWaits(t)
}

func TestKeysOfOneClientMeanNothingToAnother(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	path := s.path()
	one := s.forward(t, harness.HTTP1, withKey(t, path, "k-1", "order"))
	req := withKey(t, path, "k-1", "order")
	req.Header.Set("Authorization", "Bearer other")
	other := s.forward(t, harness.HTTP1, req)
	if one.url == other.url {
		t.Fatal("both have one callback")
	}
	other.resolve(t, "for the other")
	wantAnswer(t, other.Answer(t), http.StatusOK, "for the other")
	one.resolve(t, "for the one")
	wantAnswer(t, one.Answer(t), http.StatusOK, "for the one")
}

func TestKeyOutlastsACrash(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	done, open := s.path(), s.path()
	x := s.forward(t, harness.HTTP1, withKey(t, done, "k-1", "order"))
	x.resolve(t, "before the crash")
	wantAnswer(t, x.Answer(t), http.StatusOK, "before the crash")
	y := s.forward(t, harness.HTTP1, withKey(t, open, "k-2", "order"))
	s.Kill(t)
	if _, err := y.Outcome(); err == nil {
		t.Fatal("the held client got an answer from a server that was killed")
	}
	s.Start(t, harness.Config{})
	replayed := s.again(t, withKey(t, done, "k-1", "order")).Answer(t)
	wantAnswer(t, replayed, http.StatusOK, "before the crash")
	wantHeader(t, replayed.Header, "Idempotency-Replayed", "true")
	s.wantArrivals(t, done, 0)

	// It is unknown whether the ack was stored: the request may come again, but with
	// the same callback.
	second := s.again(t, withKey(t, open, "k-2", "order"))
	y.resolve(t, "after the crash")
	wantAnswer(t, second.Answer(t), http.StatusOK, "after the crash")
}

func TestIdempotencyOffMakesKeysMeanNothing(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "idempotency off"})
	path := s.path()
	one := s.forward(t, harness.HTTP1, withKey(t, path, "k-1", "order"))
	other := s.forward(t, harness.HTTP1, withKey(t, path, "k-1", "order"))
	one.stillWaits(t)
	other.stillWaits(t)
}
