package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-callback/caddy-callback/examples/internal/exampletest"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

func TestMain(m *testing.M) { exampletest.Main(m, both) }

var (
	// nodeLine says which process a node is.
	nodeLine = regexp.MustCompile(`^node (a) is process (\d+)$`)
	// curlLine is the command that the example tells its user to run.
	curlLine = regexp.MustCompile(`^ +curl -i (http://\S+) -d '(.*)'$`)
)

func TestRequestIsHeldAtOneNodeAndCalledAtTheOther(t *testing.T) {
	t.Parallel()
	postgrestest.Need(t)
	e := exampletest.Start(t, both.Example, exampletest.FreePorts(t))
	node, line := e.WaitFor(t, nodeLine), e.WaitFor(t, curlLine)

	calledBack := regexp.MustCompile(`called back, and node b answered 200 OK`)
	wantConfirmed(t, line, "a")
	e.WaitFor(t, calledBack)

	// Without node a the other one does everything.
	kill(t, node[2], filepath.Join(e.Dir, sockets, "a-app.sock"))
	wantConfirmed(t, line, "b")
	e.WaitFor(t, calledBack)
	e.Interrupt(t)

	entries, err := os.ReadDir(e.Dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the example leaves more behind than callback-data: %v, %v", entries, err)
	}
}

// kill kills a process, and waits until it does not listen any more.
func kill(t *testing.T, id, socket string) {
	t.Helper()
	pid, _ := strconv.Atoi(id)
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	for err == nil {
		var conn net.Conn
		if conn, err = net.Dial("unix", socket); err != nil {
			return
		}
		_ = conn.Close()
	}
	t.Fatal(err)
}

// wantConfirmed orders something, as the example tells its user to, and wants the answer from
// that node.
func wantConfirmed(t *testing.T, line []string, node string) {
	t.Helper()
	res, err := http.Post(line[1], "application/x-www-form-urlencoded", strings.NewReader(line[2]))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if want := `{"confirmed":true,"order":{"item":"book"}}` + "\n"; res.StatusCode != http.StatusOK || string(body) != want {
		t.Errorf("the answer is %s %q, want 200 OK %q", res.Status, body, want)
	}
	if got := res.Header.Get("X-Node"); got != node {
		t.Errorf("node %q answered, want node %s", got, node)
	}
}

func TestCaddyfilesAreFormatted(t *testing.T) {
	t.Parallel()
	for _, file := range [][]byte{node, balancer} {
		if formatted := caddyfile.Format(file); string(formatted) != string(file) {
			t.Errorf("the Caddyfile should be:\n%s", formatted)
		}
	}
}
