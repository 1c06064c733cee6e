package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// The keys of keyedAPI, by what they may do.
const (
	creatorKey = "one-that-may-create"
	watcherKey = "one-that-may-look"
	managerKey = "one-that-may-manage"
	senderKey  = "one-that-may-send"
)

// keyedAPI starts a server whose API asks for keys, none of which it may ever log.
func keyedAPI(t *testing.T) *stage {
	t.Helper()
	s := newStage(t)
	var lines strings.Builder
	for permission, key := range map[string]string{"create": creatorKey, "read": watcherKey, "manage": managerKey, "send": senderKey} {
		s.NeverLog(key)
		name := "CB_" + strings.ToUpper(permission)
		s.Setenv(name, key)
		lines.WriteString("key " + permission + " {env." + name + "} " + permission + "\n")
	}
	s.Start(t, withAPI(s, harness.Config{Callback: lines.String()}, ""))
	return s
}

func TestEveryPartOfTheAPINeedsItsPermission(t *testing.T) {
	t.Parallel()
	s := keyedAPI(t)
	c := s.create(t, `{}`, bearer(creatorKey)...)
	for _, x := range []struct{ method, path, body, key string }{
		{http.MethodPost, "", `{}`, creatorKey},
		{http.MethodGet, "", "", watcherKey},
		{http.MethodGet, "/" + c.ID, "", watcherKey},
		{http.MethodHead, "/" + c.ID, "", watcherKey},
		{http.MethodGet, "/" + c.ID + "/result", "", watcherKey},
		{http.MethodPost, "/" + c.ID + "/redeliver", "", managerKey},
		{http.MethodPost, "/" + c.ID + "/resolve", "", managerKey},
		{http.MethodDelete, "/" + c.ID, "", managerKey},
	} {
		if x.method != http.MethodHead {
			wantUnauthorized(t, s.api(t, x.method, x.path, x.body), "key-required")
			wantUnauthorized(t, s.api(t, x.method, x.path, x.body, bearer("nobody's key at all")...), "key-unknown")
			wantUnauthorized(t, s.api(t, x.method, x.path+"?api_key="+x.key, x.body), "key-required")
		}
		for _, key := range []string{creatorKey, watcherKey, managerKey, senderKey} {
			got := s.api(t, x.method, x.path, x.body, bearer(key)...)
			switch {
			case key == x.key && (got.Status == http.StatusUnauthorized || got.Status == http.StatusForbidden):
				t.Errorf("%s %s: the key that may is answered %d", x.method, x.path, got.Status)
			case key != x.key && x.method == http.MethodHead:
				wantStatus(t, got, http.StatusForbidden)
			case key != x.key:
				wantProblem(t, got, http.StatusForbidden, "key-not-allowed")
			}
		}
	}
	wantUnauthorized(t, s.api(t, http.MethodGet, "/openapi.json", ""), "key-required")
	for _, key := range []string{creatorKey, watcherKey, managerKey, senderKey} {
		wantStatus(t, s.api(t, http.MethodGet, "/openapi.json", "", bearer(key)...), http.StatusOK)
	}
	// A refused request has done nothing.
	if got := s.api(t, http.MethodGet, "/"+c.ID, "", bearer(watcherKey)...); decode[document](t, got).Phase != "resolved" {
		t.Errorf("the callback is %s", got.Body)
	}
}

func TestPagesOfOtherSitesCannotUseTheAPI(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	c := s.create(t, `{}`)
	for _, x := range []struct{ method, path, body string }{
		{http.MethodPost, "", `{}`}, {http.MethodPost, "/" + c.ID + "/resolve", ""}, {http.MethodPost, "/" + c.ID + "/redeliver", ""},
		{http.MethodDelete, "/" + c.ID, ""},
	} {
		wantProblem(t, s.api(t, x.method, x.path, x.body, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden, "cross-site")
	}
	if got := s.show(t, c.ID); got.Phase != "waiting" {
		t.Errorf("%+v", got)
	}
	for _, site := range []string{"same-origin", "same-site", "none"} {
		s.create(t, `{}`, "Sec-Fetch-Site", site)
	}
}

func TestKeysOfClientsWithoutKeysAreNotMixedUp(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	made := make(map[string]bool)
	for _, authorization := range []string{"", "Bearer a", "Bearer b"} {
		lines := []string{"Idempotency-Key", "one"}
		if authorization != "" {
			lines = append(lines, "Authorization", authorization)
		}
		c := s.create(t, `{}`, lines...)
		if made[c.ID] {
			t.Errorf("%q gets another client's callback", authorization)
		}
		made[c.ID] = true
		if again := s.create(t, `{}`, lines...); again != c {
			t.Errorf("%q: %+v, want %+v", authorization, again, c)
		}
	}
}

func TestKeysOfDifferentClientsAreNotMixedUp(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_A", creatorKey)
	s.Setenv("CB_B", managerKey)
	s.Start(t, withAPI(s, harness.Config{Callback: "key a {env.CB_A} create\nkey b {env.CB_B} create\n"}, ""))
	once := append(bearer(creatorKey), "Idempotency-Key", "one")
	other := append(bearer(managerKey), "Idempotency-Key", "one")
	first := s.create(t, `{"correlationId":"a"}`, once...)
	if second := s.create(t, `{"correlationId":"b"}`, other...); second.ID == first.ID {
		t.Error("two clients share a key")
	}
	if again := s.create(t, `{"correlationId":"a"}`, once...); again != first {
		t.Errorf("%+v, want %+v", again, first)
	}
}
