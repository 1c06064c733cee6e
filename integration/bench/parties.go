package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// bench is two Caddys and everybody that they talk to.
type bench struct {
	dir     string
	body    []byte
	delay   time.Duration
	floor   *server
	product *server
	peer    *http.Server
	client  *http.Client
	// callClient is the partner's, with connections of its own.
	callClient *http.Client
	failures   atomic.Int64
	// publishAt is the URL at which Pushpin accepts messages, once it runs.
	publishAt string
	// someStatus returns the status URL of one callback.
	someStatus func() (string, error)
	// awaited holds the deliveries that somebody waits for: path -> chan struct{}.
	awaited sync.Map
	ports   ports
}

// ports are where the parties listen.
type ports struct {
	peer, floor, product, calls, admin string
}

func (ports) url(port, path string) string { return "http://127.0.0.1:" + port + path }

func newBench(o options) (*bench, error) {
	dir, binary, err := workshop(productPackage)
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, body: bytes.Repeat([]byte("x"), o.body), delay: o.delay, client: newClient(), callClient: newClient()}
	b.someStatus = sync.OnceValues(b.makeOne)
	if err := b.start(binary, o.waiting); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4096, MaxIdleConns: 0, DisableCompression: true}}
}

func (b *bench) start(binary string, waiting int) error {
	var err error
	for _, p := range []*string{&b.ports.peer, &b.ports.floor, &b.ports.product, &b.ports.calls, &b.ports.admin} {
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
	if err := fill(context.Background(), filepath.Join(b.dir, "store"), waiting, 24*time.Hour); err != nil {
		return err
	}
	if b.floor, err = startServer(b.dir, binary, "floor", b.ports.floor, floorConfig(b.ports)); err != nil {
		return err
	}
	b.product, err = startServer(b.dir, binary, "product", b.ports.calls, productConfig(b.ports, filepath.Join(b.dir, "store")))
	if err == nil {
		b.product.admin = b.ports.admin
	}
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

// serve plays the upstream, which acks and then calls back, the app that the floor's
// further exchanges go to, and the target of deliveries.
func (b *bench) serve(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if channel, ok := strings.CutPrefix(r.URL.Path, "/grip/"); ok {
		b.grip(w, channel)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/done/") {
		if arrived, ok := b.awaited.Load(r.URL.Path); ok {
			select {
			case arrived.(chan struct{}) <- struct{}{}:
			default:
			}
		}
		return
	}
	url := r.Header.Get("X-Link-Callback-Url")
	if url != "" && r.URL.Path != "/park" {
		time.AfterFunc(b.delay, func() { b.call(url) })
	}
	if url == "" && r.URL.Path != "/work" {
		_, _ = w.Write(b.body)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (b *bench) call(url string) {
	if err := b.post(b.callClient, url, http.StatusOK, nil); err != nil {
		b.failures.Add(1)
	}
}

// post sends the body and expects that status.
func (b *bench) post(c *http.Client, url string, want int, header http.Header) error {
	return b.exchange(c, url, want, header, b.body, nil)
}

// exchange sends a body, expects that status, and reads the answer's body with read
// unless that is nil.
func (b *bench) exchange(c *http.Client, url string, want int, header http.Header, body []byte, read func(*json.Decoder) error) error {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	return finish(resp, want, read)
}

func finish(resp *http.Response, want int, read func(*json.Decoder) error) error {
	defer resp.Body.Close()
	var err error
	if read != nil && resp.StatusCode == want {
		err = read(json.NewDecoder(resp.Body))
	}
	_, rest := io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != want {
		return fmt.Errorf("%s answered %d", resp.Request.URL, resp.StatusCode)
	}
	return errors.Join(err, rest)
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
