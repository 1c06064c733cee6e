package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// server is one Caddy process.
type server struct {
	cmd *exec.Cmd
	// admin is the port of its admin endpoint, empty if it has none.
	admin string
	began time.Time
}

// commits is how much the store of a server has committed.
type commits struct{ count, records float64 }

func (c commits) since(before commits) commits {
	return commits{c.count - before.count, c.records - before.records}
}

func (c commits) perRecord() float64 {
	if c.records == 0 {
		return 0
	}
	return c.count / c.records
}

// commits reads the server's metrics.
func (s *server) commits() (c commits) {
	if s.admin == "" {
		return c
	}
	all, _ := s.metrics()
	return commits{all["caddy_callback_store_commits_total"], all["caddy_callback_store_committed_records_total"]}
}

// workshop makes a directory with a Caddy in it.
func workshop(pkg string) (dir, binary string, err error) {
	if dir, err = os.MkdirTemp("", "bench"); err != nil {
		return "", "", err
	}
	binary = filepath.Join(dir, "caddy")
	if err = build(binary, pkg); err != nil {
		_ = os.RemoveAll(dir)
	}
	return dir, binary, err
}

// productPackage is Caddy with the plugin.
const productPackage = "github.com/caddy-callback/caddy-callback/cmd/caddy"

func build(binary, pkg string) error {
	cmd := exec.Command("go", "build", "-o", binary, pkg)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

const proxy = `reverse_proxy 127.0.0.1:%s {
		transport http {
			keepalive_idle_conns_per_host 4096
			compression off
		}
	}`

func floorConfig(p ports) string {
	return fmt.Sprintf(`{
	admin off
	persist_config off
}
http://127.0.0.1:%s {
	`+proxy+`
}
`, p.floor, p.peer)
}

func productConfig(p ports, dir string) string {
	forward := fmt.Sprintf(proxy, p.peer)
	route := func(path, directives string) string {
		return "\thandle " + path + " {\n\t" + directives + "\n\t}\n"
	}
	return fmt.Sprintf(`{
	admin 127.0.0.1:%s
	persist_config off
	callback {
		base_url http://127.0.0.1:%s
		store badger %s
		concurrency 256
		max_waiting 2000000
		deliver {
			allow http://127.0.0.1
		}
	}
}
http://127.0.0.1:%s {
	callback_server
	%s
}
http://127.0.0.1:%s {
`, p.admin, p.calls, dir, p.calls, forward, p.product) +
		route("/work", "callback hold 30s\n\t"+forward) +
		route("/park", "callback park\n\t"+forward) +
		route("/deliver", "callback park {\n\tdeliver {\n\tfrom header X-Callback\n\t}\n\t}\n\t"+forward) +
		route("/defer", "callback defer {\n\tname defer\n\tdeliver {\n\tfrom header X-Callback\n\t}\n\tthen {\n\t"+forward+"\n\t}\n\t}") +
		route("/steps", strings.Repeat("callback hold 30s {\n\tcall {\n\t"+forward+"\n\t}\n\t}\n\t", 2)+"respond 200") +
		route("/callbacks*", "callback_api {\n\tkey off\n\t}") +
		route("/respond", "respond 200") +
		"}\n"
}

// defaultLimits are the settings of Go's memory for all servers.
var defaultLimits = []string{"GOGC=100", "GOMEMLIMIT=2GiB"}

// startServer starts Caddy, with limits in place of the default ones, and waits until it
// listens.
func startServer(dir, binary, name, port, config string, limits ...string) (*server, error) {
	path := filepath.Join(dir, name+".caddyfile")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	began := time.Now()
	cmd := exec.Command(binary, "run", "--config", path, "--adapter", "caddyfile")
	// The same limits for both, since the store's memory would favor one of them.
	if len(limits) == 0 {
		limits = defaultLimits
	}
	cmd.Env = append(os.Environ(), append(limits, "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)...)
	logFile, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	cmd.Stderr = logFile
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, began: began}
	if err := awaitListener(port); err != nil {
		s.stop()
		said, _ := os.ReadFile(logFile.Name())
		return nil, fmt.Errorf("%s: %w\n%s", name, err, said)
	}
	return s, nil
}

func awaitListener(port string) error {
	impatient := &http.Client{Timeout: 2 * time.Second}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		resp, err := impatient.Get("http://127.0.0.1:" + port + "/")
		if err == nil {
			return resp.Body.Close()
		}
	}
	return errors.New("it does not listen")
}

func (s *server) stop() {
	if s == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// cpu returns the processor time that the process has used.
func (s *server) cpu() time.Duration { return processorTime(s.cmd.Process.Pid) }

// processorTime returns the processor time that a process has used.
func processorTime(pid int) time.Duration {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name of the command, in parentheses, may hold spaces.
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	const ticksPerSecond = 100
	return time.Duration(user+system) * time.Second / ticksPerSecond
}

// profile runs an arm as long as all its rounds, and takes a CPU profile of the
// product meanwhile.
func (b *bench) profile(ctx context.Context, o options) error {
	length, clients := o.length*time.Duration(o.rounds), o.clients[0]
	do := func() error { return o.arms[0].do(b) }
	if _, err := b.measure(ctx, b.product, clients, o.length, do); err != nil {
		return err
	}
	url := fmt.Sprintf("http://127.0.0.1:%s/debug/pprof/profile?seconds=%d", b.ports.admin, int(length.Seconds()))
	taken := make(chan error, 1)
	go func() { taken <- download(url, o.profile) }()
	s, err := b.measure(ctx, b.product, clients, length, do)
	fmt.Printf("%s with %d clients: %.0f per s, %v of CPU each\n", o.arms[0].name, clients, s.perSecond, s.cpu.Round(time.Microsecond))
	return errors.Join(err, <-taken)
}

func download(url, file string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, resp.Body)
	return errors.Join(err, out.Close())
}
