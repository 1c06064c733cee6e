package integration

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestStoreThatCannotBeOpenedSaysWhyAndWhatToDo(t *testing.T) {
	t.Parallel()
	other := start(t, harness.Config{})
	for _, test := range []struct {
		name  string
		store func(c *harness.Caddy) string
		says  string
	}{
		{"a file", func(c *harness.Caddy) string { return c.WriteFile(t, "file", nil) }, `not a directory`},
		{"below a file", func(c *harness.Caddy) string { return c.Path("Caddyfile", "store") }, `not a directory`},
		{"used by another process", func(*harness.Caddy) string { return other.Path("store") }, `another (caddy|process)`},
		{"writable by the group", func(c *harness.Caddy) string { return writable(t, c, 0o770) }, `chmod -R go-w /`},
		{"writable by others", func(c *harness.Caddy) string { return writable(t, c, 0o707) }, `chmod -R go-w /`},
		{"not writable", func(*harness.Caddy) string { return "/sys/callback" }, `permission|read-only`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := harness.New(t)
			dir := test.store(c)
			code, output := c.StartFails(t, harness.Config{Store: dir})
			if code == 0 {
				t.Error("exit code is 0")
			}
			if !strings.Contains(output, dir) {
				t.Errorf("the message does not name %s", dir)
			}
			if !regexp.MustCompile(test.says).MatchString(output) {
				t.Errorf("the message does not say %q", test.says)
			}
			if t.Failed() {
				t.Log(output)
			}
		})
	}
	other.get(t).stillWaits(t)
}

// writable makes a directory that others can write to.
func writable(t *testing.T, c *harness.Caddy, mode os.FileMode) string {
	t.Helper()
	dir := c.Path("store")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStoreIsFreeAsSoonAsItsProcessIsKilled(t *testing.T) {
	t.Parallel()
	first := start(t, harness.Config{Timeout: "500ms"})
	x, p := first.timedOut(t)
	first.Kill(t)
	second := start(t, harness.Config{Store: first.Path("store")})
	wantStatus(t, second.partner.Call(t, http.MethodPost, x.url, "text/plain", "moved"), http.StatusOK)
	wantAnswer(t, second.fetch(t, p.ResultURL), http.StatusOK, "moved")
}

func TestNothingButABaseURLIsMandatory(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{
		Bare:    true,
		Global:  "callback {\n\tbase_url " + harness.BaseURL + "\n}",
		Public:  "callback_server",
		Private: "callback hold\nreverse_proxy unix/" + s.Path("partner.sock"),
	})
	s.get(t).stillWaits(t)
	if info, err := os.Stat(s.Path("data", "caddy", "callback")); err != nil || !info.IsDir() {
		t.Errorf("the store is not in Caddy's data directory: %v", err)
	}
}

// badgerFile matches the files that Badger creates, with as many permissions as the
// umask allows. The directory around them keeps others out.
var badgerFile = regexp.MustCompile(`\.(sst|vlog|mem)$|/(LOCK|MANIFEST|DISCARD)$`)

func TestStoreIsTheOwnersAlone(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms"})
	x, _ := s.timedOut(t)
	x.resolve(t, noise(1<<20))
	own := 0
	walkStore(t, s, func(path string, info fs.FileInfo) {
		want := fs.FileMode(0o600)
		switch {
		case info.IsDir():
			want = 0o700
		case badgerFile.MatchString(path):
			return
		default:
			own++
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %v, want %v", path, got, want)
		}
	})
	if own == 0 {
		t.Error("the store has no files of its own")
	}
}

func TestEncryptedStoreShowsNothingWithoutItsKey(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	encrypted := func(key string) harness.Config {
		return harness.Config{Timeout: "500ms", Store: s.Path("store") + " {\n\tencryption_key " + strings.Repeat(key, 32) + "\n}"}
	}
	s.Start(t, encrypted("ab"))
	small, smallProblem := s.timedOut(t)
	large, largeProblem := s.timedOut(t)
	text := strings.Repeat("for your eyes only ", 10_000)
	small.resolve(t, text[:1000])
	large.resolve(t, text)
	s.Terminate(t)
	s.Exited(t, exitWithin)
	if s.storeContains(t, "for your eyes only") {
		t.Error("a body can be read in the store")
	}

	code, output := s.StartFails(t, encrypted("cd"))
	if code == 0 || !strings.Contains(output, s.Path("store")) || !strings.Contains(output, "key") {
		t.Errorf("with another key the exit code is %d, and the output %s", code, output)
	}
	s.Start(t, encrypted("ab"))
	wantAnswer(t, s.fetch(t, smallProblem.ResultURL), http.StatusOK, text[:1000])
	wantAnswer(t, s.fetch(t, largeProblem.ResultURL), http.StatusOK, text)
}

func TestShortageOfSpaceRefusesNewRequestsAndTakesCalls(t *testing.T) {
	t.Parallel()
	for _, option := range []string{"min_free 1000TiB", "max_size 512KiB"} {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			s := start(t, harness.Config{Timeout: "500ms"})
			x, p := s.timedOut(t)
			large, _ := s.timedOut(t)
			large.resolve(t, noise(1<<20))
			s.Terminate(t)
			s.Exited(t, exitWithin)

			s.Start(t, harness.Config{Timeout: "500ms", Store: s.Path("store") + " {\n\t" + option + "\n}"})
			// The free space is checked now and then, not at every request.
			var path string
			var refused *harness.Response
			harness.Eventually(t, "a new request is refused", func() bool {
				path = s.path()
				refused = s.fetch(t, harness.HTTP1.URL(path))
				return refused.Status != http.StatusGatewayTimeout
			})
			wantProblem(t, refused, http.StatusServiceUnavailable, "store-unavailable")
			if refused.Header.Get("Retry-After") == "" || s.partner.Arrived(path) != 0 {
				t.Errorf("the refusal is %v; the partner got %d requests", refused.Header, s.partner.Arrived(path))
			}
			x.resolve(t, "there is room for an end")
			wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "there is room for an end")
		})
	}
}

func TestStoreHoldsNeitherStateNorTicket(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Timeout: "500ms"})
	x, p := s.timedOut(t)
	x.resolve(t, "paid")
	s.Terminate(t)
	s.Exited(t, exitWithin)
	if !s.storeContains(t, "paid") {
		t.Error("the call's body is not where it was looked for")
	}
	for _, secret := range []string{x.state(), anyUUID.FindString(p.StatusURL)} {
		raw, err := hex.DecodeString(strings.ReplaceAll(secret, "-", ""))
		if err != nil {
			t.Fatal(err)
		}
		if s.storeContains(t, secret) || s.storeContains(t, string(raw)) {
			t.Error("the store holds a secret")
		}
	}
}

// storeContains looks for text in every file of the store.
func (s *stage) storeContains(t *testing.T, text string) bool {
	t.Helper()
	found := false
	walkStore(t, s, func(path string, info fs.FileInfo) {
		if info.IsDir() {
			return
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		found = found || bytes.Contains(content, []byte(text))
	})
	return found
}

// walkStore visits the store's directory and everything in it.
func walkStore(t *testing.T, s *stage, visit func(path string, info fs.FileInfo)) {
	t.Helper()
	err := filepath.WalkDir(s.Path("store"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		visit(path, info)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
