package integration

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// The keys of keyed: three that partners may call with, named by where they come
// from, and two more that are known.
const (
	envKey    = "the-partner-from-the-environment"
	fileKey   = "the-partner-from-a-file"
	sumKey    = "the-partner-by-its-sum"
	otherKey  = "another-partner-altogether"
	readerKey = "one-that-may-only-read"
)

// keyed starts a server that knows the keys, none of which it may ever log.
func keyed(t *testing.T, cfg harness.Config) *stage {
	t.Helper()
	s := newStage(t)
	for _, key := range []string{envKey, fileKey, sumKey, otherKey, readerKey} {
		s.NeverLog(key)
	}
	s.Setenv("CB_KEY", envKey)
	s.Setenv("CB_OTHER_KEY", otherKey)
	s.Setenv("CB_READER_KEY", readerKey)
	file := s.WriteFile(t, "partner.key", []byte(fileKey+"\n"))
	cfg.Callback += "key env {env.CB_KEY} send\n" +
		"key file {file." + file + "} send create\n" +
		fmt.Sprintf("key sum sha256:%x send\n", sha256.Sum256([]byte(sumKey))) +
		"key other {env.CB_OTHER_KEY} send\n" +
		"key reader {env.CB_READER_KEY} read\n"
	s.Start(t, cfg)
	return s
}

// bearer returns the header line that shows a key.
func bearer(key string) []string { return []string{"Authorization", "Bearer " + key} }

// wantUnauthorized checks that a call is refused because it has no valid key.
func wantUnauthorized(t *testing.T, got *harness.Response, slug string) {
	t.Helper()
	wantProblem(t, got, http.StatusUnauthorized, slug)
	if challenge := got.Header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Bearer ") {
		t.Errorf("WWW-Authenticate is %q", challenge)
	}
}

// ownKey is a callback URL with the key that was made for it.
var ownKey = regexp.MustCompile(`^(http://callbacks\.test/cb/` + uuid + `)\?api_key=([A-Za-z0-9_-]{43})$`)

// takeKey takes the callback's own key out of its URL.
func (x *exchange) takeKey(t *testing.T) (key string) {
	t.Helper()
	parts := ownKey.FindStringSubmatch(x.url)
	if parts == nil {
		t.Fatalf("%s is %q", callbackHeader, x.url)
	}
	x.stage.NeverLog(parts[2])
	x.url = parts[1]
	return parts[2]
}

func TestKeyOfTheCallbackIsInItsURL(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "key include"})
	x := s.get(t)
	x.stillWaits(t)
	x.takeKey(t)
}

func TestKeyOfTheCallbackIsInjectedAndWorksAsBearer(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "key include\ninject header X-Key {http.callback.api_key}\ninject header X-Failure-Url {http.callback.failed_url}"})
	x := s.get(t)
	key := x.takeKey(t)
	wantHeader(t, x.received.Header, "X-Key", key)
	wantHeader(t, x.received.Header, "X-Failure-Url", x.url+"/failed?api_key="+key)
	wantStatus(t, x.callWithAll(t, "text/plain", "by Bearer", bearer(key)...), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "by Bearer")
}

func TestCallWithoutTheCallbacksKeyConsumesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "key include\nretryable off\n" + showStatus})
	x, another := s.get(t), s.get(t)
	key, anothers := x.takeKey(t), another.takeKey(t)
	for name, test := range map[string]struct {
		query, slug string
		lines       []string
	}{
		"no key":                {slug: "key-required"},
		"empty key":             {query: "?api_key=", slug: "key-required"},
		"another scheme":        {slug: "key-required", lines: []string{"Authorization", "Basic " + key}},
		"wrong key":             {query: "?api_key=wrong", slug: "key-unknown"},
		"wrong Bearer":          {slug: "key-unknown", lines: bearer("wrong")},
		"another callback's":    {query: "?api_key=" + anothers, slug: "key-unknown"},
		"cut short":             {query: "?api_key=" + key[:42], slug: "key-unknown"},
		"in other case":         {query: "?api_key=" + strings.ToUpper(key), slug: "key-unknown"},
		"two wrong ones":        {query: "?api_key=wrong", slug: "key-unknown", lines: bearer("wrong, too")},
		"another's name for it": {query: "?API_KEY=" + key, slug: "key-required"},
	} {
		t.Run(name, func(t *testing.T) {
			to := *x
			to.url += test.query
			wantUnauthorized(t, to.callWithAll(t, "text/plain", "no", test.lines...), test.slug)
			x.wantPhase(t, "waiting")
		})
	}
	x.url += "?api_key=" + key
	x.stillWaits(t)
}

func TestNamedKeyWorksWhereverItComesFrom(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key env file sum"})
	for name, key := range map[string]string{"env": envKey, "file": fileKey, "sum": sumKey} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := s.get(t)
			if !callbackURLForm.MatchString(x.url) {
				t.Errorf("%s is %q", callbackHeader, x.url)
			}
			wantUnauthorized(t, x.call(t, "text/plain", "no"), "key-required")
			wantStatus(t, x.callWithAll(t, "text/plain", "by Bearer", bearer(key)...), http.StatusOK)
			wantAnswer(t, x.Answer(t), http.StatusOK, "by Bearer")

			inURL := s.get(t)
			inURL.url += "?api_key=" + url.QueryEscape(key)
			inURL.stillWaits(t)
		})
	}
}

