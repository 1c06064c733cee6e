package oauth

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestAppReadsTheSAMLResponseFromItsCallback(t *testing.T) {
	t.Parallel()
	s := start(t)
	// As long as signed assertions are, and longer than what is kept in a record.
	for name, size := range map[string]int{"short": 6 << 10, "long": 90 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			callback, err := s.api.create(t.Context(), "RelayState")
			if err != nil {
				t.Fatal(err)
			}
			s.NeverLog(callback.State)
			if want := harness.BaseURL + "/cbq/RelayState"; callback.RedirectURI != want {
				t.Errorf("redirectUri is %s, want %s", callback.RedirectURI, want)
			}
			if len(callback.State) > 80 {
				t.Errorf("the state %s is longer than a RelayState may be", callback.State)
			}
			assertion := make([]byte, size)
			_, _ = rand.Read(assertion)
			response := base64.StdEncoding.EncodeToString(assertion)
			form := url.Values{"SAMLResponse": {response}, "RelayState": {callback.State}}

			reply := harness.Do(t, s.Client(t, harness.HTTP1), harness.NewRequest(t,
				http.MethodPost, callback.RedirectURI, "application/x-www-form-urlencoded", form.Encode()))
			wantRedirect(t, reply, http.MethodPost)

			told, err := s.api.wait(t.Context(), callback.ID)
			if err != nil {
				t.Fatal(err)
			}
			values, err := told.LatestCall.values()
			if err != nil {
				t.Fatal(err)
			}
			if values.Get("SAMLResponse") != response {
				t.Errorf("the app reads another SAMLResponse, of %d bytes", len(values.Get("SAMLResponse")))
			}
			if values.Has("RelayState") {
				t.Error("the app is told the state")
			}
		})
	}
}
