package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// pairLimits are the settings of Go's memory for both servers: the store's tables would
// otherwise favor the product.
var pairLimits = []string{"GOGC=off", "GOMEMLIMIT=400MiB"}

// pair is the measure in which clients and partners each wait for their answer before they go
// on. The floor makes two exchanges: the client's, and one on a connection of its own by a
// worker, as a partner's call is.
type pair struct {
	floor, product *server
	upstream       *wireUpstream
	body           []byte
	// holds, passes and takes are the addresses of the product's two sites and of the floor.
	holds, takes, passes string
}

// pairSample is what one run gave.
type pairSample struct {
	perSecond       float64
	client, partner latencies
	cpu             time.Duration
}

// latencies are sorted.
type latencies []time.Duration

func (l latencies) at(percent int) float64 {
	if len(l) == 0 {
		return 0
	}
	return float64(l[(len(l)-1)*percent/100]) / float64(time.Millisecond)
}

// measurePair is the command "pair".
func measurePair(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("pair", flag.ContinueOnError)
	clients := flags.String("c", "1,16,128,1024", "numbers of concurrent clients, each with a partner")
	reps := flags.Int("reps", 7, "how often floor and product take turns")
	length := flags.Duration("length", 700*time.Millisecond, "how long each runs each time")
	dir := flags.String("dir", "", "where the store is; on Linux /dev/shm shows the code without the disk")
	binary := flags.String("binary", "", "a Caddy with the plugin; it is built if there is none")
	profile := flags.String("profile", "", "file for a CPU profile of the product, with the first number of clients; nothing is compared")
	picture := flags.String("plot", "", "file for a plot of the throughput, as SVG")
	if err := flags.Parse(args); err != nil {
		return err
	}
	counts, err := numbers(*clients)
	if err != nil {
		return err
	}
	if *dir != "" {
		if err := os.Setenv("TMPDIR", *dir); err != nil {
			return err
		}
	}
	p, stop, err := startPair(*binary)
	if err != nil {
		return err
	}
	defer stop()
	if *profile != "" {
		return p.profile(ctx, counts[0], *length*time.Duration(*reps), *profile)
	}
	fmt.Println("| clients | hold to two exchanges (min..max) | floor to floor | CPU to floor, median | least | hold per s | client p50, p99 | partner p50, p99 | floor per s | client p50, p99 | partner p50, p99 |\n|---|---|---|---|---|---|---|---|---|---|---|")
	throughput := plot{title: "Requests that are held, and two exchanges that are not", across: "clients, and as many partners", up: "per second",
		lines: []line{{name: "held, durable"}, {name: "two exchanges"}}}
	for _, n := range counts {
		products, floors, err := p.compare(ctx, n, *reps, *length)
		if err != nil {
			return fmt.Errorf("with %d clients: %w", n, err)
		}
		throughput.add(strconv.Itoa(n), medianOf(products, ratePerSecond), medianOf(floors, ratePerSecond))
	}
	if *picture == "" {
		return nil
	}
	return throughput.write(*picture)
}

// startPair starts the two servers and their upstream.
func startPair(binary string) (p *pair, stop func(), err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, nil, err
	}
	p = &pair{body: make([]byte, 200)}
	stop = func() {
		p.floor.stop()
		p.product.stop()
		_ = os.RemoveAll(dir)
	}
	if err = p.start(dir, binary); err != nil {
		stop()
		return nil, nil, err
	}
	fmt.Printf("a cold fdatasync where the store is, p50: %v\n\n", coldSync(dir).Round(time.Microsecond))
	return p, stop, nil
}

