package postgrestest

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Proxy is in front of a server, at a socket of its own, and does to connections what a network
// does.
type Proxy struct {
	dir    string
	port   int
	front  net.Listener
	server string
	done   sync.WaitGroup

	mu    sync.Mutex
	links map[*link]bool
	// cut, silent, delay and rate are what happens to what comes from here on.
	cut, silent bool
	delay       time.Duration
	rate        int
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	// lost says that it never works again.
	lost bool
	once sync.Once
	gone chan struct{}
}

// NewProxy returns a proxy in front of a cluster.
func NewProxy(c *Cluster) (*Proxy, error) {
	dir, err := os.MkdirTemp(shortDir(), "cbpx")
	if err != nil {
		return nil, err
	}
	name := ".s.PGSQL." + strconv.Itoa(c.port)
	front, err := net.Listen("unix", filepath.Join(dir, name))
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	p := &Proxy{dir: dir, port: c.port, front: front, server: filepath.Join(c.dir, name), links: make(map[*link]bool)}
	p.done.Go(p.accept)
	return p, nil
}

// URL returns the URL of the database through the proxy.
func (p *Proxy) URL() string { return urlAt(p.dir, p.port) }

// Close ends the proxy and all connections through it.
func (p *Proxy) Close() {
	_ = p.front.Close()
	p.Cut()
	p.done.Wait()
	_ = os.RemoveAll(p.dir)
}

// Cut breaks all connections, and those that are made from here on.
func (p *Proxy) Cut() {
	p.set(func() {
		p.cut = true
		for l := range p.links {
			l.close()
		}
	})
}

// Swallow lets connections be, and what is sent over them disappear.
func (p *Proxy) Swallow() {
	p.set(func() {
		p.silent = true
		for l := range p.links {
			l.lost = true
		}
	})
}

// Delay makes everything arrive later.
func (p *Proxy) Delay(by time.Duration) { p.set(func() { p.delay = by }) }

// Throttle passes on so many bytes a second on each connection, in each direction.
func (p *Proxy) Throttle(rate int) { p.set(func() { p.rate = rate }) }

// Mend passes everything on again. Connections that were there while it swallowed never work
// again.
func (p *Proxy) Mend() {
	p.set(func() { p.cut, p.silent, p.delay, p.rate = false, false, 0, 0 })
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *Proxy) accept() {
	for {
		client, err := p.front.Accept()
		if err != nil {
			return
		}
		p.link(client)
	}
}

// link connects a client with the server.
func (p *Proxy) link(client net.Conn) {
	server, err := net.Dial("unix", p.server)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server, gone: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		l.close()
		return
	}
	p.links[l] = true
	p.done.Go(func() { p.pass(l, client, server) })
	p.done.Go(func() { p.pass(l, server, client) })
}

func (l *link) close() {
	l.once.Do(func() { close(l.gone) })
	_ = l.client.Close()
	_ = l.server.Close()
}

// piece is something that arrives at a time.
type piece struct {
	bytes []byte
	at    time.Time
}

// pass passes on what comes from one side of a link.
func (p *Proxy) pass(l *link, from, to net.Conn) {
	pieces := make(chan piece, 1024)
	p.done.Go(func() {
		for one := range pieces {
			select {
			case <-time.After(time.Until(one.at)):
				p.deliver(l, to, one.bytes)
			case <-l.gone:
			}
		}
		l.close()
		p.set(func() { delete(p.links, l) })
	})
	defer close(pieces)
	for {
		b := make([]byte, 16<<10)
		n, err := from.Read(b)
		if err != nil {
			return
		}
		p.mu.Lock()
		at := time.Now().Add(p.delay)
		p.mu.Unlock()
		pieces <- piece{b[:n], at}
	}
}

// deliver writes a piece, as fast as it may, or swallows it.
func (p *Proxy) deliver(l *link, to net.Conn, b []byte) {
	const step = 20 * time.Millisecond
	for len(b) > 0 {
		p.mu.Lock()
		l.lost = l.lost || p.silent
		lost, rate := l.lost, p.rate
		p.mu.Unlock()
		if lost {
			return
		}
		n := len(b)
		if rate > 0 {
			n = min(n, max(1, rate*int(step)/int(time.Second)))
			time.Sleep(step)
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}
