package dashboard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// notRepeated are header lines that curl sets itself.
var notRepeated = []string{"Accept-Encoding", "Content-Length", "Expect", "Host", "Transfer-Encoding", "User-Agent"}

// curl returns a command that makes the same call. The callback URL is a secret, and stays with
// whoever has it; the body comes from a file. Whatever the partner has sent, the shell takes it
// as text, and nothing in the command is hidden.
func curl(c *callback.Call) string {
	var b strings.Builder
	b.WriteString("curl -i -X " + quoteForShell(c.Method))
	if c.Query == "" {
		b.WriteString(` "$CALLBACK_URL"`)
	} else {
		b.WriteString(` "$CALLBACK_URL"` + quoteForShell("?"+c.Query))
	}
	for _, f := range c.Header {
		if slices.Contains(notRepeated, f.Name) {
			continue
		}
		line := f.Name + ": " + f.Value
		if f.Value == "" {
			// To curl, a name with a colon and nothing else takes the line away.
			line = f.Name + ";"
		}
		b.WriteString(" \\\n  -H " + quoteForShell(line))
	}
	if c.Body.Size > 0 {
		b.WriteString(" \\\n  --data-binary @body")
	}
	return b.String()
}

// quoteForShell quotes a text for a POSIX shell. What is not visible ASCII is written with
// escapes, which bash, zsh and others know.
func quoteForShell(s string) string {
	plain := func(r rune) bool { return r >= ' ' && r <= '~' }
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\'' || c == '\\':
			b.WriteString(`\` + string(c))
		case plain(rune(c)):
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String() + "'"
}
