package integration

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// asRole returns the URL for another role.
func asRole(url, role string) string { return strings.Replace(url, "user=callback", "user="+role, 1) }

// A server that would lose what it is given, or that a node cannot use, is refused at the start,
// and each fault is named.
func TestNodeSaysWhatIsWrongWithItsDatabase(t *testing.T) {
	t.Parallel()
	db := postgrestest.NewCluster(t)
	good := start(t, harness.Config{StoreLine: inPostgres(db.URL(), "callback")})
	url := db.URL()
	const key = "encryption_key 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	for _, tc := range []struct {
		name       string
		statements []string
		store      string
		says       string
	}{
		{"no fsync", []string{"ALTER SYSTEM SET fsync = off"}, inPostgres(url, "callback"), "the server has fsync off"},
		{"no full pages", []string{"ALTER SYSTEM RESET fsync", "ALTER SYSTEM SET full_page_writes = off"}, inPostgres(url, "callback"), "the server has full_page_writes off"},
		{"commits that are not waited for", []string{"ALTER SYSTEM RESET full_page_writes", "CREATE ROLE hasty LOGIN", "ALTER ROLE hasty SET synchronous_commit = local"}, inPostgres(asRole(url, "hasty"), "callback"), "synchronous_commit is local"},
		{"a role that may only read", []string{"CREATE ROLE reader LOGIN", "ALTER ROLE reader SET default_transaction_read_only = on"}, inPostgres(asRole(url, "reader"), "callback"), "takes no writes"},
		{"a role without grants", []string{"CREATE ROLE poor LOGIN", "GRANT USAGE ON SCHEMA callback TO poor", "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA callback TO poor"}, inPostgres(asRole(url, "poor"), "callback"), "the role lacks grants in the schema callback: DELETE on"},
		{"a role that may not make tables", nil, inPostgres(asRole(url, "poor"), "other"), "the schema other cannot be made"},
		{"no tables", nil, inPostgres(url, "other", "migrate off"), "let migrate be on once"},
		{"another secret", nil, strings.Replace(inPostgres(url, "callback"), "correct-horse", "another-horse", 1), "the secret is another one than that of the other nodes"},
		{"a key for a store without", nil, inPostgres(url, "callback", key), "cannot be encrypted later"},
		{"no such database", nil, inPostgres(strings.Replace(url, "/postgres?", "/nowhere?", 1), "callback"), "SQLSTATE 3D000"},
		{"tables of a later release", []string{"UPDATE callback.meta SET version = 9, least = 9"}, inPostgres(url, "callback"), "were made by a later release"},
		{"no server", nil, inPostgres("postgres://callback@127.0.0.1:1/postgres", "callback"), "failed to connect"},
	} {
		if err := db.Exec(append(tc.statements, "SELECT pg_reload_conf()")...); err != nil {
			t.Fatal(err)
		}
		c := harness.New(t)
		c.NeverLog("horse-battery-staple")
		var code int
		var output string
		// The server takes up settings a moment after it was told to.
		harness.Within(t, 15*time.Second*harness.TimeFactor, tc.name+": the server is refused, for "+tc.says, func() bool {
			code, output = c.StartFails(t, harness.Config{StoreLine: tc.store})
			return code != 0 && strings.Contains(output, tc.says)
		})
	}
	if err := db.Exec("UPDATE callback.meta SET version = 1, least = 1"); err != nil {
		t.Fatal(err)
	}
	good.get(t).stillWaits(t)
}

// A configuration whose database is no good is refused, and the one that runs goes on.
func TestReloadToABadDatabaseChangesNothing(t *testing.T) {
	t.Parallel()
	dbURL, schema := postgrestest.New(t)
	hasty := dbURL + "&options=" + strings.ReplaceAll(url.QueryEscape("-c synchronous_commit=off"), "+", "%20")
	for name, tc := range map[string]struct{ store, says string }{
		"another secret":                  {strings.Replace(inPostgres(dbURL, schema), "correct-horse", "another-horse", 1), "the secret is another one"},
		"an encryption key":               {inPostgres(dbURL, schema, "encryption_key 000102030405060708090a0b0c0d0e0f"), "encryption_key has changed"},
		"no tables in another schema":     {inPostgres(dbURL, schema+"other", "migrate off"), "let migrate be on once"},
		"a server that does not exist":    {inPostgres("postgres://callback@127.0.0.1:1/postgres", schema), "failed to connect"},
		"commits that are not waited for": {inPostgres(hasty, schema+"more"), "synchronous_commit is off"},
	} {
		s := start(t, harness.Config{StoreLine: inPostgres(dbURL, schema)})
		x := s.get(t)
		loaded := s.Loaded(t)
		if err := s.Reload(t, harness.Config{StoreLine: tc.store}); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
		if s.Loaded(t) != loaded {
			t.Errorf("%s: the configuration has changed", name)
		}
		x.stillWaits(t)
		s.get(t).stillWaits(t)
	}
}
