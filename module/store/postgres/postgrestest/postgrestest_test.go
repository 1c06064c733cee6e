package postgrestest_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m.Run)) }

// ask asks a server for a number.
func ask(t *testing.T, url string, within time.Duration) (one int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close(ctx) }()
	return one, c.QueryRow(ctx, "SELECT max(n) FROM told").Scan(&one)
}

func want(t *testing.T, url string, n int) {
	t.Helper()
	if got, err := ask(t, url, 10*time.Second); err != nil || got != n {
		t.Errorf("the server says %d, want %d: %v", got, n, err)
	}
}

func TestServerTakesConnections(t *testing.T) {
	url, schema := postgrestest.New(t)
	if _, other := postgrestest.New(t); other == schema {
		t.Error("two tests have the same schema")
	}
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	var one int
	if err := c.QueryRow(t.Context(), "SELECT 1").Scan(&one); err != nil || one != 1 {
		t.Errorf("%d, %v", one, err)
	}
	_ = c.Close(context.Background())
}

func TestServerComesBackWithItsData(t *testing.T) {
	t.Parallel()
	c := postgrestest.NewCluster(t)
	if err := c.Exec("CREATE TABLE told AS SELECT 1 AS n"); err != nil {
		t.Fatal(err)
	}
	for _, end := range []func(){c.Crash, c.Immediate, c.Fast} {
		end()
		if _, err := ask(t, c.URL(), time.Second); err == nil {
			t.Error("a server that has ended takes connections")
		}
		if err := c.Again(); err != nil {
			t.Fatal(err)
		}
		want(t, c.URL(), 1)
	}
	c.Pause()
	if _, err := ask(t, c.URL(), 200*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that is paused: %v", err)
	}
	c.Resume()
	want(t, c.URL(), 1)
}

func TestNothingIsLeftOfACluster(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*postgrestest.Cluster){
		"running": func(*postgrestest.Cluster) {}, "paused": (*postgrestest.Cluster).Pause, "crashed": (*postgrestest.Cluster).Crash,
	} {
		c, err := postgrestest.Start()
		if err != nil {
			t.Skip(err)
		}
		end(c)
		c.Stop()
		if _, err := os.Stat(c.Dir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the directory is left: %v", name, err)
		}
	}
}

func TestStandbyTakesOver(t *testing.T) {
	t.Parallel()
	c := postgrestest.NewCluster(t)
	standby := c.NewStandby(t)
	if err := c.Exec("ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()", "CREATE TABLE told AS SELECT 2 AS n"); err != nil {
		t.Fatal(err)
	}
	c.Crash()
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Exec("INSERT INTO told VALUES (3)"); err != nil {
		t.Error(err)
	}
	want(t, standby.URL(), 3)
}

func TestProxyDoesWhatNetworksDo(t *testing.T) {
	t.Parallel()
	c := postgrestest.NewCluster(t)
	p := c.NewProxy(t)
	if err := c.Exec("CREATE TABLE told AS SELECT 4 AS n"); err != nil {
		t.Fatal(err)
	}
	want(t, p.URL(), 4)
	p.Cut()
	if _, err := ask(t, p.URL(), 5*time.Second); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("through a proxy that breaks connections: %v", err)
	}
	p.Mend()
	p.Swallow()
	if _, err := ask(t, p.URL(), 200*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("through a proxy that swallows: %v", err)
	}
	p.Mend()
	p.Delay(100 * time.Millisecond)
	began := time.Now()
	want(t, p.URL(), 4)
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("with 100 ms each way it took %s", took)
	}
	p.Mend()
	p.Throttle(1024)
	began = time.Now()
	want(t, p.URL(), 4)
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("with 1 KiB a second it took %s", took)
	}
}
