package postgres

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

func TestMain(m *testing.M) {
	code := postgrestest.Main(m.Run)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// testOptions returns the options of a store in a schema that no other test has.
func testOptions(t testing.TB) Options {
	url, schema := postgrestest.New(t)
	return Options{
		URL: url, Schema: schema, Migrate: true, Secrets: callback.NewSecrets(callback.NewSecret()),
		Log: zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)), tallyEvery: time.Millisecond, tallyShare: 1,
	}
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) { testConformance(t, func(*Options) {}) }

// testConformance runs the suite that every store passes, on stores with changed options.
func testConformance(t *testing.T, change func(*Options)) {
	var schemas sync.Map
	storetest.Run(t, func(t *testing.T, dir string) store.Store {
		o := testOptions(t)
		change(&o)
		first, _ := schemas.LoadOrStore(dir, o)
		o.Schema, o.Secrets = first.(Options).Schema, first.(Options).Secrets
		return mustOpen(t, o)
	})
}

func TestConformanceShared(t *testing.T) {
	var schemas sync.Map
	storetest.RunShared(t, func(t *testing.T, dir string) store.Shared {
		o := testOptions(t)
		first, _ := schemas.LoadOrStore(dir, o)
		o.Schema, o.Secrets = first.(Options).Schema, first.(Options).Secrets
		return mustOpen(t, o)
	})
}
