package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/badger"
)

// keepFor is how long ended callbacks are kept in "bench store".
const keepFor = time.Second

// fill puts n waiting callbacks into a store, and waits until each is on the disk.
func fill(ctx context.Context, dir string, n int, expiresIn time.Duration) error {
	if n == 0 {
		return nil
	}
	s, err := badger.Open(badger.Options{Dir: dir, Log: zap.NewNop()})
	if err != nil {
		return err
	}
	defer s.Close()
	p := &callback.Policy{BaseURL: "http://127.0.0.1", Retain: keepFor}
	if err := p.Compile(); err != nil {
		return err
	}
	if err := s.PutPolicy(ctx, p); err != nil {
		return err
	}
	var left atomic.Int64
	left.Store(int64(n))
	failed := make(chan error, 512)
	var done sync.WaitGroup
	for range cap(failed) {
		done.Go(func() {
			for left.Add(-1) >= 0 {
				r := callback.New(s.Secret(), p, callback.Spec{Name: "orders", ExpiresIn: expiresIn}, callback.At(time.Now()))
				commit, err := s.Create(ctx, r)
				if err == nil {
					err = store.Wait(ctx, commit)
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	done.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// fullStore fills a store, and prints how the server performs with it.
func fullStore(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("store", flag.ContinueOnError)
	n := flags.Int("n", 1_000_000, "callbacks that wait")
	expires := flags.Duration("expires", 4*time.Minute, "when they expire")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, binary, err := workshop(productPackage)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "store")
	began := time.Now()
	if err := fill(ctx, path, *n, *expires); err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("| what | figure |\n|---|---|\n| %d callbacks put in | %.0f per s |\n| disk | %d MiB |\n", *n, float64(*n)/took.Seconds(), onDisk(path)>>20)
	for _, what := range []string{"first start", "start after kill -9"} {
		s, err := startFull(dir, binary, path)
		if err != nil {
			return err
		}
		defer s.stop()
		if err := s.report(ctx, what, *n); err != nil {
			return err
		}
		if what != "first start" {
			return s.reportEnd(ctx, began, *expires, *n, path)
		}
		s.stop()
	}
	return nil
}

func startFull(dir, binary, store string) (*server, error) {
	var p ports
	var err error
	for _, port := range []*string{&p.peer, &p.product, &p.calls, &p.admin} {
		if *port, err = freePort(); err != nil {
			return nil, err
		}
	}
	s, err := startServer(dir, binary, "full", p.calls, productConfig(p, store))
	if err != nil {
		return nil, err
	}
	s.admin = p.admin
	return s, nil
}

// report prints how the server starts.
func (s *server) report(ctx context.Context, what string, n int) error {
	fmt.Printf("| %s: it serves | after %v |\n", what, time.Since(s.began).Round(time.Millisecond))
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := s.await(ctx, "caddy_callback_waiting", func(v float64) bool { return v >= float64(n) }); err != nil {
		return fmt.Errorf("not all are there after a minute; if they have expired by now, give -expires more time: %w", err)
	}
	fmt.Printf("| %s: all that wait are counted | after %v |\n", what, time.Since(s.began).Round(time.Millisecond))
	v, err := s.vitals()
	fmt.Printf("| %s: memory | %.0f MiB resident, %.0f MiB of heap |\n", what, v.resident/(1<<20), v.heap/(1<<20))
	return err
}

// reportEnd waits until all have expired and are forgotten.
func (s *server) reportEnd(ctx context.Context, began time.Time, expires time.Duration, n int, path string) error {
	due := began.Add(expires)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(due)):
	}
	cpu, most := s.cpu(), onDisk(path)
	if err := s.await(ctx, "caddy_callback_waiting", func(v float64) bool {
		most = max(most, onDisk(path))
		return v == 0
	}); err != nil {
		return err
	}
	took := time.Since(due)
	fmt.Printf("| all %d have expired | %v after the first was due; %v of processor time |\n", n, took.Round(time.Millisecond), (s.cpu() - cpu).Round(time.Millisecond))
	// Deleted callbacks leave the disk with the next rounds of compaction.
	last := int64(0)
	for range 20 {
		now := onDisk(path)
		if now == last {
			break
		}
		last, most = now, max(most, now)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(15 * time.Second):
		}
	}
	v, err := s.vitals()
	fmt.Printf("| when they are forgotten | %d MiB of disk, after %d MiB at most; %.0f MiB resident |\n", last>>20, most>>20, v.resident/(1<<20))
	return err
}

// await reads a metric until it is as wanted.
func (s *server) await(ctx context.Context, name string, is func(float64) bool) error {
	for {
		v, err := s.metric(name)
		if err != nil {
			return err
		}
		if is(v) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *server) metric(name string) (float64, error) {
	all, err := s.metrics()
	value, ok := all[name]
	if err == nil && !ok {
		err = fmt.Errorf("there is no metric %s", name)
	}
	return value, err
}

// metrics returns the metrics by name, each the sum over its labels.
func (s *server) metrics() (map[string]float64, error) {
	resp, err := http.Get("http://127.0.0.1:" + s.admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	all := make(map[string]float64)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			name, _, _ = strings.Cut(name, "{")
			all[name] += value
		}
	}
	return all, lines.Err()
}

// onDisk returns how many bytes of disk a directory takes.
func onDisk(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			n += allocated(info)
		}
		return nil
	})
	return n
}
