// Package signatures compares the signatures that are taken with those that the providers' own
// libraries make and take. These are for Node.js; see testdata/package.json.
package signatures

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// message is what the libraries are asked about.
type message struct {
	Provider string `json:"provider"`
	Secret   string `json:"secret"`
	Body     []byte `json:"body"`
	ID       string `json:"id"`
	At       int64  `json:"at"`
	URL      string `json:"url"`
	// Type is the media type of the body.
	Type string `json:"type"`
	// Header bears the signature. If there is none, the message is to be signed.
	Header map[string]string `json:"header,omitempty"`
}

// answer is what a library says of a message.
type answer struct {
	Header map[string]string `json:"header"`
	Valid  bool              `json:"valid"`
	Error  string            `json:"error"`
}

// libraries is the process in which the libraries of the providers are.
type libraries struct {
	mu      sync.Mutex
	in      io.Writer
	answers *bufio.Scanner
}

// required is what the environment variable CALLBACK_REQUIRED_TOOLS names where the libraries must
// be there.
const required = "node"

// need skips a test if there are no libraries to compare with, or fails it where they are required.
func need(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case slices.Contains(strings.Fields(os.Getenv("CALLBACK_REQUIRED_TOOLS")), required):
		t.Fatalf("the libraries of the providers are required: %v", err)
	default:
		t.Skipf("signatures are not compared with the libraries of the providers: %v", err)
	}
}

// present makes sure that there are Node.js and the libraries.
func present() error {
	version, err := exec.Command("node", "--version").Output()
	var major int
	switch _, scanned := fmt.Sscanf(string(version), "v%d.", &major); {
	case err != nil:
		return fmt.Errorf("node does not run (%w); it comes with the packages nodejs and npm", err)
	case scanned != nil || major < 20:
		return fmt.Errorf("node is %s: they need 20 or newer", strings.TrimSpace(string(version)))
	}
	if _, err := os.Stat("testdata/node_modules"); err != nil {
		return errors.New("they are not installed; run npm ci in integration/signatures/testdata")
	}
	// So that "go test" does not remember a result when it has changed.
	_, err = os.Stat("testdata/providers.mjs")
	return err
}

// start starts the process. It ends with the test.
func start(t *testing.T) *libraries {
	t.Helper()
	need(t, present())
	cmd := exec.Command("node", "providers.mjs")
	cmd.Dir, cmd.Stderr = "testdata", os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("node: %v", err)
		}
	})
	l := &libraries{in: in, answers: bufio.NewScanner(out)}
	l.answers.Buffer(nil, 1<<20)
	return l
}

func (l *libraries) ask(t *testing.T, m message) (a answer) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	line, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if m.Body == nil {
		line = []byte(strings.Replace(string(line), `"body":null`, `"body":""`, 1))
	}
	if _, err := l.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	if !l.answers.Scan() {
		t.Fatalf("node says nothing: %v", l.answers.Err())
	}
	if err := json.Unmarshal(l.answers.Bytes(), &a); err != nil || a.Error != "" {
		t.Fatalf("%s: %v %s", m.Provider, err, a.Error)
	}
	return a
}

// sign returns the header with the signature that a library makes.
func (l *libraries) sign(t *testing.T, m message) map[string]string {
	t.Helper()
	m.Header = nil
	return l.ask(t, m).Header
}

// takes reports whether a library takes a signature.
func (l *libraries) takes(t *testing.T, m message) bool {
	t.Helper()
	return l.ask(t, m).Valid
}

// headerOf returns the header of a message, as a server has it.
func (m message) headerOf() http.Header {
	h := http.Header{"Content-Type": {m.Type}}
	for name, value := range m.Header {
		h.Set(name, value)
	}
	return h
}

func (m message) time() time.Time { return time.Unix(m.At, 0) }
