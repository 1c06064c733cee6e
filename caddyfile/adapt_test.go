package caddyfile

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-callback/caddy-callback/module/store/badger"
	_ "github.com/caddy-callback/caddy-callback/module/store/postgres"
)

var update = flag.Bool("update", false, "rewrite the JSON in testdata; errors are never rewritten")

const (
	divider     = "\n----------\n"
	errorPrefix = "error: "
)

func TestCaddyfileIsAdapted(t *testing.T) {
	t.Setenv("CALLBACK_TEST_HOST", "app.example.com")
	t.Setenv("CALLBACK_TEST_SECRET", "sixteen bytes or more")
	t.Setenv("CALLBACK_TEST_SECRET_OF_NODES", strings.Repeat("thirty-two bytes", 2))
	t.Setenv("CALLBACK_TEST_URL", "http://status.internal:8080")
	t.Setenv("CALLBACK_TEST_WHSEC", "whsec_"+strings.Repeat("0123456789abcdef", 2))
	t.Setenv("CALLBACK_TEST_WHSEC2", "whsec_"+strings.Repeat("fedcba9876543210", 2))
	t.Setenv("CALLBACK_TEST_KEY", strings.Repeat("0123456789abcdef", 4))
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, found := strings.Cut(string(content), divider)
			if !found {
				t.Fatalf("%s has no line of ten hyphens", file)
			}
			input, want = input+"\n", strings.TrimSuffix(want, "\n")
			if message, ok := strings.CutPrefix(want, errorPrefix); ok {
				wantError(t, input, message)
				return
			}
			got := adapt(t, input)
			if *update {
				replaceWant(t, file, input, got)
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			provision(t, got)
		})
	}
}

// adapt returns the indented JSON of a Caddyfile, which must be formatted by caddy
// fmt.
func adapt(t *testing.T, input string) string {
	t.Helper()
	raw, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("warning: %s", w)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func replaceWant(t *testing.T, file, input, want string) {
	t.Helper()
	content := strings.TrimSuffix(input, "\n") + divider + want + "\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// place matches the position at the end of an error.
var place = regexp.MustCompile(`, at Caddyfile:(\d+)(?: import chain \['[^']+'\])?$`)

// wantError checks that a Caddyfile is refused with a message that ends with the
// wanted one, since Caddy may add words before it. The message must contain the first
// word of the line that it names.
func wantError(t *testing.T, input, want string) {
	t.Helper()
	_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), nil)
	if err == nil {
		t.Fatal("it was taken")
	}
	got := err.Error()
	if !strings.HasSuffix(got, ": "+want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	match := place.FindStringSubmatch(got)
	if match == nil {
		t.Fatalf("no file and line in: %s", got)
	}
	line, err := strconv.Atoi(match[1])
	lines := strings.Split(input, "\n")
	if err != nil || line < 1 || line > len(lines) {
		t.Fatalf("there is no line %s", match[1])
	}
	if subject, _, _ := strings.Cut(strings.TrimSpace(lines[line-1]), " "); !strings.Contains(want, subject) {
		t.Errorf("line %d is about %s, and the message is not: %s", line, subject, want)
	}
}
