package engine

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestWorkThatIsDueIsCounted(t *testing.T) {
	ls := newLanes()
	for range 3 {
		ls.add(lane{name: "route a"}, callback.NewUUID())
		ls.add(lane{name: "deliveries a", host: "x:443"}, callback.NewUUID())
		ls.add(lane{name: "deliveries b", host: "y:443"}, callback.NewUUID())
	}
	if got := ls.load(); got != (Load{JobsQueued: 3, DeliveriesQueued: 6}) {
		t.Errorf("%+v", got)
	}
	taken := takeAll(ls, 8)
	if got := ls.load(); got != (Load{JobsRunning: 3, DeliveriesRunning: 5, DeliveriesQueued: 1}) {
		t.Errorf("%+v of %v", got, taken)
	}
}
