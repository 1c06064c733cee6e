// Command bench measures what a durable hold costs, against what the same two
// exchanges cost when they merely pass through Caddy's reverse_proxy:
//
//	go run ./integration/bench
//
// It builds Caddy, starts it twice, as floor and as product, brings client,
// upstream and partner itself, and lets the two take turns. Absolute figures
// depend on the machine; the ratios are what to look at. Two floors are measured
// against each other, too: where those differ, the run was too noisy.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	concurrency := flag.String("c", "1,16,128", "numbers of concurrent clients")
	rounds := flag.Int("rounds", 5, "how often the arms take turns")
	length := flag.Duration("length", 2*time.Second, "how long an arm runs each time")
	body := flag.Int("body", 200, "bytes of each body")
	profile := flag.String("profile", "", "file for a CPU profile of the product, taken while it is measured")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *concurrency, *rounds, *length, *body, *profile); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, concurrency string, rounds int, length time.Duration, body int, profile string) error {
	levels, err := numbers(concurrency)
	if err != nil {
		return err
	}
	b, err := newBench(body)
	if err != nil {
		return err
	}
	defer b.close()
	fmt.Printf("fsync p50 of the store's directory: %v\n\n", b.fsync().Round(time.Microsecond))
	fmt.Println("| clients | hold/two (min..max) | two/two | hold rt/s | two rt/s | hold p50 | hold p99 | two p50 | two p99 | CPU per rt, hold/two |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	if profile != "" {
		if err := b.profile(ctx, profile, length*time.Duration(rounds)); err != nil {
			return err
		}
	}
	for _, clients := range levels {
		row, err := b.compare(ctx, clients, rounds, length)
		if err != nil {
			return err
		}
		fmt.Println(row)
	}
	return nil
}

func numbers(list string) ([]int, error) {
	var all []int
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-c: %q is not a number of clients", text)
		}
		all = append(all, n)
	}
	return all, nil
}
