package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// browse opens a page in a browser, with that script in it, and returns what the script tells
// with tell(). The browser runs until the test ends.
func (g *gateway) browse(t *testing.T, script string) <-chan string {
	t.Helper()
	chromium := requireTool(t, "no browser listens to events", "chromium", "chromium", "chromium-browser", "google-chrome")
	heard := make(chan string, 1000)
	g.own.HandleFunc("GET /own/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<!DOCTYPE html><title>a page</title><script>
let telling = Promise.resolve()
const tell = text => { telling = telling.then(() => fetch("/own/told", {method: "POST", body: text})) }
%s
</script>`, script)
	})
	g.own.HandleFunc("POST /own/told", func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err == nil {
			heard <- string(text)
		}
	})
	dir, err := os.MkdirTemp("", "cb")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--remote-debugging-port=0", "--user-data-dir="+dir, g.URL+"/own/page")
	cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	})
	return heard
}

// wantHeard waits until the page tells something.
func wantHeard(t *testing.T, heard <-chan string, want string) {
	t.Helper()
	if got := harness.Receive(t, "the page hears "+want, heard); got != want {
		t.Fatalf("the page hears %q, want %q", got, want)
	}
}

// through returns what the partner has got through the gateway.
func (g *gateway) through(t *testing.T, path string) *exchange {
	t.Helper()
	received := g.stage.partner.Received(t, path)
	return &exchange{stage: g.stage, received: received, url: received.Header.Get(callbackHeader)}
}

// A browser that is cut off comes back by itself, and ends when there is nothing more.
func TestBrowserListensThroughAGatewayThatCutsItOff(t *testing.T) {
	t.Parallel()
	g := startBehindGateway(t, gatewayCuts, 25*time.Second, withProgress)
	path := g.stage.path()
	heard := g.browse(t, fmt.Sprintf(`
const source = new EventSource(%q)
for (const name of ["open", "progress", "result", "failed", "parked"]) {
	source.addEventListener(name, e => tell(name + (e.data === undefined ? "" : " " + e.data)))
}
source.onerror = () => tell(source.readyState === EventSource.CLOSED ? "closed" : "cut off")
`, path))
	wantHeard(t, heard, "open")
	x := g.through(t, path)
	x.progress(t, "one\r\ntwo\n\nevent: failed\ndata: forged\n\n")
	wantHeard(t, heard, "progress one\ntwo\n\nevent: failed\ndata: forged\n\n")
	// It is told the same only once, however often it comes back.
	for range 2 {
		wantHeard(t, heard, "cut off")
		wantHeard(t, heard, "open")
	}
	wantHeard(t, heard, "cut off")
	x.resolve(t, "ä€😀\n")
	wantHeard(t, heard, "open")
	wantHeard(t, heard, "result ä€😀\n")
	wantHeard(t, heard, "cut off")
	wantHeard(t, heard, "closed")
	g.stage.wantArrivals(t, path, 0)
	if n := g.requests.Load(); n != 5 {
		t.Errorf("the browser has made %d requests", n)
	}
}

// readAll is a script that makes a request and tells all of the answer as it comes.
const readAll = `
const read = async (url, tell) => {
	const answer = await fetch(url, {method: "POST", body: "an order", headers: {"Accept": "text/event-stream"}})
	tell(answer.status + " " + answer.headers.get("Content-Type"))
	const text = new TextDecoder()
	for (const reader = answer.body.getReader(); ; ) {
		const {done, value} = await reader.read()
		if (done) break
		tell(text.decode(value, {stream: true}))
	}
	tell("the end")
}
`

// wantRead checks what a client reads of a stream, and how the events come.
func wantRead(t *testing.T, g *gateway, path string, heard <-chan string) {
	t.Helper()
	wantHeard(t, heard, "200 "+eventStream)
	x := g.through(t, path)
	all := ""
	hear := func(until string) {
		for !strings.HasSuffix(all, until) {
			all += harness.Receive(t, "the client hears "+until, heard)
		}
	}
	x.progress(t, "half")
	hear("data: half\n\n")
	x.resolve(t, "done")
	hear("data: done\n\nthe end")
	if strings.Count(all, "event: ") != 2 || strings.Count(all, "id: ") != 3 {
		t.Errorf("the client hears %q", all)
	}
}

func TestFetchOfABrowserReadsEventsAsTheyCome(t *testing.T) {
	t.Parallel()
	g := startBehindGateway(t, harness.Patience, harness.Patience, withProgress)
	path := g.stage.path()
	wantRead(t, g, path, g.browse(t, readAll+fmt.Sprintf("read(%q, tell)", path)))
}

func TestFetchOfNodeReadsEventsAsTheyCome(t *testing.T) {
	t.Parallel()
	node := requireTool(t, "Node's fetch does not listen to events", "nodejs", "node")
	g := startBehindGateway(t, harness.Patience, harness.Patience, withProgress)
	path := g.stage.path()
	heard := make(chan string, 1000)
	g.own.HandleFunc("POST /own/told", func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err == nil {
			heard <- string(text)
		}
	})
	output(t, node, "-e", readAll+`
let telling = Promise.resolve()
const tell = text => { telling = telling.then(() => fetch(process.argv[1] + "/own/told", {method: "POST", body: text})) }
read(process.argv[1] + process.argv[2], tell)
`, g.URL, path)
	wantRead(t, g, path, heard)
}