func (p *pair) start(dir, binary string) (err error) {
	if binary == "" {
		binary = filepath.Join(dir, "caddy")
		if err := build(binary, productPackage); err != nil {
			return err
		}
	}
	var at ports
	for _, port := range []*string{&at.floor, &at.product, &at.calls, &at.admin} {
		if *port, err = freePort(); err != nil {
			return err
		}
	}
	// Nobody waits for room: as many clients hold a request as there are.
	if p.upstream, err = listenWire(p.body, make(chan string, 1<<16)); err != nil {
		return err
	}
	_, at.peer, _ = net.SplitHostPort(p.upstream.listener.Addr().String())
	p.passes, p.holds, p.takes = "127.0.0.1:"+at.floor, "127.0.0.1:"+at.product, "127.0.0.1:"+at.calls
	if p.floor, err = startServer(dir, binary, "floor", at.floor, floorConfig(at), pairLimits...); err != nil {
		return err
	}
	p.product, err = startServer(dir, binary, "product", at.calls, productConfig(at, filepath.Join(dir, "store")), pairLimits...)
	if err == nil {
		p.product.admin = at.admin
	}
	return err
}

// party is somebody with a connection of their own, who repeats something.
type party struct {
	wire  *wire
	times latencies
}

// do does something once, and takes the time.
func (p *party) do(what func() error) error {
	began := time.Now()
	err := what()
	p.times = append(p.times, time.Since(began))
	return err
}

// parties connects a number of parties.
func parties(n int, address string) ([]*party, error) {
	all := make([]*party, n)
	for i := range all {
		w, err := dialWire(address)
		if err != nil {
			return nil, err
		}
		all[i] = &party{wire: w}
	}
	return all, nil
}

// gather returns the times of all, sorted, and closes their connections.
func gather(all []*party) (times latencies) {
	for _, p := range all {
		times = append(times, p.times...)
		_ = p.wire.conn.Close()
	}
	slices.Sort(times)
	return times
}

// holdOnce measures the product, and passOnce the floor.
func (p *pair) holdOnce(ctx context.Context, clients int, length time.Duration) (pairSample, error) {
	work := func(worker *party, url string) error {
		_, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
		return worker.wire.post("/"+path, p.body, 200)
	}
	round := func(client *party) error { return client.wire.post("/work", p.body, 200) }
	return together(ctx, p.product, clients, length, [2]string{p.holds, p.takes}, p.upstream.calls, round, work)
}

func (p *pair) passOnce(ctx context.Context, clients int, length time.Duration) (pairSample, error) {
	handed := make(chan chan error, clients)
	work := func(worker *party, done chan error) error {
		err := worker.wire.post("/app", p.body, 200)
		done <- err
		return err
	}
	round := func(client *party) error {
		if err := client.wire.post("/work", p.body, 202); err != nil {
			return err
		}
		done := make(chan error, 1)
		handed <- done
		return <-done
	}
	return together(ctx, p.floor, clients, length, [2]string{p.passes, p.passes}, handed, round, work)
}

