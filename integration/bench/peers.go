package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// peer is another product that can hold a request until something is published for it.
type peer struct {
	name string
	// file is a file that exists if the peer is installed.
	file  string
	start func(b *bench, dir string, p ports) (*exec.Cmd, error)
	// hold is one request that is held, and what releases it.
	hold func(b *bench, port string) error
}

// peers are in Debian's packages nginx with libnginx-mod-nchan, and pushpin. Neither
// stores anything, and neither makes URLs that a partner can call.
var peers = []peer{
	{"nchan", "/usr/lib/nginx/modules/ngx_nchan_module.so", (*bench).startNchan, (*bench).holdNchan},
	{"pushpin", "/usr/bin/pushpin", (*bench).startPushpin, (*bench).holdPushpin},
}

// comparePeers lets the product and each peer that is installed take turns at the same
// job: a client's request is held until its partner has called, delay later.
func comparePeers(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	clients := flags.String("c", "16,128", "numbers of concurrent clients")
	rounds := flags.Int("rounds", 3, "how often they take turns")
	length := flags.Duration("length", 2*time.Second, "how long each runs each time")
	delay := flags.Duration("delay", 20*time.Millisecond, "how long the partner takes before it calls back")
	if err := flags.Parse(args); err != nil {
		return err
	}
	counts, err := numbers(*clients)
	if err != nil {
		return err
	}
	b, err := newBench(options{body: 200, delay: *delay})
	if err != nil {
		return err
	}
	defer b.close()
	fmt.Println("| peer | clients | product to peer (min..max) | product per s | p50 | p99 | peer per s | p50 | p99 | lost by the peer |\n|---|---|---|---|---|---|---|---|---|---|")
	for _, p := range peers {
		if _, err := os.Stat(p.file); err != nil {
			fmt.Printf("| %s | not installed | | | | | | | | |\n", p.name)
			continue
		}
		if err := b.comparePeer(ctx, p, counts, *rounds, *length); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

func (b *bench) comparePeer(ctx context.Context, p peer, counts []int, rounds int, length time.Duration) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	ports := b.ports
	ports.product = port
	dir := filepath.Join(b.dir, p.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cmd, err := p.start(b, dir, ports)
	if err != nil {
		return err
	}
	defer stopGroup(cmd)
	if err := awaitListener(port); err != nil {
		return err
	}
	for _, n := range counts {
		var ratios []float64
		var ours, theirs []sample
		var lost atomic.Int64
		for round := range rounds + 1 {
			product, err := b.measure(ctx, b.product, n, length, b.hold)
			if err != nil {
				return err
			}
			other, err := b.measure(ctx, &server{cmd: cmd}, n, length, func() error {
				err := p.hold(b, port)
				if errors.Is(err, errLost) {
					lost.Add(1)
					return nil
				}
				return err
			})
			if err != nil {
				return err
			}
			if round > 0 {
				ratios = append(ratios, product.perSecond/other.perSecond)
				ours, theirs = append(ours, product), append(theirs, other)
			}
		}
		o, t := ours[len(ours)-1], theirs[len(theirs)-1]
		fmt.Printf("| %s | %d | %.2f (%.2f..%.2f) | %.0f | %v | %v | %.0f | %v | %v | %d |\n", p.name, n, median(ratios), slices.Min(ratios), slices.Max(ratios),
			o.perSecond, o.p50.Round(10*time.Microsecond), o.p99.Round(10*time.Microsecond), t.perSecond, t.p50.Round(10*time.Microsecond), t.p99.Round(10*time.Microsecond), lost.Load())
	}
	return nil
}

// errLost says that a request was not released although its partner had called, or that the peer
// gave it up.
var errLost = errors.New("the request was not released")

// startNchan starts nginx with a location to wait at and one to publish at.
func (b *bench) startNchan(dir string, p ports) (*exec.Cmd, error) {
	config := `load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
pid ` + dir + `/nginx.pid;
error_log ` + dir + `/error.log;
worker_processes 2;
events { worker_connections 9000; }
http {
	access_log off;
	client_body_temp_path ` + dir + `/body;
	proxy_temp_path ` + dir + `/proxy;
	fastcgi_temp_path ` + dir + `/fastcgi;
	uwsgi_temp_path ` + dir + `/uwsgi;
	scgi_temp_path ` + dir + `/scgi;
	keepalive_requests 1000000000;
	server {
		listen 127.0.0.1:` + p.product + `;
		location = /wait {
			nchan_subscriber longpoll;
			nchan_channel_id $arg_id;
			nchan_subscriber_first_message oldest;
		}
		location = /publish {
			nchan_publisher;
			nchan_channel_id $arg_id;
			nchan_message_timeout 10s;
		}
		location = /work { proxy_pass http://127.0.0.1:` + p.peer + `; }
		location / { return 204; }
	}
}
`
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return startPeer(dir, "/usr/sbin/nginx", "-c", path, "-e", filepath.Join(dir, "error.log"))
}

// holdNchan sends a request through nginx to the upstream, as for a held one, and
// waits for what its partner publishes.
func (b *bench) holdNchan(port string) error {
	id := strconv.FormatInt(numbered.Add(1), 10)
	url := "http://127.0.0.1:" + port
	if err := b.post(b.client, url+"/work", http.StatusAccepted, nil); err != nil {
		return err
	}
	time.AfterFunc(b.delay, func() {
		if err := b.publish(url+"/publish?id="+id, b.body); err != nil {
			b.failures.Add(1)
		}
	})
	return b.waitFor(url + "/wait?id=" + id)
}

// startPushpin starts Pushpin, whose backend is the upstream.
func (b *bench) startPushpin(dir string, p ports) (*exec.Cmd, error) {
	var more [4]string
	for i := range more {
		var err error
		if more[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	config := `[global]
include={libdir}/internal.conf
rundir=` + dir + `
ipc_prefix=b-
port_offset=0
[runner]
services=condure,zurl,pushpin-proxy,pushpin-handler
http_port=` + p.product + `
logdir=` + dir + `
log_level=1
client_buffer_size=8192
client_maxconn=50000
condure_bin=condure
zurl_bin=zurl
[proxy]
routesfile=` + dir + `/routes
zurl_out_specs=ipc://` + dir + `/b-zurl-in
zurl_out_stream_specs=ipc://` + dir + `/b-zurl-in-stream
zurl_in_specs=ipc://` + dir + `/b-zurl-out
[handler]
push_in_spec=tcp://127.0.0.1:` + more[0] + `
push_in_sub_specs=tcp://127.0.0.1:` + more[1] + `
push_in_sub_connect=false
push_in_http_addr=127.0.0.1
push_in_http_port=` + more[2] + `
command_spec=tcp://127.0.0.1:` + more[3] + `
message_rate=1000000
message_hwm=1000000
`
	if err := os.WriteFile(filepath.Join(dir, "routes"), []byte("* 127.0.0.1:"+p.peer+"\n"), 0o600); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "pushpin.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	b.publishAt = "http://127.0.0.1:" + more[2] + "/publish/"
	return startPeer(dir, "/usr/bin/pushpin", "--config="+path)
}

// holdPushpin is one request that the upstream tells Pushpin to hold.
func (b *bench) holdPushpin(port string) error {
	return b.waitFor("http://127.0.0.1:" + port + "/grip/" + strconv.FormatInt(numbered.Add(1), 10))
}

// grip plays the backend of Pushpin: it has the request held, and publishes its answer.
func (b *bench) grip(w http.ResponseWriter, channel string) {
	w.Header().Set("Grip-Hold", "response")
	w.Header().Set("Grip-Channel", channel)
	message, err := json.Marshal(map[string]any{"items": []any{map[string]any{
		"channel": channel, "formats": map[string]any{"http-response": map[string]any{"body": string(b.body)}},
	}}})
	if err != nil {
		b.failures.Add(1)
		return
	}
	time.AfterFunc(b.delay, func() {
		if err := b.publish(b.publishAt, message); err != nil {
			b.failures.Add(1)
		}
	})
}

// publish posts what releases a request, and repeats it until it is accepted, as
// partners do.
func (b *bench) publish(url string, message []byte) (err error) {
	for range 200 {
		if err = b.publishOnce(url, message); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

func (b *bench) publishOnce(url string, message []byte) error {
	resp, err := b.callClient.Post(url, "application/octet-stream", bytes.NewReader(message))
	if err != nil {
		return err
	}
	if err := finish(resp, resp.StatusCode, nil); err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return nil
}

// waitFor is a client that waits, but not forever.
func (b *bench) waitFor(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := b.client.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return errLost
	}
	if err != nil {
		return err
	}
	if err := finish(resp, http.StatusOK, nil); resp.StatusCode < http.StatusInternalServerError {
		return err
	}
	return errLost
}

// startPeer starts a server in a process group of its own, which the processes that
// it starts belong to as well.
func startPeer(dir, name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	inGroup(cmd)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	return cmd, cmd.Start()
}
