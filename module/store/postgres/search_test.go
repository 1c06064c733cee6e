package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// correlated creates a callback, "" for a correlation id of its own.
func correlated(t *testing.T, s *Store, id string, at callback.Time) *callback.Record {
	t.Helper()
	r := callback.New(s.Secret(), testPolicy(t), callback.Spec{CorrelationID: id, ExpiresIn: time.Hour}, at)
	if _, err := s.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// wantFound checks how many callbacks a search finds, from both ends.
func wantFound(t *testing.T, s *Store, q store.Query, n int) {
	t.Helper()
	for _, q.OldestFirst = range []bool{false, true} {
		for _, q.Limit = range []int{1, 100} {
			found, after := 0, q
			for range 100 {
				page, next, err := s.List(t.Context(), after)
				if err != nil {
					t.Fatal(err)
				}
				if found += len(page); next == (store.Cursor{}) {
					break
				}
				after.After = next
			}
			if found != n {
				t.Errorf("%+v finds %d callbacks, want %d", q, found, n)
			}
		}
	}
}

// asFirstVersion makes the tables those of the first version, with what is in them.
func asFirstVersion(t *testing.T, s *Store) {
	t.Helper()
	for _, statement := range []string{`ALTER TABLE @callbacks DROP COLUMN correlation, DROP COLUMN confirm`, `UPDATE @meta SET version = 1`} {
		if _, err := s.pool.Exec(t.Context(), s.sql(statement)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCallbacksOfAnEarlierReleaseAreFound(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	s := mustOpen(t, o)
	at := callback.At(s.Now())
	correlated(t, s, "order 17", at)
	own := correlated(t, s, "", at+1)
	random := correlated(t, s, callback.NewUUID().String(), at+2)
	asFirstVersion(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	defer s.Close()
	later := correlated(t, s, "order 17", at+3)
	// A node of the release before goes on writing, and knows no column that was added.
	const columns = `rev, created, due, forget, phase, dead, policy, name, owner, awaited`
	beside := callback.New(s.Secret(), testPolicy(t), callback.Spec{CorrelationID: "order 17", ExpiresIn: time.Hour}, at-1)
	encoded, err := s.encode(beside)
	if err == nil {
		_, err = s.pool.Exec(t.Context(), s.sql(`INSERT INTO @callbacks (id, state, ticket, record, `+columns+`)
			SELECT $1, $2, $3, $4, `+strings.Replace(columns, "created", "created - 4", 1)+` FROM @callbacks WHERE id = $5`),
			[16]byte(beside.ID), half(beside.State), half(beside.Ticket), encoded, [16]byte(later.ID))
	}
	if err != nil {
		t.Fatal(err)
	}
	check := func() {
		wantFound(t, s, store.Query{CorrelationID: "order 17"}, 3)
		wantFound(t, s, store.Query{CorrelationID: "order 17", Before: at + 3}, 2)
		wantFound(t, s, store.Query{CorrelationID: own.CorrelationID}, 1)
		wantFound(t, s, store.Query{CorrelationID: random.CorrelationID}, 1)
		wantFound(t, s, store.Query{CorrelationID: random.ID.String()}, 0)
		wantFound(t, s, store.Query{Confirm: true}, 0)
	}
	check()
	// What a node writes again is in the index.
	for _, r := range []*callback.Record{own, random, beside} {
		_, _, err := s.Update(t.Context(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
			next, _ := r.Close(testPolicy(t), "test", "", at+9)
			return store.Change{Next: next}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var unindexed int
	if err := s.pool.QueryRow(t.Context(), s.sql(`SELECT count(*) FROM @callbacks WHERE `+isUnindexed)).Scan(&unindexed); err != nil || unindexed != 1 {
		t.Errorf("%d callbacks are not indexed: %v", unindexed, err)
	}
	check()
}

func TestCallbacksAreFoundWithoutIndexes(t *testing.T) {
	t.Parallel()
	o := withoutIndexes(t)
	o.Migrate = false
	s := mustOpen(t, o)
	defer s.Close()
	at := callback.At(s.Now())
	correlated(t, s, "order 17", at)
	own := correlated(t, s, "", at+1)
	for i := range 5 {
		correlated(t, s, fmt.Sprint("order ", i), at+callback.Time(i))
	}
	r := callback.New(s.Secret(), testPolicy(t), callback.Spec{Confirm: true, ExpiresIn: time.Hour}, at)
	if _, err := s.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), s.sql(`UPDATE @callbacks SET correlation = NULL WHERE created >= $1`), int64(at+3)); err != nil {
		t.Fatal(err)
	}
	wantFound(t, s, store.Query{CorrelationID: "order 17"}, 1)
	wantFound(t, s, store.Query{CorrelationID: "order 4"}, 1)
	wantFound(t, s, store.Query{CorrelationID: own.CorrelationID}, 1)
	wantFound(t, s, store.Query{CorrelationID: "order 9"}, 0)
	wantFound(t, s, store.Query{Confirm: true}, 1)
}

// A search goes to what it is for among many callbacks, and does not go through all of them.
func TestSearchesReadTheIndexesThatAreForThem(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, testOptions(t))
	defer s.Close()
	correlated(t, s, "order 17", 1)
	const columns = `rev, due, forget, phase, dead, policy, name, owner, awaited, record, confirm`
	for _, statement := range []string{
		`INSERT INTO @callbacks (id, state, ticket, created, correlation, ` + columns + `)
			SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), n, CASE WHEN n % 2 = 0 THEN n ELSE 0 END, ` + columns + ` FROM @callbacks, generate_series(2, 20000) n`,
		`ANALYZE @callbacks`,
	} {
		if _, err := s.pool.Exec(t.Context(), s.sql(statement)); err != nil {
			t.Fatal(err)
		}
	}
	arguments := []any{int64(1 << 62), [16]byte{}, int64(0), int64(1 << 62), int64(maxScanned)}
	for _, x := range []struct {
		condition, index string
		more             []any
	}{
		{"true", "callbacks_created_id_idx", nil},
		{"confirm", "callbacks_confirm", nil},
		{isUnindexed, "callbacks_unindexed", nil},
		{"correlation = $6 AND " + isGiven, "callbacks_correlation", []any{int64(18)}},
	} {
		for _, statement := range []string{selectPlaces, selectOldest} {
			args := append(slices.Clone(arguments), x.more...)
			if statement == selectOldest {
				args[0] = int64(0)
			}
			rows, err := s.pool.Query(t.Context(), "EXPLAIN "+s.sql(strings.Replace(statement, "#", x.condition, 1)), append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if text := strings.Join(plan, "\n"); err != nil || !strings.Contains(text, "using "+x.index) || strings.Contains(text, "Sort") {
				t.Errorf("%s: %v\n%s", x.condition, err, text)
			}
		}
	}
}
