package integration

import (
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

func TestDatabaseMustShowTheRightCertificate(t *testing.T) {
	t.Parallel()
	right, other := postgrestest.NewAuthority(t), postgrestest.NewAuthority(t)
	db := postgrestest.NewTLSCluster(t, right, "localhost")
	s := newStage(t)
	roots := s.WriteFile(t, "roots.pem", right.PEM)
	with := func(roots string) harness.Config {
		return harness.Config{StoreLine: inPostgres(db.TLS("sslmode=verify-full&sslrootcert="+roots), "callback")}
	}
	refused := func(what string, cfg harness.Config, says string) {
		t.Helper()
		code, output := harness.New(t).StartFails(t, cfg)
		if code == 0 || !strings.Contains(output, says) {
			t.Errorf("%s: exit code %d, and the log does not say %q: %s", what, code, says, output)
		}
	}
	refused("another authority", with(s.WriteFile(t, "other.pem", other.PEM)), "certificate signed by unknown authority")
	s.Start(t, with(roots))
	s.get(t).stillWaits(t)

	db.Certify(t, right, "db.example.com")
	refused("another name", with(roots), "certificate is valid for db.example.com, not localhost")

	// Certificate and authority are replaced under a node that runs.
	db.Certify(t, other, "localhost")
	s.WriteFile(t, "roots.pem", other.PEM)
	x := s.get(t)
	if err := db.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'caddy-callback'"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the call is taken over connections with another certificate", func() bool {
		return x.call(t, "text/plain", "done").Status == 200
	})
	wantAnswer(t, x.Answer(t), 200, "done")
	s.neverLogged(t, "unknown authority")
}
