package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// sample is what one run of an arm gave.
type sample struct {
	perSecond float64
	p50, p99  time.Duration
	// cpu is the server's processor time per round trip.
	cpu time.Duration
	// commits is the number of commits per record that was committed, 0 for a floor.
	commits float64
}

// measure makes clients repeat one thing. An error of one of them, or of the partner,
// fails the run: figures of a server that loses something mean nothing.
func (b *bench) measure(ctx context.Context, s *server, clients int, length time.Duration, do func() error) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	latencies := make([][]time.Duration, clients)
	errs := make([]error, clients)
	commits, cpu, start := s.commits(), s.cpu(), time.Now()
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
	commits = s.commits().since(commits)
	all := slices.Concat(latencies...)
	slices.Sort(all)
	return sample{
		perSecond: float64(len(all)) / elapsed.Seconds(),
		p50:       all[len(all)/2],
		p99:       all[len(all)*99/100],
		cpu:       spent / time.Duration(len(all)),
		commits:   commits.perRecord(),
	}, nil
}

// row is what a comparison gave: medians, and the ratio's least and greatest.
type row struct {
	Arm       string  `json:"arm"`
	Floor     int     `json:"floor"`
	Clients   int     `json:"clients"`
	Ratio     float64 `json:"ratio"`
	Least     float64 `json:"least"`
	Greatest  float64 `json:"greatest"`
	Noise     float64 `json:"noise"`
	TooNoisy  bool    `json:"tooNoisy"`
	CPU       float64 `json:"cpu"`
	Spent     float64 `json:"cpuMilliseconds"`
	Commits   float64 `json:"commitsPerRecord"`
	PerSecond float64 `json:"perSecond"`
	FloorRate float64 `json:"floorPerSecond"`
	P50       float64 `json:"p50Milliseconds"`
	P99       float64 `json:"p99Milliseconds"`
	FloorP50  float64 `json:"floorP50Milliseconds"`
	FloorP99  float64 `json:"floorP99Milliseconds"`
}

const heading = `| arm | clients | to n x reverse_proxy (min..max) | floor/floor | CPU to floor | commits per record | per s | floor per s | p50 | p99 | floor p50 | floor p99 |
|---|---|---|---|---|---|---|---|---|---|---|---|`

// String returns the row of the table.
func (r row) String() string {
	verdict := ""
	if r.TooNoisy {
		verdict = " too noisy"
	}
	return fmt.Sprintf("| %s | %d | %.2f of n=%d (%.2f..%.2f)%s | %.2f | %.2f | %.2f | %.0f | %.0f | %.2f ms | %.2f ms | %.2f ms | %.2f ms |",
		r.Arm, r.Clients, r.Ratio, r.Floor, r.Least, r.Greatest, verdict, r.Noise, r.CPU, r.Commits, r.PerSecond, r.FloorRate, r.P50, r.P99, r.FloorP50, r.FloorP99)
}

// compare lets floor and product take turns: A B A, where the difference between the
// two As is the noise.
func (b *bench) compare(ctx context.Context, a arm, clients, rounds int, length time.Duration) (row, error) {
	var products, floors []sample
	var ratios, noise, cpus []float64
	pass := b.pass(a.floor)
	product := func() error { return a.do(b) }
	for round := range rounds + 1 {
		var turn [3]sample
		for i, part := range []struct {
			s  *server
			do func() error
		}{{b.floor, pass}, {b.product, product}, {b.floor, pass}} {
			var err error
			if turn[i], err = b.measure(ctx, part.s, clients, length, part.do); err != nil {
				return row{}, err
			}
		}
		if round == 0 {
			continue // the first round warms up
		}
		ratios = append(ratios, turn[1].perSecond/((turn[0].perSecond+turn[2].perSecond)/2))
		noise = append(noise, turn[2].perSecond/turn[0].perSecond)
		cpus = append(cpus, float64(turn[1].cpu)/float64((turn[0].cpu+turn[2].cpu)/2))
		products, floors = append(products, turn[1]), append(floors, turn[0])
	}
	off := median(noise)
	return row{
		Arm: a.name, Floor: a.floor, Clients: clients,
		Ratio: median(ratios), Least: slices.Min(ratios), Greatest: slices.Max(ratios),
		Noise: off, TooNoisy: off < 0.85 || off > 1.15, CPU: median(cpus), Spent: of(products, spent), Commits: of(products, commitsPerRecord),
		PerSecond: of(products, rate), FloorRate: of(floors, rate),
		P50: of(products, p50), P99: of(products, p99), FloorP50: of(floors, p50), FloorP99: of(floors, p99),
	}, nil
}

func rate(s sample) float64 { return s.perSecond }
func p50(s sample) float64  { return float64(s.p50) / float64(time.Millisecond) }
func p99(s sample) float64  { return float64(s.p99) / float64(time.Millisecond) }

// spent is the server's processor time per round trip, in milliseconds.
func spent(s sample) float64 { return float64(s.cpu) / float64(time.Millisecond) }

func commitsPerRecord(s sample) float64 { return s.commits }

func of(samples []sample, value func(sample) float64) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, value(s))
	}
	return median(values)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
