package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// bench is two Caddys and everybody that they talk to.
type bench struct {
	dir     string
	body    []byte
	floor   *server
	product *server
	peer    *http.Server
	client  *http.Client
	// callClient is the partner's, with connections of its own.
	callClient *http.Client
	failures   atomic.Int64
	ports      ports
}

// ports are where the parties listen.
type ports struct {
	peer, floor, hold, calls, admin string
}

func newBench(body int) (*bench, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, body: bytes.Repeat([]byte("x"), body), client: newClient(), callClient: newClient()}
	if err := b.start(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4096, MaxIdleConns: 0, DisableCompression: true}}
}

func (b *bench) start() error {
	var err error
	for _, p := range []*string{&b.ports.peer, &b.ports.floor, &b.ports.hold, &b.ports.calls, &b.ports.admin} {
		if *p, err = freePort(); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+b.ports.peer)
	if err != nil {
		return err
	}
	b.peer = &http.Server{Handler: http.HandlerFunc(b.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = b.peer.Serve(listener) }()
	binary := filepath.Join(b.dir, "caddy")
	if err := build(binary); err != nil {
		return err
	}
	if b.floor, err = startServer(b.dir, binary, "floor", b.ports.floor, floorConfig(b.ports)); err != nil {
		return err
	}
	b.product, err = startServer(b.dir, binary, "product", b.ports.calls, productConfig(b.ports, filepath.Join(b.dir, "store")))
	return err
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func (b *bench) close() {
	b.floor.stop()
	b.product.stop()
	if b.peer != nil {
		_ = b.peer.Close()
	}
	_ = os.RemoveAll(b.dir)
}

// serve plays the upstream, which acks and then calls back, and the app that the
// floor's second exchange goes to.
func (b *bench) serve(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if url := r.Header.Get("X-Link-Callback-Url"); url != "" {
		go b.call(url)
	}
	if r.URL.Path == "/app" {
		w.WriteHeader(http.StatusOK)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (b *bench) call(url string) {
	if err := b.post(b.callClient, url, http.StatusOK); err != nil {
		b.failures.Add(1)
	}
}

func (b *bench) post(c *http.Client, url string, want int) error {
	resp, err := c.Post(url, "application/octet-stream", bytes.NewReader(b.body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s answered %d", url, resp.StatusCode)
	}
	return nil
}

// hold is one held request.
func (b *bench) hold() error {
	return b.post(b.client, "http://127.0.0.1:"+b.ports.hold+"/work", http.StatusOK)
}

// two is the same two exchanges, one after the other, through reverse_proxy.
func (b *bench) two() error {
	if err := b.post(b.client, "http://127.0.0.1:"+b.ports.floor+"/work", http.StatusAccepted); err != nil {
		return err
	}
	return b.post(b.callClient, "http://127.0.0.1:"+b.ports.floor+"/app", http.StatusOK)
}

// sample is what one run of an arm gave.
type sample struct {
	perSecond float64
	p50, p99  time.Duration
	// cpu is the server's processor time per round trip.
	cpu time.Duration
}

// measure lets clients do one thing over and over.
func (b *bench) measure(ctx context.Context, s *server, clients int, length time.Duration, do func() error) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	latencies := make([][]time.Duration, clients)
	errs := make([]error, clients)
	cpu, start := s.cpu(), time.Now()
	var done sync.WaitGroup
	for i := range clients {
		done.Go(func() {
			for ctx.Err() == nil && errs[i] == nil {
				begin := time.Now()
				errs[i] = do()
				latencies[i] = append(latencies[i], time.Since(begin))
			}
		})
	}
	done.Wait()
	elapsed, spent := time.Since(start), s.cpu()-cpu
	if err := errors.Join(errs...); err != nil {
		return sample{}, err
	}
	if n := b.failures.Load(); n > 0 {
		return sample{}, fmt.Errorf("%d calls failed", n)
	}
	all := slices.Concat(latencies...)
	slices.Sort(all)
	return sample{
		perSecond: float64(len(all)) / elapsed.Seconds(),
		p50:       all[len(all)/2],
		p99:       all[len(all)*99/100],
		cpu:       spent / time.Duration(len(all)),
	}, nil
}

// compare lets floor and product take turns and returns a row of the table.
func (b *bench) compare(ctx context.Context, clients, rounds int, length time.Duration) (string, error) {
	var holds, twos []sample
	var ratios, noise, cpus []float64
	for round := range rounds + 1 {
		var turn [3]sample
		for i, arm := range []struct {
			s  *server
			do func() error
		}{{b.floor, b.two}, {b.product, b.hold}, {b.floor, b.two}} {
			var err error
			if turn[i], err = b.measure(ctx, arm.s, clients, length, arm.do); err != nil {
				return "", err
			}
		}
		if round == 0 {
			continue // the first round warms up
		}
		floor := (turn[0].perSecond + turn[2].perSecond) / 2
		ratios = append(ratios, turn[1].perSecond/floor)
		noise = append(noise, turn[2].perSecond/turn[0].perSecond)
		cpus = append(cpus, float64(turn[1].cpu)/float64((turn[0].cpu+turn[2].cpu)/2))
		holds, twos = append(holds, turn[1]), append(twos, turn[0])
	}
	verdict := ""
	if n := median(noise); n < 0.85 || n > 1.15 {
		verdict = " too noisy"
	}
	return fmt.Sprintf("| %d | %.2f (%.2f..%.2f)%s | %.2f | %.0f | %.0f | %s | %s | %s | %s | %.2f |",
		clients, median(ratios), slices.Min(ratios), slices.Max(ratios), verdict, median(noise),
		of(holds, rate), of(twos, rate), ms(holds, p50), ms(holds, p99), ms(twos, p50), ms(twos, p99), median(cpus)), nil
}

func rate(s sample) float64 { return s.perSecond }
func p50(s sample) float64  { return float64(s.p50) }
func p99(s sample) float64  { return float64(s.p99) }

func of(samples []sample, value func(sample) float64) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, value(s))
	}
	return median(values)
}

func ms(samples []sample, value func(sample) float64) string {
	return fmt.Sprintf("%.2f ms", of(samples, value)/float64(time.Millisecond))
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// fsync returns the median time that an fsync takes where the store is.
func (b *bench) fsync() time.Duration {
	f, err := os.CreateTemp(b.dir, "fsync")
	if err != nil {
		return 0
	}
	defer f.Close()
	var times []time.Duration
	for range 100 {
		begin := time.Now()
		_, _ = f.Write(b.body)
		_ = f.Sync()
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	return times[len(times)/2]
}
