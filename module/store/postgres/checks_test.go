package postgres

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func TestServerThatLosesDataIsRefused(t *testing.T) {
	t.Parallel()
	for setting, says := range map[string]string{
		"synchronous_commit=off":           "synchronous_commit is off",
		"synchronous_commit=local":         "synchronous_commit is local",
		"default_transaction_read_only=on": "replica",
	} {
		o := testOptions(t)
		o.URL += "&options=" + strings.ReplaceAll(url.QueryEscape("-c "+setting), "+", "%20")
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

func TestRoleWithoutGrantsIsRefused(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	s := mustOpen(t, o)
	defer s.Close()
	role := o.Schema + "role"
	asRole := o
	asRole.URL, asRole.Migrate = strings.Replace(o.URL, "user=callback", "user="+role, 1), false
	if _, err := s.pool.Exec(t.Context(), "CREATE ROLE "+role+" LOGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(asRole); err == nil || !strings.Contains(err.Error(), "GRANT USAGE ON SCHEMA "+o.Schema) {
		t.Errorf("without any grant: %v", err)
	}
	for _, statement := range []string{"GRANT USAGE ON SCHEMA " + o.Schema + " TO " + role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + o.Schema + " TO " + role,
		"REVOKE DELETE ON " + o.Schema + ".aliases FROM " + role} {
		if _, err := s.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	o = asRole
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "DELETE on aliases") || strings.Contains(err.Error(), "SELECT") {
		t.Errorf("without a grant: %v", err)
	}
	if _, err := s.pool.Exec(t.Context(), "GRANT DELETE ON "+o.Schema+".aliases TO "+role); err != nil {
		t.Fatal(err)
	}
	mine := mustOpen(t, o)
	defer mine.Close()
	r := callback.New(mine.Secret(), &callback.Policy{}, callback.Spec{ExpiresIn: time.Minute}, 1)
	r.Aliases = []callback.Digest{{1}}
	if _, err := mine.Create(t.Context(), r); err != nil {
		t.Errorf("with all grants: %v", err)
	}
	if _, err := mine.Forget(t.Context(), 1, 1); err != nil {
		t.Errorf("with all grants: %v", err)
	}
}

// The schema can be made by somebody else, for a role that may make none.
func TestRoleMakesItsTablesInASchemaThatIsGivenToIt(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	admin := mustOpen(t, testOptions(t))
	defer admin.Close()
	role := o.Schema + "owner"
	for _, statement := range []string{"CREATE ROLE " + role + " LOGIN", "CREATE SCHEMA " + o.Schema + " AUTHORIZATION " + role} {
		if _, err := admin.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	o.URL = strings.Replace(o.URL, "user=callback", "user="+role, 1)
	mustOpen(t, o).Close()
	o.Schema += "other"
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "CREATE SCHEMA "+o.Schema+" AUTHORIZATION") {
		t.Errorf("a schema that the role may not make: %v", err)
	}
}

func TestKeysAreThoseOfTheStore(t *testing.T) {
	t.Parallel()
	one, two := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	plain := newNodes(t).options
	plain.Keys = [][]byte{one}
	if _, err := Open(plain); !errors.Is(err, errNotEncrypted) {
		t.Errorf("a key for a store without: %v", err)
	}
	o := testOptions(t)
	o.Keys = [][]byte{one}
	s := mustOpen(t, o)
	r := callback.New(s.Secret(), &callback.Policy{}, callback.Spec{ExpiresIn: time.Minute, CorrelationID: "in the clear"}, 1)
	if _, err := s.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var b []byte
	if err := s.pool.QueryRow(t.Context(), s.sql(`SELECT record FROM @callbacks`)).Scan(&b); err != nil || bytes.Contains(b, []byte("in the clear")) {
		t.Errorf("the record is stored as %q, %v", b, err)
	}
	_ = s.Close()
	for name, tc := range map[string]struct {
		keys [][]byte
		want error
	}{"none": {nil, errNoKey}, "another": {[][]byte{two}, errOtherKey}} {
		o.Keys = tc.keys
		if _, err := Open(o); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.Keys = [][]byte{two, one}
	s = mustOpen(t, o)
	defer s.Close()
	if got, _, err := s.Find(t.Context(), store.ByID(r.ID)); err != nil || got.CorrelationID != "in the clear" {
		t.Errorf("with the old key behind another: %v", err)
	}
	// A record that was put in the place of another is not taken for that.
	other := callback.New(s.Secret(), &callback.Policy{}, callback.Spec{ExpiresIn: time.Minute}, 1)
	if _, err := s.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), s.sql(`UPDATE @callbacks SET record = $1`), b); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Find(t.Context(), store.ByID(other.ID)); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a record of another callback: %v", err)
	}
}
