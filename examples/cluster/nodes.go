package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// nodeName is the environment variable with a node's name.
const nodeName = "CLUSTER_NODE"

// howToInstall is said where there is no PostgreSQL.
const howToInstall = `PostgreSQL is needed, and it was not found: %w
Install it; no server has to run:
    Debian, Ubuntu   sudo apt install postgresql
    Fedora           sudo dnf install postgresql-server
    macOS            brew install postgresql@17
or set CLUSTER_DATABASE to the URL of a database that this example may use`

// sockets is the directory with the nodes' sockets, as in the Caddyfiles.
const sockets = "callback-data"

// startNodes starts a database, unless one is given, and two nodes on it.
func startNodes() (stop func(), err error) {
	if err := os.MkdirAll(sockets, 0o700); err != nil {
		return nil, err
	}
	url, stopDatabase, err := database()
	if err != nil {
		return nil, err
	}
	var nodes []*child
	stop = func() {
		for _, n := range nodes {
			n.stop()
		}
		stopDatabase()
	}
	secret := rand.Text() + rand.Text()
	for _, name := range []string{"a", "b"} {
		n, err := startChild(nodeName+"="+name, "CLUSTER_DATABASE="+url, "CLUSTER_SECRET="+secret)
		if err == nil {
			nodes = append(nodes, n)
			err = n.await(filepath.Join(sockets, name+"-app.sock"))
		}
		if err != nil {
			stop()
			return nil, err
		}
		fmt.Printf("node %s is process %d\n", name, n.cmd.Process.Pid)
	}
	return stop, nil
}

// database returns the URL of the database, and how to stop it.
func database() (url string, stop func(), err error) {
	if url := os.Getenv("CLUSTER_DATABASE"); url != "" {
		return url, func() {}, nil
	}
	server, err := postgrestest.Start()
	if err != nil {
		return "", nil, fmt.Errorf(howToInstall, err)
	}
	return server.URL(), server.Stop, nil
}

// child is a node that runs.
type child struct {
	cmd *exec.Cmd
	// stdin ends the node when it is closed, which happens if this process ends, too.
	stdin io.Closer
	ended chan struct{}
}

// startChild starts a node with these variables beside those of this process.
func startChild(variables ...string) (*child, error) {
	c := &child{cmd: exec.Command(os.Args[0]), ended: make(chan struct{})} //nolint:gosec // The example runs itself.
	c.cmd.Env = append(os.Environ(), variables...)
	c.cmd.Stdout, c.cmd.Stderr = os.Stdout, os.Stderr
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait()
	}()
	return c, nil
}

// await waits until the node serves.
func (c *child) await(socket string) error {
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-c.ended:
			return errors.New("a node has ended")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop ends the node, and waits for that.
func (c *child) stop() {
	_ = c.stdin.Close()
	<-c.ended
}

// endWith ends this process, as Ctrl+C does, when its input ends, which it does with the
// process that has started this one.
func endWith(input io.Reader) {
	_, _ = io.Copy(io.Discard, input)
	if p, err := os.FindProcess(os.Getpid()); err != nil || p.Signal(os.Interrupt) != nil {
		os.Exit(1)
	}
}
