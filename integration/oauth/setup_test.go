// Package oauth tests callbacks as the redirect URIs of OAuth 2.0 and SAML, with a
// real authorization server.
//
// It is a module of its own, because what the authorization server needs would
// raise the versions that Caddy pins.
package oauth

import (
	"os"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// stage is a server, the app behind it, and the provider where the app's users
// sign in.
type stage struct {
	*harness.Caddy
	api *api
	app *app
}

// start returns a stage on which the server runs: the public site takes the calls
// and shows the app's pages, and the private one has the API.
func start(t *testing.T) *stage {
	t.Helper()
	c := harness.New(t)
	s := &stage{Caddy: c}
	s.app = newApp(t, s, newProvider(t, harness.BaseURL+"/cbq/state"))
	c.Start(t, harness.Config{
		Public:  "callback_server\nreverse_proxy " + s.app.address,
		Private: "callback_api {\n\tkey off\n}",
	})
	s.api = &api{client: c.Client(t, harness.HTTP1)}
	return s
}
