// Package harness runs the real caddy binary for tests and benchmarks.
//
// A [Caddy] is one directory with everything that one server needs: its store,
// its sockets, its certificates and its log. It can be started, reloaded,
// terminated, killed and started again on what it left behind. A [Partner]
// plays the upstream that acknowledges requests and calls back.
//
// Nothing listens on a fixed port. A site named X.test listens on the unix
// socket X.sock of its Caddy's directory, and every client of this package
// finds it there; the one site with TLS takes a free port of the loopback
// interface.
package harness
