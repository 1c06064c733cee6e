package postgrestest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// startWithin is how long the server may take to start.
const startWithin = 30 * time.Second

// Cluster is a server, and the directory with its data and its socket.
type Cluster struct {
	bin, dir string
	// port is the one in the name of the socket.
	port int
	// as makes a program one of the server's user.
	as func(*exec.Cmd)
	// keeper starts and signals the server. It ends it and removes all when its input ends, and
	// that happens if the tests are killed, too.
	keeper *exec.Cmd
	orders io.WriteCloser
	says   *bufio.Scanner
	pid    string
}

// keep is the program of the keeper: it does what its lines of input say, and says when that is
// done. Backends are in sessions of their own, so that they are found by their parent. A server
// that was killed leaves a segment of shared memory.
const keep = `pid=
backends() {
	for stat in /proc/[0-9]*/stat; do
		read -r one _ _ parent _ <"$stat" && [ "$parent" = "$pid" ] && kill -"$1" "$one"
	done 2>/dev/null
}
all() { kill -STOP $pid && backends "$1" && kill -"$1" $pid; }
while read -r order; do
	case $order in
	start) "$@" >>"$0/log" 2>&1 & pid=$! ;;
	crash) kill -STOP $pid; backends KILL; kill -KILL $pid; wait $pid ;;
	immediate) kill -QUIT $pid; wait $pid ;;
	fast) kill -INT $pid; wait $pid ;;
	pause) kill -STOP $pid; backends STOP ;;
	resume) backends CONT; kill -CONT $pid ;;
	esac 2>/dev/null
	echo "$pid"
done
if kill -QUIT $pid; then
	backends CONT
	kill -CONT $pid
	wait $pid
fi 2>/dev/null
left=$(sed -n 7p "$0/data/postmaster.pid" 2>/dev/null)
[ -z "$left" ] || ipcrm -m "${left##* }" 2>/dev/null
rm -rf "$0"`

// Start makes a cluster and starts its server. options are settings, like "fsync=off".
func Start(options ...string) (*Cluster, error) {
	return newCluster(options, (*Cluster).initdb)
}

func (c *Cluster) initdb() *exec.Cmd {
	return c.program("initdb", "--no-sync", "-A", "trust", "-U", user, "-E", "UTF8", "--no-locale", "-D", c.data())
}

// newCluster makes a cluster whose data a program makes, and starts its server.
func newCluster(options []string, made func(*Cluster) *exec.Cmd) (*Cluster, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(shortDir(), "cbpg")
	if err != nil {
		return nil, err
	}
	c := &Cluster{bin: bin, dir: dir, port: 5432}
	err = c.keep(options)
	if err == nil {
		out, failed := made(c).CombinedOutput()
		if failed != nil {
			err = fmt.Errorf("%w: %s", failed, out)
		}
	}
	if err == nil {
		err = c.Again()
	}
	if err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

// keep starts the keeper.
func (c *Cluster) keep(options []string) (err error) {
	if c.as, err = serverUser(c.dir); err != nil {
		return err
	}
	words := []string{"-c", keep, c.dir, filepath.Join(c.bin, "postgres"), "-D", c.data(), "-k", c.dir}
	for _, option := range append([]string{"listen_addresses=", "max_connections=200"}, options...) {
		words = append(words, "-c", option)
		if port, ok := strings.CutPrefix(option, "port="); ok {
			c.port, _ = strconv.Atoi(port)
		}
	}
	c.keeper = exec.Command("sh", words...) //nolint:gosec // words of ours
	c.as(c.keeper)
	if c.orders, err = c.keeper.StdinPipe(); err != nil {
		return err
	}
	out, err := c.keeper.StdoutPipe()
	if err != nil {
		return err
	}
	c.says = bufio.NewScanner(out)
	return c.keeper.Start()
}

// program returns one of PostgreSQL's, as the server's user.
func (c *Cluster) program(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...) //nolint:gosec // the installed program
	c.as(cmd)
	return cmd
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// Dir returns the directory of the cluster, which goes with it.
func (c *Cluster) Dir() string { return c.dir }

// URL returns the URL of the cluster's database.
func (c *Cluster) URL() string { return urlAt(c.dir, c.port) }

func urlAt(dir string, port int) string {
	url := "postgres:///postgres?user=" + user + "&host=" + dir
	if port != 5432 {
		url += "&port=" + strconv.Itoa(port)
	}
	return url
}

// Stop stops the server at once, and removes its data.
func (c *Cluster) Stop() {
	if c.keeper != nil && c.keeper.Process != nil {
		_ = c.orders.Close()
		_ = c.keeper.Wait()
	}
	_ = os.RemoveAll(c.dir)
}

// order has the keeper do something, and waits until it is done.
func (c *Cluster) order(what string) {
	_, _ = io.WriteString(c.orders, what+"\n")
	if c.says.Scan() {
		c.pid = c.says.Text()
	}
}

// Crash kills all processes of the server with SIGKILL.
func (c *Cluster) Crash() { c.order("crash") }

// Immediate stops the server at once, without a checkpoint.
func (c *Cluster) Immediate() { c.order("immediate") }

// Fast stops the server as its service does.
func (c *Cluster) Fast() { c.order("fast") }

// Pause stops all processes of the server where they are, and Resume lets them go on.
func (c *Cluster) Pause() { c.order("pause") }

// Resume lets the server go on after Pause.
func (c *Cluster) Resume() { c.order("resume") }

// Again starts the server on the data that there is, and waits until it takes connections.
func (c *Cluster) Again() error {
	var err error
	for range 10 {
		from := len(c.log())
		c.order("start")
		// What was killed a moment ago may not be gone.
		if err = c.await(from); !errors.Is(err, errInUse) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

var errInUse = errors.New("what was killed is not gone")

func (c *Cluster) log() string {
	log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
	return string(log)
}

// await waits until the server takes connections. from is where its log begins.
func (c *Cluster) await(from int) error {
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		pid, _ := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
		if lines := strings.Split(string(pid), "\n"); len(lines) > 7 && lines[0] == c.pid && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
		if log := c.log()[from:]; strings.Contains(log, "pre-existing shared memory") {
			return errInUse
		} else if strings.Contains(log, "could not create any") || strings.Contains(log, "invalid value for parameter") {
			return fmt.Errorf("postgres did not start: %s", log)
		}
	}
	return fmt.Errorf("postgres did not start within %s: %s", startWithin, c.log())
}

// Exec gives the server statements, each by itself.
func (c *Cluster) Exec(statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.URL())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// Standby makes a cluster that follows this one, and does not take writes before it is
// promoted.
func (c *Cluster) Standby(options ...string) (*Cluster, error) {
	return newCluster(options, func(standby *Cluster) *exec.Cmd {
		from := fmt.Sprintf("host=%s port=%d user=%s application_name=standby", c.dir, c.port, user)
		return standby.program("pg_basebackup", "-D", standby.data(), "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", from)
	})
}

// Promote makes the standby a server that takes writes, and waits until it does.
func (c *Cluster) Promote() error { return c.Exec("SELECT pg_promote()") }
