package postgrestest_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m.Run)) }

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
