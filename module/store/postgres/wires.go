package postgres

import (
	"context"
	"errors"
	"net"
	"sync"
)

// wires are the network connections that are open, so that all can be cut in the end: one on
// which nothing comes any more would be waited for.
type wires struct {
	mu   sync.Mutex
	open map[*wire]bool
	over bool
}

type wire struct {
	net.Conn
	of *wires
}

// dial connects.
func (ws *wires) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w := &wire{c, ws}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.over {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	if ws.open == nil {
		ws.open = make(map[*wire]bool)
	}
	ws.open[w] = true
	return w, nil
}

// Close closes the connection.
func (w *wire) Close() error {
	w.of.mu.Lock()
	delete(w.of.open, w)
	w.of.mu.Unlock()
	return w.Conn.Close()
}

// cut closes all connections, and lets no other be made.
func (ws *wires) cut() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.over = true
	for w := range ws.open {
		_ = w.Conn.Close()
	}
}
