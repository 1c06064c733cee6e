// Command bench measures what callbacks cost, against what the same exchanges cost
// when they merely pass through Caddy's reverse_proxy:
//
//	go run ./integration/bench
//	go run ./integration/bench pair -c 1,128 -dir /dev/shm
//	go run ./integration/bench -arms hold,park -c 128 -json figures.json
//	go run ./integration/bench waiting
//	go run ./integration/bench mem
//	go run ./integration/bench store
//	go run ./integration/bench peers
//	go run ./integration/bench nodes
//	go run ./integration/bench database
//
// It builds Caddy, starts it twice, as floor and as product, plays client, upstream
// and partner itself, and lets the two take turns. pair, which it does if nothing else is asked
// for, has partners that wait for the reply to a call before they make the next one. Absolute figures depend on the
// machine; look at the ratios. The floor is also measured against itself: where the
// two figures differ, the run was too noisy to tell.
//
// mem prints how much memory a held request takes, beside one that a handler of the
// same binary merely blocks; store measures a store with a million callbacks; peers
// measures nchan and Pushpin at the same job, if they are installed; waiting measures holds
// while many other callbacks wait; nodes measures two
// nodes on one PostgreSQL beside one node with the embedded store, and database what a
// callback costs a PostgreSQL.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	arms    []arm
	clients []int
	rounds  int
	length  time.Duration
	body    int
	delay   time.Duration
	waiting int
	profile string
	json    string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return measurePair(ctx, nil)
	}
	if !strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "pair":
			return measurePair(ctx, args[1:])
		case "mem":
			return memory(ctx, args[1:])
		case "store":
			return fullStore(ctx, args[1:])
		case "peers":
			return comparePeers(ctx, args[1:])
		case "nodes":
			return compareNodes(ctx, args[1:])
		case "database":
			return measureDatabase(ctx, args[1:])
		case "waiting":
			return measureWaiting(ctx, args[1:])
		default:
			return fmt.Errorf("%q is no measure", args[0])
		}
	}
	o, err := parse()
	if err != nil {
		return err
	}
	return run(ctx, o)
}

func parse() (o options, err error) {
	names := flag.String("arms", "hold", "what to measure: "+armNames()+", or all, which is all but list")
	clients := flag.String("c", "1,16,128", "numbers of concurrent clients")
	flag.IntVar(&o.rounds, "rounds", 5, "how often the arms take turns")
	flag.DurationVar(&o.length, "length", 2*time.Second, "how long an arm runs each time")
	flag.IntVar(&o.body, "body", 200, "bytes of each body")
	flag.DurationVar(&o.delay, "delay", 0, "how long the partner takes before it calls back")
	flag.IntVar(&o.waiting, "waiting", 0, "callbacks that wait in the store meanwhile")
	flag.StringVar(&o.profile, "profile", "", "file for a CPU profile of the product at the first of the arms, with the first number of clients; nothing is compared")
	flag.StringVar(&o.json, "json", "", "file for the figures as JSON")
	flag.Parse()
	if o.arms, err = armsOf(*names); err != nil {
		return o, err
	}
	o.clients, err = numbers(*clients)
	return o, err
}

func run(ctx context.Context, o options) error {
	b, err := newBench(o)
	if err != nil {
		return err
	}
	defer b.close()
	fmt.Printf("%s, %d CPUs, %s; fsync p50 of the store's directory: %v\n\n",
		runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), runtime.Version(), b.fsync().Round(time.Microsecond))
	if o.profile != "" {
		return b.profile(ctx, o)
	}
	fmt.Println(heading)
	var rows []row
	for _, a := range o.arms {
		for _, n := range o.clients {
			r, err := b.compare(ctx, a, n, o.rounds, o.length)
			if err != nil {
				return fmt.Errorf("%s with %d clients: %w", a.name, n, err)
			}
			fmt.Println(r)
			rows = append(rows, r)
		}
	}
	if o.json == "" {
		return nil
	}
	text, err := json.MarshalIndent(rows, "", "\t")
	return errors.Join(err, os.WriteFile(o.json, append(text, '\n'), 0o600))
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
