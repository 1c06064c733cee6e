package oauth

import (
	"crypto/rand"
	"errors"
	"html/template"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/oauth2"
)

// What the provider knows of the app.
const (
	clientID     = "app"
	clientSecret = "secret-of-the-app"
)

// The provider's users, as its storage has them.
const (
	alice, aliceName = "test-user@127.0.0.1", "Test User"
	bob, bobName     = "test-user2", "Test User2"
	password         = "verysecure"
)

// provider is an OpenID provider, and so an authorization server of OAuth 2.0. Its
// login page can also be told to deny the app what it asks for.
type provider struct {
	*op.Provider
	issuer string
	store  *storage.Storage
}

// newProvider starts a provider where the app has registered its redirect URI.
func newProvider(t *testing.T, redirectURI string) *provider {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewUnstartedServer(mux)
	issuer := "http://" + server.Listener.Addr().String()
	store := storage.NewStorageWithClients(storage.NewUserStore(issuer), map[string]*storage.Client{
		clientID: storage.WebClient(clientID, clientSecret, redirectURI),
	})
	config := &op.Config{CodeMethodS256: true}
	_, _ = rand.Read(config.CryptoKey[:])
	handler, err := op.NewProvider(config, store, op.StaticIssuer(issuer), op.WithAllowInsecure())
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{Provider: handler, issuer: issuer, store: store}
	mux.Handle("/", handler)
	mux.HandleFunc("GET /login/username", p.showLogin)
	mux.HandleFunc("POST /login/username", op.NewIssuerInterceptor(handler.IssuerFromRequest).HandlerFunc(p.takeLogin))
	server.Start()
	t.Cleanup(server.Close)
	return p
}

// client returns the app's configuration to sign users in.
func (p *provider) client() oauth2.Config {
	return oauth2.Config{
		ClientID:     clientID,
		ClientSecret: clientSecret,
		Scopes:       []string{oidc.ScopeOpenID, oidc.ScopeProfile},
		Endpoint: oauth2.Endpoint{
			AuthURL:   p.issuer + "/authorize",
			TokenURL:  p.issuer + "/oauth/token",
			AuthStyle: oauth2.AuthStyleInHeader,
		},
	}
}

// userInfo is where the app learns who has signed in.
func (p *provider) userInfo() string { return p.issuer + "/userinfo" }

var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<title>Sign in</title>
<form method="post">
<input type="hidden" name="id" value="{{.}}">
<input name="username"><input type="password" name="password">
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button>
</form>
`))

func (p *provider) showLogin(w http.ResponseWriter, r *http.Request) {
	_ = loginPage.Execute(w, r.FormValue("authRequestID"))
}

func (p *provider) takeLogin(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("id")
	err := p.store.CheckUsernamePassword(r.FormValue("username"), r.FormValue("password"), id)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if r.FormValue("decision") == "allow" {
		http.Redirect(w, r, op.AuthCallbackURL(p)(r.Context(), id), http.StatusFound)
		return
	}
	request, err := p.store.AuthRequestByID(r.Context(), id)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	denied := oidc.ErrAccessDenied().WithDescription("The user does not want to.").WithParent(errors.New("denied"))
	op.AuthRequestError(w, r, request, denied, p)
}