// together lets clients repeat their round, and as many workers do what is handed to them. An error
// of one of them ends the run: figures of a server that loses something mean nothing.
func together[T any](ctx context.Context, s *server, n int, length time.Duration, at [2]string, handed chan T, round func(*party) error, work func(*party, T) error) (sample pairSample, err error) {
	clients, err := parties(n, at[0])
	if err != nil {
		return sample, err
	}
	workers, err := parties(n, at[1])
	if err != nil {
		return sample, err
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	over := make(chan struct{})
	errs := make(chan error, 2*n)
	var running, working sync.WaitGroup
	for _, w := range workers {
		working.Go(func() {
			for {
				select {
				case what := <-handed:
					if err := w.do(func() error { return work(w, what) }); err != nil {
						errs <- err
						return
					}
				case <-over:
					return
				}
			}
		})
	}
	cpu, began := s.cpu(), time.Now()
	for _, c := range clients {
		running.Go(func() {
			for ctx.Err() == nil {
				if err := c.do(func() error { return round(c) }); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	running.Wait()
	elapsed := time.Since(began)
	close(over)
	working.Wait()
	cpu = s.cpu() - cpu
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	sample.client, sample.partner = gather(clients), gather(workers)
	sample.perSecond = float64(len(sample.client)) / elapsed.Seconds()
	sample.cpu = cpu / time.Duration(max(1, len(sample.client)))
	return sample, err
}

// compare prints one row, and returns what it is made of. The floor is measured before and after
// the product: where the two figures differ, the run was too noisy to tell.
func (p *pair) compare(ctx context.Context, clients, reps int, length time.Duration) (products, floors []pairSample, err error) {
	var ratios, noise, cpus []float64
	for rep := range reps + 1 {
		var turn [3]pairSample
		for i, once := range []func(context.Context, int, time.Duration) (pairSample, error){p.passOnce, p.holdOnce, p.passOnce} {
			if turn[i], err = once(ctx, clients, length); err != nil {
				return nil, nil, err
			}
		}
		if rep == 0 {
			continue // the first one warms up
		}
		ratios = append(ratios, turn[1].perSecond/((turn[0].perSecond+turn[2].perSecond)/2))
		noise = append(noise, turn[2].perSecond/turn[0].perSecond)
		cpus = append(cpus, float64(turn[1].cpu)/(float64(turn[0].cpu+turn[2].cpu)/2))
		floors, products = append(floors, turn[0], turn[2]), append(products, turn[1])
	}
	least := float64(leastCPU(products)) / float64(leastCPU(floors))
	fmt.Printf("| %d | %.2f (%.2f..%.2f) | %.2f | %.2f | %.2f | %s | %s |\n", clients,
		median(ratios), slices.Min(ratios), slices.Max(ratios), median(noise), median(cpus), least, figures(products), figures(floors))
	return products, floors, nil
}

func leastCPU(samples []pairSample) time.Duration {
	least := samples[0].cpu
	for _, s := range samples {
		least = min(least, s.cpu)
	}
	return least
}

func ratePerSecond(s pairSample) float64 { return s.perSecond }

func medianOf(samples []pairSample, value func(pairSample) float64) float64 {
	var all []float64
	for _, s := range samples {
		all = append(all, value(s))
	}
	return median(all)
}

// figures are medians over the runs.
func figures(samples []pairSample) string {
	of := func(value func(pairSample) float64) float64 { return medianOf(samples, value) }
	return fmt.Sprintf("%.0f | %.2f, %.2f ms | %.2f, %.2f ms", of(ratePerSecond),
		of(func(s pairSample) float64 { return s.client.at(50) }), of(func(s pairSample) float64 { return s.client.at(99) }),
		of(func(s pairSample) float64 { return s.partner.at(50) }), of(func(s pairSample) float64 { return s.partner.at(99) }))
}

// profile takes a CPU profile of the product while it holds requests.
func (p *pair) profile(ctx context.Context, clients int, length time.Duration, file string) error {
	if _, err := p.holdOnce(ctx, clients, time.Second); err != nil {
		return err
	}
	url := fmt.Sprintf("http://127.0.0.1:%s/debug/pprof/profile?seconds=%d", p.product.admin, max(1, int(length.Seconds())))
	taken := make(chan error, 1)
	go func() { taken <- download(url, file) }()
	s, err := p.holdOnce(ctx, clients, length)
	fmt.Printf("hold with %d clients: %.0f per s, %v of CPU each\n", clients, s.perSecond, s.cpu.Round(time.Microsecond))
	return errors.Join(err, <-taken)
}

// coldSync returns the median time of a fdatasync after a rest, where a directory is.
func coldSync(dir string) time.Duration {
	f, err := os.CreateTemp(dir, "sync")
	if err != nil {
		return 0
	}
	defer f.Close()
	block := make([]byte, 500)
	var times latencies
	for range 100 {
		time.Sleep(time.Millisecond)
		began := time.Now()
		_, _ = f.Write(block)
		_ = syncData(f)
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	return times[len(times)/2]
}
