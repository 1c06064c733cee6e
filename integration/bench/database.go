package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/postgres"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// writers is how many write at the same time in "bench database".
const writers = 64

// load measures what callbacks cost a database.
type load struct {
	store    *postgres.Store
	database *pgx.Conn
	// data is the directory of the server.
	data string
	all  []*callback.Record
}

// measureDatabase prints what one callback costs a database: processor time, log and space.
func measureDatabase(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("database", flag.ContinueOnError)
	n := flags.Int("n", 50_000, "callbacks")
	if err := flags.Parse(args); err != nil {
		return err
	}
	server, err := postgrestest.Start()
	if err != nil {
		return err
	}
	defer server.Stop()
	l := &load{}
	_, dir, _ := strings.Cut(server.URL(), "host=")
	l.data = filepath.Join(dir, "data")
	if l.store, err = postgres.Open(postgres.Options{
		URL: server.URL(), Schema: postgres.DefaultSchema, Migrate: true, Secrets: callback.NewSecrets(callback.NewSecret()), Log: zap.NewNop(),
	}); err != nil {
		return err
	}
	defer l.store.Close()
	if l.database, err = pgx.Connect(ctx, server.URL()); err != nil {
		return err
	}
	defer l.database.Close(context.Background())
	return l.run(ctx, *n)
}

// run takes callbacks through their life.
func (l *load) run(ctx context.Context, n int) error {
	p := &callback.Policy{BaseURL: "http://127.0.0.1"}
	if err := p.Compile(); err != nil {
		return err
	}
	for range n {
		l.all = append(l.all, callback.New(l.store.Secret(), p, callback.Spec{ExpiresIn: time.Minute}, 1))
	}
	fmt.Println("| what | per s | processor time of the database | log (WAL) |\n|---|---|---|---|")
	body := callback.Body{Data: bytes.Repeat([]byte("x"), 1<<10), Size: 1 << 10}
	resolve := func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Phase, next.KeepUntil, next.Call = callback.Resolved, 2, &callback.Call{Body: body}
		return store.Change{Next: &next}, nil
	}
	if err := l.measure(ctx, "creation", func(r *callback.Record) error {
		_, err := l.store.Create(ctx, r)
		return err
	}); err != nil {
		return err
	}
	size, err := l.size(ctx)
	if err != nil {
		return err
	}
	if err := l.measure(ctx, "look-up by a state", func(r *callback.Record) error {
		_, _, err := l.store.Find(ctx, store.Key{Kind: store.KeyState, Digest: r.State})
		return err
	}); err != nil {
		return err
	}
	if err := l.measure(ctx, "resolution, with 1 KiB", func(r *callback.Record) error {
		_, _, err := l.store.Update(ctx, store.Key{Kind: store.KeyState, Digest: r.State}, resolve)
		return err
	}); err != nil {
		return err
	}
	began := time.Now()
	for {
		forgotten, err := l.store.Forget(ctx, 1e6, 1000)
		if err != nil {
			return err
		}
		if forgotten == 0 {
			break
		}
	}
	fmt.Printf("| forgetting, 1,000 at a time | %.0f | | |\n\nA callback that waits takes %d bytes, of which %d are indexes.\n", float64(n)/time.Since(began).Seconds(), size[0], size[1])
	return nil
}

// measure does something with each callback, and prints the row of it.
func (l *load) measure(ctx context.Context, what string, do func(*callback.Record) error) error {
	before, err := l.position(ctx)
	if err != nil {
		return err
	}
	cpu, began := l.cpu(), time.Now()
	failed := make(chan error, writers)
	var done sync.WaitGroup
	for w := range writers {
		done.Go(func() {
			for i := w; i < len(l.all); i += writers {
				if err := do(l.all[i]); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	done.Wait()
	took, spent := time.Since(began), l.cpu()-cpu
	select {
	case err := <-failed:
		return fmt.Errorf("%s: %w", what, err)
	default:
	}
	after, err := l.position(ctx)
	n := len(l.all)
	fmt.Printf("| %s | %.0f | %d µs | %d bytes |\n", what, float64(n)/took.Seconds(), (spent / time.Duration(n)).Microseconds(), (after-before)/int64(n))
	return err
}

// position returns how far the log has come.
func (l *load) position(ctx context.Context) (bytes int64, err error) {
	err = l.database.QueryRow(ctx, `SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint`).Scan(&bytes)
	return bytes, err
}

// size returns how much space a callback takes, and how much of it is indexes.
func (l *load) size(ctx context.Context) (size [2]int64, err error) {
	err = l.database.QueryRow(ctx, `SELECT pg_total_relation_size('callback.callbacks'), pg_indexes_size('callback.callbacks')`).Scan(&size[0], &size[1])
	for i := range size {
		size[i] /= int64(len(l.all))
	}
	return size, err
}

// cpu returns the processor time of the server's processes.
func (l *load) cpu() (sum time.Duration) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range all {
		if at, err := os.Readlink(filepath.Join(process, "cwd")); err == nil && at == l.data {
			pid, _ := strconv.Atoi(filepath.Base(process))
			sum += processorTime(pid)
		}
	}
	return sum
}
