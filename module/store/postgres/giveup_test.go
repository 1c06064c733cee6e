package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// hang returns a connection with a transaction that ends only with it, as that of a process that
// stopped in the middle of a batch.
func (n *nodes) hang(statement string, args ...any) {
	n.Helper()
	c, err := pgx.Connect(n.Context(), n.options.URL)
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { _ = c.Close(context.Background()) })
	for _, s := range []string{`SET idle_in_transaction_session_timeout = 0`, `BEGIN`} {
		if _, err := c.Exec(n.Context(), s); err != nil {
			n.Fatal(err)
		}
	}
	if _, err := c.Exec(n.Context(), n.one.sql(statement), args...); err != nil {
		n.Fatal(err)
	}
}

// A process that is stopped, or whose machine is cut off, in the middle of a batch holds what that
// has locked until its connection ends, and that can take hours.
func TestNodeIsGivenUpInTheMiddleOfABatch(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	r := n.create(n.two, nil)
	n.hang(`UPDATE @lanes SET seq = seq + 1 WHERE node = $1`, int64(n.two.Node()))
	n.two.stop()
	was := n.two.Node()
	n.eventually("giving up a node", func() bool {
		if err := n.one.Ready(); err != nil {
			t.Fatalf("a node that gives up another one is not ready: %v", err)
		}
		return !n.one.Lives(was)
	})
	if ids, err := n.one.Due(t.Context(), r.ExpiresAt, 10); err != nil || len(ids) != 1 || n.one.Waiting() != 1 {
		t.Errorf("%d are due and %d wait: %v", len(ids), n.one.Waiting(), err)
	}
}

// The database's clock may be set, and then says nothing of how long nothing was heard of a node.
func TestNodesAreGivenUpWhateverTheDatabasesClockSays(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	set := func(by string) {
		t.Helper()
		if _, err := n.one.control.Exec(t.Context(), n.one.sql(`UPDATE @nodes SET seen = clock_timestamp() + $2::interval WHERE node = $1`), int64(n.two.Node()), by); err != nil {
			t.Fatal(err)
		}
	}
	was := n.two.Node()
	n.two.stop()
	set("1 hour")
	n.eventually("giving up a node that is said to have been heard of in an hour", func() bool { return !n.one.Lives(was) })
}

func TestNodeThatWasHeardOfIsNotGivenUpWhenTheDatabasesClockIsSet(t *testing.T) {
	t.Parallel()
	n := newPatientNodes(t, time.Minute)
	was := n.two.Node()
	if _, err := n.one.control.Exec(t.Context(), n.one.sql(`UPDATE @nodes SET seen = clock_timestamp() - interval '1 hour'`)); err != nil {
		t.Fatal(err)
	}
	if err := n.one.giveUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.one.look(t.Context()); err != nil || !n.one.Lives(was) || was != n.two.Node() {
		t.Errorf("a node that is heard of is given up: %v", err)
	}
}
