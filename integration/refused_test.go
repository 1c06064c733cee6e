package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// A configuration that says something else than it does is refused by "caddy validate", at
// a start and at a reload. At a reload, the one before it stays.
func TestConfigurationThatCannotDoWhatItSaysIsRefused(t *testing.T) {
	t.Parallel()
	running := start(t, harness.Config{})
	refused := harness.New(t)
	proxy := "reverse_proxy unix/" + refused.Path("partner.sock")
	for name, c := range map[string]struct {
		cfg  harness.Config
		want string
	}{
		"nobody takes calls": {harness.Config{Public: "respond 404"}, "callback hold awaits calls"},
		"too early":          {harness.Config{Private: "callback hold\nrewrite * /{http.callback.id}\n" + proxy}, "{http.callback.id} has no value there"},
		"misspelt":           {harness.Config{Private: "callback hold\n" + proxy + " {\nheader_up X {http.callback.urll}\n}"}, "did you mean {http.callback.url}?"},
		"prefix":             {harness.Config{Public: "handle /in/* {\nuri strip_prefix /in\ncallback_server\n}\ncallback_server"}, "handle_path /in/*"},
	} {
		if code, output := refused.StartFails(t, c.cfg); code == 0 || !strings.Contains(output, c.want) {
			t.Errorf("%s: the start ends with %d: %s", name, code, output)
		}
		refused.WriteFile(t, "refused.caddyfile", []byte(refused.Caddyfile(c.cfg)))
		if output, err := refused.Run(t, "validate", "--adapter", "caddyfile", "--config", refused.Path("refused.caddyfile")); err == nil || !strings.Contains(output, c.want) {
			t.Errorf("%s: validate says %v: %s", name, err, output)
		}
		if err := running.Reload(t, c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the reload ends with %v", name, err)
		}
	}
	x := running.get(t)
	x.resolve(t, "paid")
	wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
}
