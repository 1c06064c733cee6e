package app

import (
	"net/http"
	"sync"
)

// endings are the channels that are closed when a server is shut down, by their servers.
var endings = struct {
	mu sync.Mutex
	of map[*http.Server]chan struct{}
}{of: make(map[*http.Server]chan struct{})}

// EndOf returns a channel that is closed when the server that serves the request is shut
// down, as a new configuration does it: whoever goes on for ever has to end then. It is nil if
// the server cannot be known.
func EndOf(r *http.Request) <-chan struct{} {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	endings.mu.Lock()
	defer endings.mu.Unlock()
	if end := endings.of[server]; end != nil {
		return end
	}
	end := make(chan struct{})
	endings.of[server] = end
	server.RegisterOnShutdown(func() {
		endings.mu.Lock()
		delete(endings.of, server)
		endings.mu.Unlock()
		close(end)
	})
	return end
}

// Ended returns a channel that is closed when the configuration is not in use any more.
func (a *App) Ended() <-chan struct{} { return a.gone }
