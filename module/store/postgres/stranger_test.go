package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// inDatabase returns options for a store in a database of its own, and lets statements be executed
// in it.
func inDatabase(t *testing.T) (o Options, exec func(statement string)) {
	t.Helper()
	o = testOptions(t)
	admin := mustOpen(t, o)
	name := o.Schema + "database"
	if _, err := admin.pool.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	_ = admin.Close()
	o.URL = strings.Replace(o.URL, ":///postgres", ":///"+name, 1)
	o.heartbeat = 100 * time.Millisecond
	other := mustOpen(t, o)
	t.Cleanup(func() { _ = other.Close() })
	return o, func(statement string) {
		t.Helper()
		if _, err := other.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever may make functions in the schema public of the same database, which in old versions is
// everybody, must not have them executed by a node: a better match is taken for the database's own.
func TestStoreUsesNothingThatAStrangerHasMade(t *testing.T) {
	t.Parallel()
	o, exec := inDatabase(t)
	s := mustOpen(t, o)
	defer s.Close()
	const evil = ` LANGUAGE plpgsql AS $$ BEGIN RAISE 'a stranger is here'; END $$`
	exec(`CREATE FUNCTION public.unnest(uuid[]) RETURNS SETOF uuid` + evil)
	exec(`CREATE FUNCTION public.unnest(bytea[]) RETURNS SETOF bytea` + evil)
	exec(`CREATE FUNCTION public.both(integer[], integer[]) RETURNS integer[]` + evil)
	exec(`CREATE OPERATOR public.|| (LEFTARG = integer[], RIGHTARG = integer[], FUNCTION = public.both)`)
	r := callback.New(s.Secret(), &callback.Policy{}, callback.Spec{ExpiresIn: time.Minute}, 1)
	if _, err := s.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Update(t.Context(), store.ByID(r.ID), add("a")); err != nil {
		t.Errorf("deciding: %v", err)
	}
	if _, err := s.Ended(t.Context(), []callback.UUID{r.ID}); err != nil {
		t.Errorf("asking what has ended: %v", err)
	}
	if _, err := s.AwaitsAck(t.Context(), []callback.Digest{{1}}, 1); err != nil {
		t.Errorf("asking whether an ack is awaited: %v", err)
	}
}

// Notices can be refused, for their queue can be full: whoever may connect can fill it.
func TestNodeWhoseNoticesAreRefusedIsReady(t *testing.T) {
	t.Parallel()
	o, exec := inDatabase(t)
	role := o.Schema + "role"
	exec(`CREATE ROLE ` + role + ` LOGIN`)
	exec(`GRANT USAGE ON SCHEMA ` + o.Schema + ` TO ` + role)
	exec(`GRANT ALL ON ALL TABLES IN SCHEMA ` + o.Schema + ` TO ` + role)
	exec(`REVOKE EXECUTE ON FUNCTION pg_catalog.pg_notify(text, text) FROM PUBLIC`)
	o.URL = strings.Replace(o.URL, "user=callback", "user="+role, 1)
	s := mustOpen(t, o)
	defer s.Close()
	if err := s.heartbeat(t.Context()); err != nil {
		t.Error(err)
	}
}

// Whoever may connect to the database can send notices, as many as they like.
func TestNoticesOfStrangersLetLittleBeLookedAt(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	<-n.two.Changes()
	if _, err := n.one.pool.Exec(t.Context(), `SELECT pg_notify($1, 'garbage ' || i) FROM generate_series(1, 2000) i`, n.one.channel()); err != nil {
		t.Fatal(err)
	}
	r := n.create(n.one, nil)
	if _, _, err := n.one.Update(t.Context(), store.ByID(r.ID), countOne); err != nil {
		t.Fatal(err)
	}
	looks := 0
	for h := range n.two.Changes() {
		if h.ID == r.ID {
			break
		}
		looks++
	}
	if looks > 20 {
		t.Errorf("everything is looked at %d times", looks)
	}
	if looks > 0 {
		return
	}
	select {
	case h := <-n.two.Changes():
		if !h.IsZero() {
			t.Errorf("hint %+v", h)
		}
	case <-time.After(10 * time.Second):
		t.Error("it is not said that hints may have been lost")
	}
}
