package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// withoutIndexes returns the options of a store as an earlier release has made it, with a
// callback that waits.
func withoutIndexes(t *testing.T) Options {
	t.Helper()
	o := testOptions(t)
	s := mustOpen(t, o)
	r := callback.New(s.Secret(), testPolicy(t), callback.Spec{Name: "orders", ExpiresIn: time.Hour}, callback.At(s.Now()))
	if _, err := s.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for _, x := range indexes {
		if _, err := s.pool.Exec(t.Context(), s.sql("DROP INDEX @"+x.name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

func testPolicy(t *testing.T) *callback.Policy {
	t.Helper()
	p := &callback.Policy{BaseURL: "https://app.example.com"}
	if err := p.Compile(); err != nil {
		t.Fatal(err)
	}
	return p
}

// wantNamed waits until the store counts the callback of withoutIndexes under its name.
func wantNamed(t *testing.T, s *Store) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		all := s.Tally()
		if len(all) == 1 && all[0].Name == "orders" && all[0].Waiting == 1 && all[0].Oldest != 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it counts %+v", all)
		}
	}
}

func TestIndexesOfAnEarlierReleaseAreMadeAtOnceWhereThereIsLittle(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, withoutIndexes(t))
	defer s.Close()
	if missing, err := s.missingIndexes(t.Context(), s.pool); err != nil || len(missing) > 0 {
		t.Errorf("missing: %v, %v", missing, err)
	}
	wantNamed(t, s)
}

func TestIndexesOfALargeStoreAreMadeBesideTheWork(t *testing.T) {
	t.Parallel()
	o := withoutIndexes(t)
	o.smallTable = -1
	// One is there, and cannot be used: a node has died over it.
	s := mustOpen(t, o)
	wantNamed(t, s)
	if _, err := s.pool.Exec(t.Context(), `UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = $1::regclass`, s.sql("@callbacks_waiting")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	defer s.Close()
	wantNamed(t, s)
}

func TestWhatWaitsIsCountedWithoutIndexesButNotByName(t *testing.T) {
	t.Parallel()
	o := withoutIndexes(t)
	o.Migrate = false
	core, logs := observer.New(zap.WarnLevel)
	o.Log = zap.New(core)
	s := mustOpen(t, o)
	defer s.Close()
	if all := s.Tally(); len(all) != 1 || all[0] != (store.Tally{Name: store.OtherNames, Waiting: 1}) {
		t.Errorf("it counts %+v", all)
	}
	for deadline := time.Now().Add(30 * time.Second); logs.FilterMessageSnippet("an index is missing; let migrate be on once").Len() == 0; {
		if time.Now().After(deadline) {
			t.Fatalf("the log has %v", logs.All())
		}
	}
}

func TestCountingReadsIndexesOnly(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, testOptions(t))
	defer s.Close()
	var plan []string
	err := pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), prepareTally, "1000"); err != nil {
			return err
		}
		rows, err := tx.Query(t.Context(), "EXPLAIN "+s.sql(selectTally))
		if err != nil {
			return err
		}
		plan, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(plan, "\n"); strings.Count(text, "Index Only Scan using callbacks_") != 2 {
		t.Error(text)
	}
}