func TestNamedKeyThatIsNotListedIsForbidden(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key env\n" + showStatus})
	x := s.get(t)
	for _, key := range []string{otherKey, readerKey} {
		wantProblem(t, x.callWithAll(t, "text/plain", "no", bearer(key)...), http.StatusForbidden, "key-not-allowed")
	}
	wantUnauthorized(t, x.callWithAll(t, "text/plain", "no", bearer("nobody's key at all")...), "key-unknown")
	x.wantPhase(t, "waiting")
	wantStatus(t, x.callWithAll(t, "text/plain", "yes", bearer(envKey)...), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "yes")
}

func TestNamedKeyThatMaySendWorksBesideTheCallbacksOwn(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key include"})
	x := s.get(t)
	x.takeKey(t)
	wantProblem(t, x.callWithAll(t, "text/plain", "no", bearer(readerKey)...), http.StatusForbidden, "key-not-allowed")
	wantStatus(t, x.callWithAll(t, "text/plain", "yes", bearer(otherKey)...), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "yes")
}

func TestServersKeyIsAskedForBeforeTheStateIsLookedAt(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Public: "callback_server {\n\tkey env\n}", Hold: showStatus})
	x := s.get(t)
	unknown := *x
	unknown.url = harness.BaseURL + "/cb/00000000-0000-4000-8000-000000000000"
	for name, lines := range map[string][]string{"no key": nil, "wrong key": bearer("wrong"), "another key": bearer(otherKey), "reader": bearer(readerKey)} {
		known, guess := x.callWithAll(t, "text/plain", "no", lines...), unknown.callWithAll(t, "text/plain", "no", lines...)
		if known.Status != http.StatusUnauthorized && known.Status != http.StatusForbidden {
			t.Errorf("%s: the status is %d", name, known.Status)
		}
		wantSameAnswer(t, guess, known)
	}
	wantUnauthorized(t, unknown.call(t, "text/plain", "no"), "key-required")
	wantProblem(t, unknown.callWithAll(t, "text/plain", "guess", bearer(envKey)...), http.StatusNotFound, "unknown-state")
	x.wantPhase(t, "waiting")
	wantStatus(t, x.callWithAll(t, "text/plain", "yes", bearer(envKey)...), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "yes")
}

func TestKeyInTheURLAndTheServersKeyAreShownTogether(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Public: "callback_server {\n\tkey env\n}", Hold: "key include"})
	x := s.get(t)
	wantUnauthorized(t, x.call(t, "text/plain", "no"), "key-unknown")
	wantStatus(t, x.callWithAll(t, "text/plain", "yes", bearer(envKey)...), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, "yes")
}

// wantSameAnswer checks that two answers differ in their date at most.
func wantSameAnswer(t *testing.T, got, want *harness.Response) {
	t.Helper()
	wantAnswer(t, got, want.Status, string(want.Body))
	if len(got.Header) != len(want.Header) {
		t.Errorf("the header is %v, want %v", got.Header, want.Header)
	}
	for name, values := range want.Header {
		if name != "Date" {
			wantHeader(t, got.Header, name, values...)
		}
	}
}

func TestKeysAreNeitherStoredNorHandedOn(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{
		Public: "log\ncallback_server",
		Hold: "key include\n" + showStatus +
			`respond "{http.callback.call.query.api_key}|{http.callback.call.header.Authorization}|{http.callback.call.query.note}"`,
	})
	own, named := s.get(t), s.get(t)
	key := own.takeKey(t)
	named.takeKey(t)
	own.url += "?note=kept&api_key=" + key
	wantAnswer(t, own.call(t, "text/plain", "stored body"), http.StatusOK, "||kept")
	named.url += "?note=kept"
	wantAnswer(t, named.callWithAll(t, "text/plain", "stored body", bearer(envKey)...), http.StatusOK, "||kept")

	for _, x := range []*exchange{own, named} {
		for _, seen := range []*harness.Response{x.Answer(t), s.fetch(t, x.statusURL(t)), s.fetch(t, x.statusURL(t)+"/result")} {
			wantStatus(t, seen, http.StatusOK)
			wantNoKey(t, fmt.Sprint(seen.Header, string(seen.Body)), key)
		}
	}
	loaded := s.Loaded(t)
	if !strings.Contains(loaded, "{env.CB_KEY}") {
		t.Error("the configuration does not name where the key comes from")
	}
	wantNoKey(t, loaded, key)
	s.wantNoKeyInStore(t, key)
}

// wantNoKey checks that text holds neither the key nor a named one.
func wantNoKey(t *testing.T, text, key string) {
	t.Helper()
	for _, secret := range []string{key, envKey, fileKey, sumKey} {
		if strings.Contains(text, secret) {
			t.Errorf("the key %q is in %s", secret, short([]byte(text)))
		}
	}
}

// wantNoKeyInStore ends the server and checks the bytes of everything in its store.
func (s *stage) wantNoKeyInStore(t *testing.T, key string) {
	t.Helper()
	s.Terminate(t)
	s.Exited(t, exitWithin)
	if !s.storeContains(t, "stored body") {
		t.Error("the call's body is not where it was looked for")
	}
	raw, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{key, string(raw), envKey} {
		if s.storeContains(t, secret) {
			t.Error("the store holds a key")
		}
	}
}
