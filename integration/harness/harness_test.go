package harness

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// forward is a server without the plugin, in front of a partner.
func forward(t *testing.T) (*Caddy, *Partner, Config) {
	t.Helper()
	c := New(t)
	p := NewPartner(t, c)
	cfg := Config{
		Bare:    true,
		TLS:     true,
		Public:  `respond "public"`,
		Private: "reverse_proxy unix/" + c.Path("partner.sock"),
	}
	c.Start(t, cfg)
	return c, p, cfg
}

func TestEveryProtocolReachesThePartner(t *testing.T) {
	t.Parallel()
	c, p, _ := forward(t)
	major := map[Protocol]string{HTTP1: "HTTP/1.1", H2C: "HTTP/2.0", H2: "HTTP/2.0", H3: "HTTP/3.0"}
	for _, protocol := range Protocols {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			path := "/" + string(protocol)
			p.Handle(path, Ack(http.StatusCreated, http.Header{"X-Seen": {"yes"}}, "done"))
			resp := Do(t, c.Client(t, protocol), NewRequest(t, http.MethodPost, protocol.URL(path), "text/plain", "hello"))
			if resp.Status != http.StatusCreated || string(resp.Body) != "done" || resp.Header.Get("X-Seen") != "yes" {
				t.Errorf("answer is %+v", resp)
			}
			if resp.Proto != major[protocol] {
				t.Errorf("answer came over %s", resp.Proto)
			}
			if got := p.Received(t, path); string(got.Body) != "hello" || got.Method != http.MethodPost {
				t.Errorf("partner got %+v", got)
			}
		})
	}
}

func TestReloadTakesTheNewAndReportsTheRefused(t *testing.T) {
	t.Parallel()
	c, _, cfg := forward(t)
	get := func() string {
		return string(Do(t, c.Client(t, HTTP1), NewRequest(t, http.MethodGet, BaseURL, "", "")).Body)
	}
	changed := cfg
	changed.Public = `respond "changed"`
	c.MustReload(t, changed)
	if got := get(); got != "changed" {
		t.Errorf("after the reload the site says %q", got)
	}
	changed.Public = "no_such_directive"
	if err := c.Reload(t, changed); err == nil || !strings.Contains(err.Error(), "no_such_directive") {
		t.Errorf("the refused reload says %v", err)
	}
	if got := get(); got != "changed" {
		t.Errorf("after the refused reload the site says %q", got)
	}
}

func TestServerRunsAgainWhereItWasKilled(t *testing.T) {
	t.Parallel()
	c, p, cfg := forward(t)
	for range 3 {
		Do(t, c.Client(t, HTTP1), NewRequest(t, http.MethodGet, HTTP1.URL("/"), "", ""))
		p.Received(t, "/")
		c.Kill(t)
		c.Start(t, cfg)
	}
	Do(t, c.Client(t, H3), NewRequest(t, http.MethodGet, H3.URL("/"), "", ""))
}

func TestTerminatedServerExits(t *testing.T) {
	t.Parallel()
	c, _, _ := forward(t)
	for _, protocol := range Protocols {
		Do(t, c.Client(t, protocol), NewRequest(t, http.MethodGet, protocol.URL("/"), "", ""))
	}
	c.Terminate(t)
	if code := c.Exited(t, 5*time.Second); code != 0 {
		t.Errorf("exit code is %d", code)
	}
}

func TestGoroutinesAreFoundByWhatTheyDo(t *testing.T) {
	t.Parallel()
	c, p, _ := forward(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	p.Handle("/slow", func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	})
	before := c.Goroutines(t)
	pending := Send(c.Client(t, HTTP1), NewRequest(t, http.MethodGet, HTTP1.URL("/slow"), "", ""))
	Receive(t, "the request arrives", arrived)
	if n := c.GoroutinesIn(t, "reverseproxy.(*Handler).ServeHTTP"); n != 1 {
		t.Errorf("%d goroutines forward a request", n)
	}
	if during := c.Goroutines(t); during <= before {
		t.Errorf("%d goroutines before and %d during a request", before, during)
	}
	close(release)
	pending.Answer(t)
	c.Acknowledged(t)
	c.Idle(t)
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	c := New(t)
	code, output := c.StartFails(t, Config{Bare: true, Public: "no_such_directive"})
	if code == 0 || !strings.Contains(output, "no_such_directive") {
		t.Errorf("exit code %d, output %s", code, output)
	}
}

func TestCommandsRunBesideTheServer(t *testing.T) {
	t.Parallel()
	c, _, _ := forward(t)
	if out, err := c.Run(t, "validate", "--config", c.Path("Caddyfile"), "--adapter", "caddyfile"); err != nil {
		t.Errorf("validate: %v\n%s", err, out)
	}
}
