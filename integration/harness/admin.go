package harness

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// adminURL is the address of the admin endpoint; its host is ignored, because the
// client connects to a socket.
const adminURL = "http://127.0.0.1"

// Reload loads a configuration into the running server, even if it is unchanged, and
// waits until the server has settled. A configuration that the server refuses comes
// back as an error.
func (c *Caddy) Reload(tb testing.TB, cfg Config) error {
	tb.Helper()
	caddyfile := c.Caddyfile(cfg)
	err := c.load(tb, caddyfile)
	if err == nil {
		c.running(tb).listeners = listenersOf(caddyfile)
	}
	c.Settle(tb)
	return err
}

// load hands a configuration to the admin endpoint.
func (c *Caddy) load(tb testing.TB, caddyfile string) error {
	tb.Helper()
	req, err := http.NewRequest(http.MethodPost, adminURL+"/load", strings.NewReader(caddyfile))
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/caddyfile")
	req.Header.Set("Cache-Control", "must-revalidate")
	resp, err := c.admin.Do(req)
	if err != nil {
		tb.Fatalf("reloading: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatalf("reloading: %v", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("reload refused with status %d: %s", resp.StatusCode, body)
	}
	return nil
}

// Settle waits, after a reload, until only the servers of the running configuration
// accept connections. Caddy closes some connections of a server that is about to end,
// both idle and new ones.
func (c *Caddy) Settle(tb testing.TB) {
	tb.Helper()
	Eventually(tb, "only the new servers accept connections", func() bool {
		return c.GoroutinesIn(tb, "net/http.(*Server).Serve+") == c.running(tb).listeners
	})
	c.closeIdle()
}

// listenersOf returns how many listeners a configuration has: one for each site, and
// one for the admin endpoint.
func listenersOf(caddyfile string) int { return 1 + strings.Count(caddyfile, "\tbind ") }

// MustReload is Reload for a configuration that the server must accept.
func (c *Caddy) MustReload(tb testing.TB, cfg Config) {
	tb.Helper()
	if err := c.Reload(tb, cfg); err != nil {
		tb.Fatal(err)
	}
}

// Goroutines returns how many goroutines the server has.
func (c *Caddy) Goroutines(tb testing.TB) int { return c.GoroutinesIn(tb, "") }

// GoroutinesIn returns how many goroutines of the server have a function in
// their stack whose full name contains frame, for example
// "reverseproxy.(*Handler).ServeHTTP".
func (c *Caddy) GoroutinesIn(tb testing.TB, frame string) int {
	tb.Helper()
	// While the body of this request is unread, net/http runs no goroutine that
	// watches for the client to leave; it would be in the profile.
	var resp *http.Response
	var err error
	// Caddy may close a connection to an admin endpoint that a reload is about to
	// replace.
	asked := poll(Patience, func() bool {
		resp, err = c.admin.Post(adminURL+"/debug/pprof/goroutine?debug=1", "text/plain", strings.NewReader("unread"))
		return err == nil
	})
	if !asked {
		tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	total, err := countGoroutines(resp.Body, frame)
	if err != nil {
		tb.Fatal(err)
	}
	return total
}

// Heap returns how many bytes of the server's heap are in use, after what is not has been
// collected.
func (c *Caddy) Heap(tb testing.TB) int64 {
	tb.Helper()
	// What has a finalizer takes two rounds.
	for range 2 {
		Do(tb, c.admin, NewRequest(tb, http.MethodGet, adminURL+"/debug/pprof/heap?gc=1", "", ""))
	}
	var vars struct {
		Memstats struct{ HeapAlloc int64 } `json:"memstats"`
	}
	got := Do(tb, c.admin, NewRequest(tb, http.MethodGet, adminURL+"/debug/vars", "", ""))
	if err := json.Unmarshal(got.Body, &vars); err != nil || vars.Memstats.HeapAlloc == 0 {
		tb.Fatalf("no figures of the heap: %v", err)
	}
	return vars.Memstats.HeapAlloc
}

// countGoroutines reads a goroutine profile in its text form: groups of equal
// stacks, each led by "<count> @ <addresses>".
func countGoroutines(profile io.Reader, frame string) (int, error) {
	total, group, counted := 0, 0, false
	lines := bufio.NewScanner(profile)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		count, _, leads := strings.Cut(lines.Text(), " @ ")
		switch {
		case leads:
			n, err := strconv.Atoi(count)
			if err != nil {
				return 0, fmt.Errorf("goroutine profile: %w", err)
			}
			group, counted = n, false
			if frame == "" {
				total += n
			}
		case frame != "" && !counted && strings.Contains(lines.Text(), frame):
			total, counted = total+group, true
		}
	}
	return total, lines.Err()
}

// Acknowledged waits until the server has processed every answer of the partner so
// far, and no request is at the upstream.
func (c *Caddy) Acknowledged(tb testing.TB) {
	tb.Helper()
	Eventually(tb, "no request is with the upstream", func() bool {
		return c.GoroutinesIn(tb, "reverseproxy.(*Handler).ServeHTTP") == 0
	})
}

// Idle waits until the server handles no request of any site.
func (c *Caddy) Idle(tb testing.TB) {
	tb.Helper()
	Eventually(tb, "no request is being handled", func() bool {
		return c.GoroutinesIn(tb, "caddyhttp.(*Server).ServeHTTP") == 0
	})
}

// WatchedClients returns how many clients that wait for their answer over HTTP/1.1
// the server watches, to notice when they leave.
func (c *Caddy) WatchedClients(tb testing.TB) int {
	tb.Helper()
	return c.GoroutinesIn(tb, "net/http.(*connReader).backgroundRead")
}

// Loaded returns the configuration as the admin endpoint shows it.
func (c *Caddy) Loaded(tb testing.TB) string {
	tb.Helper()
	resp, err := c.admin.Get(adminURL + "/config/")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(body)
}

// Admin sends a request to the admin endpoint and waits for the answer.
func (c *Caddy) Admin(tb testing.TB, req *http.Request) *Response {
	tb.Helper()
	return Do(tb, c.admin, req)
}

// serves reports whether the server has loaded its configuration.
func (c *Caddy) serves() bool {
	resp, err := c.admin.Get(adminURL + "/config/apps/http")
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	var app map[string]any
	return json.NewDecoder(resp.Body).Decode(&app) == nil && app != nil
}
