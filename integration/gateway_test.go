package integration

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// gatewayCuts is how long a request through a gateway may take.
const gatewayCuts = harness.TimeFactor * time.Second

// gateway stands between clients and a server, and cuts off what takes longer than it allows.
type gateway struct {
	*httptest.Server
	stage *stage
	// own has pages of the gateway's own, below /own/.
	own *http.ServeMux
	// requests counts the requests, and cut those that were cut off.
	requests, cut atomic.Int64
}

// startBehindGateway starts a server whose private site, and whose status and result URLs, are
// behind a gateway that cuts requests off.
func startBehindGateway(t *testing.T, cuts, timeout time.Duration, hold string) *gateway {
	t.Helper()
	s := newStage(t)
	g := &gateway{stage: s, own: http.NewServeMux()}
	proxy := &httputil.ReverseProxy{
		Transport: s.Client(t, harness.HTTP1).Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			site := &url.URL{Scheme: "http", Host: "app.test"}
			if strings.HasPrefix(r.In.URL.Path, "/cbr/") {
				site.Host = "callbacks.test"
			}
			r.SetURL(site)
			r.Out.Host = site.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			g.cut.Add(1)
			w.WriteHeader(http.StatusGatewayTimeout)
		},
	}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/own/") || r.URL.Path == "/favicon.ico" {
			g.own.ServeHTTP(w, r)
			return
		}
		g.requests.Add(1)
		ctx, cancel := context.WithTimeout(r.Context(), cuts)
		defer cancel()
		proxy.ServeHTTP(w, r.WithContext(ctx))
	}))
	t.Cleanup(g.Close)
	s.Start(t, harness.Config{Timeout: timeout.String(), Hold: "status_url " + g.URL + "\n" + hold})
	return g
}

// requireTool skips a test where all of some programs are missing, unless the first is among
// those that must be there. It returns the path of one.
func requireTool(t *testing.T, leftOut, pkg string, programs ...string) string {
	t.Helper()
	for _, program := range programs {
		if path, err := exec.LookPath(program); err == nil {
			return path
		}
	}
	if slices.Contains(strings.Fields(os.Getenv("CALLBACK_REQUIRED_TOOLS")), programs[0]) {
		t.Fatalf("%s is required, and is not there", programs[0])
	}
	t.Skipf("%s: %s is not there; it comes with the package %s, as in: apt-get install %s", leftOut, programs[0], pkg, pkg)
	return ""
}

// output runs a program to its end, and returns what it wrote.
func output(t *testing.T, path string, args ...string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	written := make(chan string, 1)
	cmd := exec.CommandContext(ctx, path, args...)
	go func() {
		defer cancel()
		out, err := cmd.CombinedOutput()
		if err != nil {
			out = append(out, err.Error()...)
		}
		written <- string(out)
	}()
	return written
}

// followers are clients that follow redirects. Each writes body and status of what it gets in
// the end.
var followers = map[string]func(t *testing.T) func(url string) <-chan string{
	"curl": func(t *testing.T) func(url string) <-chan string {
		t.Helper()
		curl := requireTool(t, "the chain of redirects is not followed with curl", "curl", "curl")
		return func(url string) <-chan string {
			return output(t, curl, "--silent", "--show-error", "--location", "--data", "an order", "--write-out", " %{http_code}", url)
		}
	},
	"Go": func(t *testing.T) func(url string) <-chan string {
		t.Helper()
		client := &http.Client{Transport: new(http.Transport)}
		t.Cleanup(client.CloseIdleConnections)
		return func(url string) <-chan string {
			got := make(chan string, 1)
			pending := harness.Send(client, harness.NewRequest(t, http.MethodPost, url, "text/plain", "an order"))
			go func() {
				answer, err := pending.Outcome()
				if err != nil {
					got <- err.Error()
					return
				}
				got <- fmt.Sprintf("%s %d", answer.Body, answer.Status)
			}()
			return got
		}
	},
	"fetch of Node": func(t *testing.T) func(url string) <-chan string {
		t.Helper()
		node := requireTool(t, "the chain of redirects is not followed with Node's fetch", "nodejs", "node")
		return func(url string) <-chan string {
			return output(t, node, "-e", `fetch(process.argv[1], {method: "POST", body: "an order"}).then(async r => process.stdout.write(await r.text() + " " + r.status))`, url)
		}
	},
}

func TestClientsGetTheResultThroughAGatewayThatCutsThemOff(t *testing.T) {
	t.Parallel()
	for name, follower := range followers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := follower(t)
			g := startBehindGateway(t, gatewayCuts, gatewayCuts/2, "on_timeout redirect")
			path := g.stage.path()
			begin := time.Now()
			got := client(g.URL + path)
			url := g.stage.partner.Received(t, path).Header.Get(callbackHeader)
			harness.Until(begin.Add(2*gatewayCuts + gatewayCuts/4))
			wantStatus(t, g.stage.partner.Call(t, http.MethodPost, url, "text/plain", "the answer"), http.StatusOK)
			if answer := harness.Receive(t, "the client ends", got); answer != "the answer 200" {
				t.Errorf("the client got %q", answer)
			}
			if requests, cut := g.requests.Load(), g.cut.Load(); requests < 3 || cut > 0 {
				t.Errorf("%d requests came through the gateway, which cut %d off", requests, cut)
			}
		})
	}
}

// Clients follow so many redirects and no more: Go's ends at the tenth.
func TestClientsFollowAWholeChain(t *testing.T) {
	t.Parallel()
	g := startBehindGateway(t, gatewayCuts, 50*time.Millisecond, "on_timeout redirect")
	for name, follower := range followers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := g.stage.path()
			answer := harness.Receive(t, "the client ends", follower(t)(g.URL+path))
			if !strings.Contains(answer, `"phase":"waiting"`) || !strings.HasSuffix(answer, " 202") {
				t.Errorf("the client got %q", answer)
			}
		})
	}
}
