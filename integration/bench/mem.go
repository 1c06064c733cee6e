package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// vitals are the memory of a server, in bytes, and its goroutines.
type vitals struct{ resident, heap, stack, goroutines float64 }

func (v vitals) minus(o vitals) vitals {
	return vitals{v.resident - o.resident, v.heap - o.heap, v.stack - o.stack, v.goroutines - o.goroutines}
}

// memory holds many requests at once, blocks as many in a handler of the same binary,
// and prints what one of each takes.
func memory(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("mem", flag.ContinueOnError)
	h1 := flags.String("h1", "2500,5000,10000", "numbers of requests over HTTP/1.1")
	h2c := flags.String("h2c", "30000", "numbers of requests over HTTP/2")
	picture := flags.String("plot", "", "file for a plot of the memory over HTTP/1.1, as SVG")
	if err := flags.Parse(args); err != nil {
		return err
	}
	counts := make(map[string][]int)
	for protocol, list := range map[string]*string{"HTTP/1.1": h1, "h2c": h2c} {
		var err error
		if counts[protocol], err = numbers(*list); err != nil {
			return err
		}
	}
	dir, binary, err := workshop("github.com/caddy-callback/caddy-callback/integration/bench/blocked")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fmt.Println("| protocol | requests | | resident | heap | stacks | goroutines |\n|---|---|---|---|---|---|---|")
	taken := plot{title: "Memory of requests that wait, over HTTP/1.1", across: "requests", up: "MiB of heap and stacks",
		lines: []line{{name: "held"}, {name: "blocked in a handler"}}}
	for _, protocol := range []string{"HTTP/1.1", "h2c"} {
		for _, n := range counts[protocol] {
			blocked, held, err := crowds(ctx, dir, binary, protocol, n)
			if err != nil {
				return err
			}
			if protocol == "HTTP/1.1" {
				taken.add(strconv.Itoa(n), held.mebibytes(n), blocked.mebibytes(n))
			}
		}
	}
	if *picture == "" {
		return nil
	}
	return taken.write(*picture)
}

// mebibytes returns the heap and stacks of n requests.
func (v vitals) mebibytes(n int) float64 { return (v.heap + v.stack) * float64(n) / (1 << 20) }

// crowds lets n requests block, and hold, and prints what one of each takes.
func crowds(ctx context.Context, dir, binary, protocol string, n int) (blocked, held vitals, err error) {
	var each [2]vitals
	for i, handler := range []string{"blocked", "held"} {
		place, err := os.MkdirTemp(dir, "")
		if err != nil {
			return blocked, held, err
		}
		if each[i], err = crowd(ctx, place, binary, handler, protocol == "h2c", n); err != nil {
			return blocked, held, fmt.Errorf("%s, %s: %w", protocol, handler, err)
		}
		v := each[i]
		fmt.Printf("| %s | %d | %s | %.1f KiB | %.1f KiB | %.1f KiB | %.1f |\n", protocol, n, handler, v.resident/1024, v.heap/1024, v.stack/1024, v.goroutines)
	}
	fmt.Printf("| %s | %d | held, to blocked | %.2f | %.2f | %.2f | %.2f |\n", protocol, n,
		each[1].resident/each[0].resident, each[1].heap/each[0].heap, each[1].stack/each[0].stack, each[1].goroutines/each[0].goroutines)
	fmt.Printf("| %s | %d | held, to blocked, heap and stacks | %.2f | | | |\n", protocol, n, (each[1].heap+each[1].stack)/(each[0].heap+each[0].stack))
	return each[0], each[1], nil
}

