package postgres

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// count returns how many rows of a table there are.
func (n *nodes) count(table string) (rows int) {
	n.Helper()
	if err := n.one.pool.QueryRow(n.Context(), n.one.sql(`SELECT count(*) FROM @`+table)).Scan(&rows); err != nil {
		n.Fatal(err)
	}
	return rows
}

// What is removed by one statement must be bounded: one that runs into its timeout would do so
// again for ever.
func TestWhatIsForgottenAtOnceIsBoundedByItsBodies(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	for i := range 4 {
		body, err := n.one.PutBody(t.Context(), make([]byte, 1000))
		if err != nil {
			t.Fatal(err)
		}
		n.create(n.one, func(r *callback.Record) {
			r.Phase, r.KeepUntil = callback.Closed, callback.Time(10+i)
			r.Answer = &callback.Response{Body: body}
		})
	}
	n.create(n.one, func(r *callback.Record) { r.Phase, r.KeepUntil = callback.Closed, 20 })
	if k, more, err := n.two.forgetSome(t.Context(), 100, 10, 1001); k != 2 || !more || err != nil {
		t.Errorf("%d are forgotten of 2, more: %t, %v", k, more, err)
	}
	if k, err := n.two.Forget(t.Context(), 100, 10); k != 3 || err != nil || n.count("callbacks") != 0 || n.count("bodies") != 0 {
		t.Errorf("%d are forgotten of 3: %v", k, err)
	}
}

func TestAbandonedBodiesAreRemovedAFewAtATime(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	for range 3 {
		if _, err := n.one.PutBody(t.Context(), make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	w, err := n.one.NewBody(t.Context())
	if err == nil {
		_, err = w.Write(make([]byte, 1000))
	}
	if err == nil {
		_, err = n.one.pool.Exec(t.Context(), n.one.sql(`UPDATE @bodies SET made = made - interval '2 hours'`))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.one.PutBody(t.Context(), []byte("recent")); err != nil {
		t.Fatal(err)
	}
	if k, err := n.two.forgetSomeBodies(t.Context(), 1001); k != 2 || err != nil {
		t.Errorf("%d are removed of 2: %v", k, err)
	}
	if err := n.two.forgetBodies(t.Context()); err != nil || n.count("bodies") != 1 || n.count("pieces") != 1 {
		t.Errorf("%d bodies and %d pieces are left: %v", n.count("bodies"), n.count("pieces"), err)
	}
}

// A body that came slowly is as young as one that came at once when its record is written.
func TestBodyThatTookLongIsNotAbandoned(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	commit := func() error {
		w, err := n.one.NewBody(t.Context())
		if err == nil {
			_, err = w.Write([]byte("slow"))
		}
		if err == nil {
			_, err = n.one.pool.Exec(t.Context(), n.one.sql(`UPDATE @bodies SET made = made - interval '2 hours'`))
		}
		if err == nil {
			_, err = w.Commit()
		}
		return err
	}
	// A node that was just opened may remove what is that old before it is committed.
	n.eventually("committing a body", func() bool { return commit() == nil })
	if err := n.two.forgetBodies(t.Context()); err != nil || n.count("bodies") != 1 {
		t.Errorf("%d bodies are left: %v", n.count("bodies"), err)
	}
}
