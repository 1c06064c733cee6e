package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"time"
)

// measureWaiting is the command "waiting": what a hold takes while so many callbacks wait.
func measureWaiting(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("waiting", flag.ContinueOnError)
	counts := flags.String("n", "10,10000,100000,1000000", "numbers of callbacks that wait")
	clients := flags.Int("c", 16, "concurrent clients")
	rounds := flags.Int("rounds", 3, "how often floor and product take turns")
	length := flags.Duration("length", 2*time.Second, "how long each runs each time")
	rest := flags.Duration("rest", 20*time.Second, "how long the server is left alone after its start, for it puts its tables in order then")
	picture := flags.String("plot", "", "file for a plot, as SVG")
	if err := flags.Parse(args); err != nil {
		return err
	}
	all, err := numbers(*counts)
	if err != nil {
		return err
	}
	cost := plot{title: "What a hold takes while others wait", across: "callbacks that wait", up: "milliseconds",
		lines: []line{{name: "p50, with " + strconv.Itoa(*clients) + " clients"}, {name: "processor time"}}}
	fmt.Println("| waiting | hold to two exchanges (min..max) | per s | p50 | p99 | processor time |\n|---|---|---|---|---|---|")
	for _, n := range all {
		r, err := whileWaiting(ctx, n, *clients, *rounds, *length, *rest)
		if err != nil {
			return fmt.Errorf("while %d wait: %w", n, err)
		}
		fmt.Printf("| %d | %.2f (%.2f..%.2f) | %.0f | %.2f ms | %.2f ms | %.3f ms |\n", n, r.Ratio, r.Least, r.Greatest, r.PerSecond, r.P50, r.P99, r.Spent)
		cost.add(strconv.Itoa(n), r.P50, r.Spent)
	}
	if *picture == "" {
		return nil
	}
	return cost.write(*picture)
}

func whileWaiting(ctx context.Context, waiting, clients, rounds int, length, rest time.Duration) (row, error) {
	hold, err := armsOf("hold")
	if err != nil {
		return row{}, err
	}
	b, err := newBench(options{body: 200, waiting: waiting})
	if err != nil {
		return row{}, err
	}
	defer b.close()
	select {
	case <-ctx.Done():
		return row{}, ctx.Err()
	case <-time.After(rest):
	}
	r, err := b.compare(ctx, hold[0], clients, rounds, length)
	return r, errors.Join(err, ctx.Err())
}
