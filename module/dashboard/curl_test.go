package dashboard

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// What a partner has sent is text to the shell, and nothing in the command is hidden.
func TestWhatWasSentIsTextToTheShell(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"plain", "", "it's", `back\slash`, "$(touch /tmp/x) `id` ${HOME} !!", "two\nlines\r", "\x1b[2J\x1b]0;title\x07", "ümlaut \u202e", "\xff\xfe", `'\''`, "\\x41", "a'\n'b",
	} {
		quoted := quoteForShell(text)
		for _, c := range quoted {
			if c < ' ' || c > '~' {
				t.Errorf("%q has %U", quoted, c)
			}
		}
		out, err := exec.CommandContext(t.Context(), "bash", "-c", "printf %s "+quoted).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q is quoted as %s, and is %q: %v", text, quoted, out, err)
		}
	}
}

func TestCallAsCurl(t *testing.T) {
	t.Parallel()
	c := &callback.Call{Method: "PUT", Query: "a='b'&c", Header: callback.Header{
		{Name: "Content-Length", Value: "3"}, {Name: "Content-Type", Value: "text/plain"}, {Name: "X-Empty"}, {Name: "User-Agent", Value: "x"},
	}, Body: callback.NewBody([]byte("abc"))}
	want := `curl -i -X 'PUT' "$CALLBACK_URL"'?a='\''b'\''&c' \
  -H 'Content-Type: text/plain' \
  -H 'X-Empty;' \
  --data-binary @body`
	if got := curl(c); got != want {
		t.Errorf("%s", got)
	}
	if got := curl(&callback.Call{Method: "GET"}); strings.Contains(got, "data") || strings.Contains(got, "?") {
		t.Errorf("%s", got)
	}
}
