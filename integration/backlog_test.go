package integration

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// backlogged is a stage on which results of one callback wait to be delivered.
type backlogged struct {
	*stage
	target *target
	call   *exchange
	parked parked
}

// newBacklogged returns a stage whose target refuses the first result, so that it and those
// after it wait until they are delivered anew.
func newBacklogged(t *testing.T, limits string) *backlogged {
	t.Helper()
	g := newTarget(t, http.StatusInternalServerError)
	s := newStage(t)
	s.NeverLog(envKey)
	s.Setenv("CB_KEY", envKey)
	s.Start(t, withAPI(s, harness.Config{
		Callback: "key env {env.CB_KEY} send\n" + limits,
		Private:  s.parks("multiple on\nname orders\nkey env\ndeliver {\nallow " + g.URL + "\nretry 1h 1h\n}"),
	}, "key off"))
	x := s.order(t, g.URL)
	return &backlogged{stage: s, target: g, call: x, parked: s.wantParked(t, x.Answer(t))}
}

// doors are the ways in which a call can reach a callback.
func (b *backlogged) doors(t *testing.T, body string) map[string]*harness.Response {
	t.Helper()
	id := b.call.received.Header.Get(correlationHeader)
	return map[string]*harness.Response{
		"callback URL":   b.callURL(t, http.MethodPost, b.call.url, body, bearer(envKey)...),
		"failed URL":     b.callURL(t, http.MethodPost, b.call.url+"/failed", body, bearer(envKey)...),
		"fixed URL":      b.callFixed(t, id, body, bearer(envKey)...),
		"API":            b.callURL(t, http.MethodPost, apiURL+"/"+b.parked.ID+"/resolve", body),
		"admin endpoint": b.admin(t, http.MethodPost, "/"+b.parked.ID+"/resolve", body),
	}
}

func (b *backlogged) send(t *testing.T, body string) *harness.Response {
	t.Helper()
	return b.callURL(t, http.MethodPost, b.call.url, body, bearer(envKey)...)
}

// drain has all results that wait delivered, and returns them.
func (b *backlogged) drain(t *testing.T, n int) (bodies []string) {
	t.Helper()
	wantStatus(t, b.admin(t, http.MethodPost, "/"+b.parked.ID+"/redeliver", ""), http.StatusAccepted)
	for range n {
		bodies = append(bodies, string(b.target.delivered(t).Body))
	}
	b.deliveryIs(t, b.parked, "delivered")
	return bodies
}

func TestCallForWhoseResultThereIsNoRoomCanBeMadeAgain(t *testing.T) {
	t.Parallel()
	b := newBacklogged(t, "max_body_size 24MiB")
	bodies := make([]string, 3)
	for i := range bodies {
		bodies[i] = strconv.Itoa(i) + strings.Repeat("x", 21<<20)
		wantStatus(t, b.send(t, bodies[i]), http.StatusOK)
	}
	if d := b.target.delivered(t); string(d.Body) != bodies[0] {
		t.Errorf("the first attempt brings %s", short(d.Body))
	}
	b.deliveryIs(t, b.parked, "pending")
	for door, got := range b.doors(t, "3"+bodies[0]) {
		wantProblem(t, got, http.StatusServiceUnavailable, "results-waiting")
		if after, _ := strconv.Atoi(got.Header.Get("Retry-After")); after < 5 || after > 300 {
			t.Errorf("%s: Retry-After is %q", door, got.Header.Get("Retry-After"))
		}
	}
	b.wantBodyFiles(t, "after calls without room", len(bodies))
	// There is room for a small one.
	wantStatus(t, b.send(t, "small"), http.StatusOK)
	b.Kill(t)
	b.Start(t, withAPI(b.stage, harness.Config{
		Callback: "key env {env.CB_KEY} send\nmax_body_size 24MiB",
		Private:  b.parks("multiple on\nname orders\nkey env\ndeliver {\nallow " + b.target.URL + "\nretry 1h 1h\n}"),
	}, "key off"))
	if got := b.drain(t, 4); !slices.Equal(got, append(bodies, "small")) {
		t.Errorf("%d results were delivered, or others", len(got))
	}
	b.wantBodyFiles(t, "once all but the last are delivered", 0)
	wantStatus(t, b.send(t, "3"+bodies[0]), http.StatusOK)
	if d := b.target.delivered(t); string(d.Body) != "3"+bodies[0] {
		t.Errorf("delivered %s", short(d.Body))
	}
}

// Bodies that fit into a record one by one do not fit into it together.
func TestThousandResultsWaitWhateverTheirSize(t *testing.T) {
	t.Parallel()
	b := newBacklogged(t, "")
	const many = 100
	body := func(i int) string { return strconv.Itoa(i) + noise(60<<10) }
	for i := range many {
		wantStatus(t, b.send(t, body(i)), http.StatusOK)
	}
	b.target.delivered(t)
	for i := many; i < 1000; i++ {
		wantStatus(t, b.send(t, strconv.Itoa(i)), http.StatusOK)
	}
	for _, got := range b.doors(t, "one more") {
		wantProblem(t, got, http.StatusServiceUnavailable, "results-waiting")
	}
	for i, got := range b.drain(t, 1000) {
		if want := map[bool]string{true: body(i), false: strconv.Itoa(i)}[i < many]; got != want {
			t.Fatalf("number %d is %s", i, short([]byte(got)))
		}
	}
	b.wantBodyFiles(t, "once all are delivered", 0)
}
