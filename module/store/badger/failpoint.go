package badger

import (
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/failpoint"
)

// The moments of a commit at which a test can interrupt it.
const (
	beforeCommit = "before-commit"
	afterCommit  = "after-commit"
)

// The moments of a change of encryption_key at which a test can interrupt it.
const (
	rotationNumbered = "rotation.numbered"
	rotationSealed   = "rotation.sealed"
	rotationPrepared = "rotation.prepared"
	rotationDone     = "rotation.done"
)

func hit(point string) error { return failpoint.Hit(point) }

// hitCommit hits, for each callback in a group, the fail point of that moment, which
// is named by what the commit does to the callback.
func hitCommit(g *group, moment string) error {
	if !failpoint.Enabled {
		return nil
	}
	for _, w := range g.writes {
		if err := failpoint.Hit(stepOf(w.before, w.after) + "." + moment); err != nil {
			return err
		}
	}
	return nil
}

// stepOf names what a commit does to a callback.
func stepOf(before, after *callback.Record) string {
	switch {
	case before == after:
		return "nothing"
	case before == nil:
		return "create"
	case after == nil:
		return "forget"
	case after.Calls > before.Calls:
		return "call"
	case after.Told != before.Told:
		return "told"
	case before.Job != nil && (after.Job == nil || after.Job.Attempts > before.Job.Attempts):
		return "job"
	case after.Phase == before.Phase && after.Phase.Final():
		return "delivery"
	}
	return "change"
}
