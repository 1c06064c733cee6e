package integration

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// The clocks of the nodes differ, and that of one is set while it runs. The database runs on
// this machine, whose clock is right.
func TestNodesGoByTheClockOfTheDatabase(t *testing.T) {
	t.Parallel()
	const retain = 4 * time.Second
	ahead := []time.Duration{time.Hour, -time.Hour, 0}
	nodes := startNodesWith(t, len(ahead), func(node *stage) harness.Config {
		node.SetClock(t, ahead[0])
		ahead = ahead[1:]
		return withAPI(node, harness.Config{Callback: "retain " + retain.String(), Private: node.deferred("orders", "")}, "key off")
	})
	t.Run("times", func(t *testing.T) {
		t.Parallel()
		for i, node := range nodes {
			begun := time.Now()
			d := nodes[(i+1)%3].show(t, node.create(t, `{}`).ID)
			if off := d.CreatedAt.Sub(begun); off.Abs() > tellsWithin {
				t.Errorf("what node %d makes is made %v after the time", i, off)
			}
		}
	})
	t.Run("expiry", func(t *testing.T) {
		t.Parallel()
		var open, over []created
		for _, node := range nodes {
			for range nodes {
				open, over = append(open, node.create(t, `{"expiresIn":"4s"}`)), append(over, node.create(t, `{"expiresIn":"4s"}`))
			}
		}
		nodes[1].SetClock(t, 30*time.Minute)
		harness.Until(open[0].ExpiresAt.Add(-time.Second))
		for i, c := range open {
			wantStatus(t, nodes[i%3].callURL(t, http.MethodPost, c.CallbackURL, "in time"), http.StatusOK)
		}
		harness.Until(over[len(over)-1].ExpiresAt.Add(time.Second))
		for i, c := range over {
			wantProblem(t, nodes[i%3].callURL(t, http.MethodPost, c.CallbackURL, "too late"), http.StatusGone, "expired")
		}
	})
	t.Run("next attempt", func(t *testing.T) { t.Parallel(); attemptsComeInTime(t, nodes) })
	t.Run("retention", func(t *testing.T) {
		t.Parallel()
		var all []created
		begun := time.Now()
		for i, node := range nodes {
			all = append(all, node.create(t, `{}`))
			wantStatus(t, nodes[(i+1)%3].api(t, http.MethodDelete, "/"+all[i].ID, ""), http.StatusNoContent)
		}
		for time.Since(begun) < retain-tellsWithin {
			for i, c := range all {
				wantStatus(t, nodes[i].fetch(t, c.StatusURL), http.StatusOK)
			}
			harness.Until(time.Now().Add(100 * time.Millisecond))
		}
		for i, c := range all {
			harness.Within(t, 4*tellsWithin, "it is forgotten", func() bool { return nodes[i].fetch(t, c.StatusURL).Status == http.StatusNotFound })
			if early := retain - time.Since(begun); early > 0 {
				t.Errorf("it is forgotten %v too early", early)
			}
		}
	})
}

// attemptsComeInTime lets each node make jobs that are to be tried again in two seconds.
func attemptsComeInTime(t *testing.T, nodes []*stage) {
	var mu sync.Mutex
	attempts := make(map[string][]time.Time)
	all := make(map[string]parked)
	for i := range 2 * len(nodes) {
		path := fmt.Sprint("/later/", i)
		nodes[0].partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if attempts[path] = append(attempts[path], time.Now()); len(attempts[path]) == 1 {
				w.Header().Set("Retry-After", "2")
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		node := nodes[i%len(nodes)]
		all[path] = node.wantParked(t, node.fetch(t, harness.HTTP1.URL(path)))
	}
	for path, p := range all {
		nodes[0].ends(t, p.StatusURL)
		mu.Lock()
		if n := len(attempts[path]); n != 2 {
			t.Errorf("%s is attempted %d times", path, n)
		} else if wait := attempts[path][1].Sub(attempts[path][0]); wait < 1900*time.Millisecond || wait > 2*time.Second+2*tellsWithin {
			t.Errorf("%s is attempted again after %v", path, wait)
		}
		mu.Unlock()
	}
}