// crowd starts a server, lets n requests wait in it, and returns what each takes.
func crowd(ctx context.Context, dir, binary, handler string, h2c bool, n int) (each vitals, err error) {
	var p [4]string
	for i := range p {
		if p[i], err = freePort(); err != nil {
			return each, err
		}
	}
	peer := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	})}
	listener, err := net.Listen("tcp", "127.0.0.1:"+p[0])
	if err != nil {
		return each, err
	}
	go func() { _ = peer.Serve(listener) }()
	defer peer.Close()
	s, err := startServer(dir, binary, "mem", p[1], memoryConfig(p, filepath.Join(dir, "store")))
	if err != nil {
		return each, err
	}
	defer s.stop()
	s.admin = p[3]
	path := "/" + handler
	before, err := s.vitals()
	if err != nil {
		return each, err
	}
	leave, cancel := context.WithCancel(ctx)
	defer cancel()
	client := patientClient(h2c)
	failed := make(chan error, n)
	for range n {
		go func() {
			req, err := http.NewRequestWithContext(leave, http.MethodGet, "http://127.0.0.1:"+p[2]+path, nil)
			if err != nil {
				return
			}
			resp, err := client.Do(req)
			if err == nil {
				_ = resp.Body.Close()
				err = fmt.Errorf("answered with %d", resp.StatusCode)
			}
			failed <- err
		}()
	}
	// Each request takes a goroutine or more. What the handlers need only for a while
	// is gone when the figures no longer change.
	var now vitals
	for last := 0.0; ; last = now.resident {
		select {
		case <-ctx.Done():
			return each, ctx.Err()
		case err := <-failed:
			return each, fmt.Errorf("a request did not wait: %w", err)
		case <-time.After(3 * time.Second):
		}
		if now, err = s.vitals(); err != nil {
			return each, err
		}
		if now.goroutines-before.goroutines >= float64(n) && now.resident <= last*1.005 {
			break
		}
	}
	now = now.minus(before)
	count := float64(n)
	return vitals{now.resident / count, now.heap / count, now.stack / count, now.goroutines / count}, nil
}

func memoryConfig(p [4]string, store string) string {
	return fmt.Sprintf(`{
	admin 127.0.0.1:%s
	persist_config off
	servers {
		protocols h1 h2c
	}
	callback {
		base_url http://127.0.0.1:%s
		store badger %s
		max_held 100000
	}
}
http://127.0.0.1:%[2]s {
	callback_server
}
http://127.0.0.1:%[4]s {
	handle /blocked {
		blocked
	}
	handle /held {
		callback hold 1h
		reverse_proxy 127.0.0.1:%[5]s
	}
}
`, p[3], p[1], store, p[2], p[0])
}

// patientClient returns a client without a timeout that opens only a few connections
// at a time.
func patientClient(h2c bool) *http.Client {
	dialing := make(chan struct{}, 64)
	t := &http.Transport{Protocols: new(http.Protocols), MaxIdleConnsPerHost: 1 << 20, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialing <- struct{}{}
		defer func() { <-dialing }()
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	t.Protocols.SetHTTP1(!h2c)
	t.Protocols.SetUnencryptedHTTP2(h2c)
	return &http.Client{Transport: t}
}

// vitals makes the server collect its garbage, and then measures it.
func (s *server) vitals() (v vitals, err error) {
	resp, err := http.Get("http://127.0.0.1:" + s.admin + "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[0] != "#" {
			continue
		}
		switch fields[1] {
		case "HeapInuse":
			v.heap, _ = strconv.ParseFloat(fields[3], 64)
		case "Stack":
			v.stack, _ = strconv.ParseFloat(fields[3], 64)
		}
	}
	if v.goroutines, err = s.goroutines(); err != nil {
		return v, err
	}
	statm, err := os.ReadFile("/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/statm")
	if err != nil {
		return v, err
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(statm))[1], 64)
	v.resident = pages * float64(os.Getpagesize())
	return v, err
}

func (s *server) goroutines() (n float64, err error) {
	resp, err := http.Get("http://127.0.0.1:" + s.admin + "/debug/pprof/goroutine?debug=1")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = fmt.Fscanf(resp.Body, "goroutine profile: total %g", &n)
	return n, err
}
