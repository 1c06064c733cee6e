package integration

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// The secrets of a store, as the configuration has them.
const (
	firstSecret = `"the first secret of a store that was rotated"`
	nextSecret  = `"the next secret, which has come after the first"`
)

// storeWith returns the store of a configuration with these options.
func (s *stage) storeWith(options ...string) string {
	if len(options) == 0 {
		return s.Path("store")
	}
	return s.Path("store") + " {\n\t" + strings.Join(options, "\n\t") + "\n}"
}

// rotating returns a configuration with an API and these options of the store.
func (s *stage) rotating(options ...string) harness.Config {
	return withAPI(s, harness.Config{Timeout: "500ms", Store: s.storeWith(options...)}, "key off")
}

// keepsURLs makes a callback by the API and one by a request, restarts the server with
// another store, and checks that all URLs are the same.
func (s *stage) keepsURLs(t *testing.T, restart func()) {
	t.Helper()
	const body = `{"data":{"order":7},"includeApiKey":true}`
	key := s.path()
	made := s.create(t, body, idempotencyKey, key)
	x, p := s.timedOut(t)
	async := func() *http.Request {
		req := withKey(t, key, key, "order")
		req.Header.Set("Prefer", "respond-async")
		return req
	}
	parks := s.forward(t, harness.HTTP1, async())
	was := s.wantParked(t, parks.Answer(t))
	restart()
	if is := s.wantParked(t, s.again(t, async()).Answer(t)); is != was {
		t.Errorf("the repeated request is told %+v, and was %+v", is, was)
	}
	again := s.create(t, body, idempotencyKey, key)
	if again != made {
		t.Errorf("it is shown as %+v, and was %+v", again, made)
	}
	if st := s.status(t, made.StatusURL); made.ResultURL != "" && st.Phase != "waiting" {
		t.Errorf("it is %s", st.Phase)
	}
	wantStatus(t, s.callURL(t, http.MethodPost, made.CallbackURL, "paid"), http.StatusOK)
	wantAnswer(t, s.fetch(t, made.ResultURL), http.StatusOK, "paid")
	x.resolve(t, "late")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "late")
	parks.resolve(t, "parked")
	wantAnswer(t, s.fetch(t, was.ResultURL), http.StatusOK, "parked")
}

func TestRotationOfTheSecretKeepsEveryURL(t *testing.T) {
	t.Parallel()
	for name, run := range map[string][]string{
		"configured":         {"secret " + firstSecret, "secret " + nextSecret + " " + firstSecret},
		"stored, configured": {"", "secret " + nextSecret},
		"configured, stored": {"secret " + firstSecret, "secret stored " + firstSecret},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.Start(t, s.rotating(run[0]))
			s.keepsURLs(t, func() {
				s.Kill(t)
				s.Start(t, s.rotating(run[1]))
			})
			s.keepsURLs(t, func() { s.MustReload(t, s.rotating(run[1], "max_size 10GiB")) })
		})
	}
}

// What needs no secret goes on without it, and what needs it says so.
func TestCallbackWhoseSecretIsNotConfiguredAnyMoreIsCalledAndRead(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, s.rotating("secret "+firstSecret))
	const withKey = `{"includeApiKey":true}`
	plain, own := s.create(t, `{}`, idempotencyKey, "plain"), s.create(t, withKey, idempotencyKey, "own")
	x, p := s.timedOut(t)
	s.Terminate(t)
	s.Exited(t, exitWithin)

	s.Start(t, s.rotating("secret "+nextSecret))
	s.logged(t, "callbacks were made with a secret that is not configured any more")
	for key, body := range map[string]string{"plain": `{}`, "own": withKey} {
		wantProblem(t, s.api(t, http.MethodPost, "", body, idempotencyKey, key), http.StatusServiceUnavailable, "secret-gone")
	}
	if shown := s.show(t, plain.ID); shown.Phase != "waiting" || shown.ResultURL != "" {
		t.Errorf("it is shown as %+v", shown)
	}
	wantProblem(t, s.callURL(t, http.MethodPost, own.CallbackURL, "paid"), http.StatusServiceUnavailable, "secret-gone")
	wantStatus(t, s.callURL(t, http.MethodPost, plain.CallbackURL, "paid"), http.StatusOK)
	wantAnswer(t, s.fetch(t, plain.ResultURL), http.StatusOK, "paid")
	x.resolve(t, "late")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "late")

	// Given again, it is used again.
	s.MustReload(t, s.rotating("secret "+nextSecret+" "+firstSecret))
	if again := s.create(t, withKey, idempotencyKey, "own"); again != own {
		t.Errorf("it is shown as %+v, and was %+v", again, own)
	}
	wantStatus(t, s.callURL(t, http.MethodPost, own.CallbackURL, "paid"), http.StatusOK)
}

func TestReloadWithOtherSecretsTakesEffectOrIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, s.rotating("secret "+firstSecret))
	x := s.get(t)
	before := s.create(t, `{}`, idempotencyKey, "before")
	for says, options := range map[string][]string{
		"shorter than 32 bytes": {`secret "of sixteen bytes" ` + firstSecret},
		"restart Caddy":         {"secret " + firstSecret, "encryption_key " + strings.Repeat("ab", 16)},
	} {
		if err := s.Reload(t, s.rotating(options...)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("the reload: %v", err)
		}
	}
	if again := s.create(t, `{}`, idempotencyKey, "before"); again != before {
		t.Errorf("after reloads that were refused it is shown as %+v, and was %+v", again, before)
	}
	s.MustReload(t, s.rotating("secret "+nextSecret+" "+firstSecret))
	x.stillWaits(t)
	after := s.create(t, `{}`, idempotencyKey, "after")
	s.Kill(t)

	s.Start(t, s.rotating("secret "+nextSecret))
	if again := s.create(t, `{}`, idempotencyKey, "after"); again != after {
		t.Errorf("it is shown as %+v, and was %+v", again, after)
	}
	wantProblem(t, s.api(t, http.MethodPost, "", `{}`, idempotencyKey, "before"), http.StatusServiceUnavailable, "secret-gone")
	wantStatus(t, s.callURL(t, http.MethodPost, before.CallbackURL, "paid"), http.StatusOK)
}

func TestNewStoreNeedsASecretThatIsLongEnough(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	code, output := s.StartFails(t, s.rotating(`secret "of sixteen bytes"`))
	if code == 0 || !strings.Contains(output, "secret is shorter than 32 bytes") || !strings.Contains(output, "openssl rand -base64 32") {
		t.Errorf("exit code %d: %s", code, output)
	}
	s.Start(t, s.rotating("secret "+firstSecret))
	s.get(t).stillWaits(t)
}

// The keys of a store, of different lengths.
var rotatedKeys = []string{strings.Repeat("ab", 16), strings.Repeat("cd", 32), strings.Repeat("ef", 24)}

// encryptedWith returns the option of the store for these keys.
func encryptedWith(keys ...int) string {
	option := "encryption_key"
	for _, key := range keys {
		option += " " + rotatedKeys[key]
	}
	return option
}

// rotationPoints are the moments of a change of encryption_key.
var rotationPoints = []string{"rotation.numbered", "rotation.sealed", "rotation.prepared", "rotation.done"}

func TestCrashInTheRotationOfTheKeyLosesNothing(t *testing.T) {
	t.Parallel()
	for _, point := range rotationPoints {
		for name, next := range map[string]string{"goes on": encryptedWith(1, 0), "goes back": encryptedWith(0, 1), "another": encryptedWith(2, 0, 1)} {
			t.Run(point+" "+name, func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				s.Start(t, s.rotating(encryptedWith(0)))
				made := s.create(t, `{}`, idempotencyKey, "made")
				small, smallProblem := s.timedOut(t)
				large, largeProblem := s.timedOut(t)
				text := noise(200 << 10)
				small.resolve(t, "small")
				large.resolve(t, text)
				s.Kill(t)

				s.FailAt(point, "kill")
				if code, output := s.StartFails(t, s.rotating(encryptedWith(1, 0))); code != -1 || !strings.Contains(output, "failpoint "+point) {
					t.Fatalf("it has ended with code %d: %s", code, output)
				}
				s.FailAt("", "")
				s.Start(t, s.rotating(next))
				wantAnswer(t, s.fetch(t, smallProblem.ResultURL), http.StatusOK, "small")
				wantAnswer(t, s.fetch(t, largeProblem.ResultURL), http.StatusOK, text)
				if again := s.create(t, `{}`, idempotencyKey, "made"); again != made {
					t.Errorf("it is shown as %+v, and was %+v", again, made)
				}
				s.get(t).stillWaits(t)
			})
		}
	}
}

func TestKeyOfAStoreIsRotatedAndThenLeftOut(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, s.rotating(encryptedWith(0)))
	x, p := s.timedOut(t)
	text := noise(200 << 10)
	x.resolve(t, text)
	if err := s.Reload(t, s.rotating(encryptedWith(1, 0))); err == nil || !strings.Contains(err.Error(), "restart Caddy") {
		t.Errorf("the reload: %v", err)
	}
	s.Terminate(t)
	s.Exited(t, exitWithin)

	s.Start(t, s.rotating(encryptedWith(1, 0)))
	s.logged(t, "encryption_key has changed")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, text)
	s.Terminate(t)
	s.Exited(t, exitWithin)
	for keys, says := range map[string]string{
		encryptedWith(0): "encryption_key <new> <old>", encryptedWith(1): "give it behind the first one: encryption_key <new> <old>", "": "the store is encrypted",
	} {
		if code, output := s.StartFails(t, s.rotating(keys)); code == 0 || !strings.Contains(output, says) {
			t.Errorf("with %q: exit code %d: %s", keys, code, output)
		}
	}

	s.Start(t, s.rotating(encryptedWith(1, 0)))
	wantStatus(t, s.admin(t, http.MethodGet, "/"+p.ID, ""), http.StatusOK)
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, text)
}

// Secrets and keys are rotated over and over under a load, each time after a crash that may
// come in the middle of it.
func TestRotationUnderLoadLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	random, from := chance(t)
	l := newLoad(t)
	stop, number := make(chan struct{}), new(atomic.Int64)
	config := func(turn int) harness.Config {
		cfg := l.config()
		secrets := []string{firstSecret, nextSecret, `"a third secret, which is as long as they are"`}
		var keys []int
		for i := range rotatedKeys {
			keys = append(keys, (turn+i)%len(rotatedKeys))
		}
		turn %= len(secrets)
		secrets = append(secrets[turn:], secrets[:turn]...)
		cfg.Store = l.storeWith("secret "+strings.Join(secrets, " "), encryptedWith(keys...))
		return cfg
	}
	l.begin(func() { l.run(rand.New(rand.NewPCG(from, 1)), number, stop) })
	const turns = 12 / harness.TimeFactor
	for turn := range turns {
		l.Start(t, config(turn))
		l.power.set(true)
		<-time.After(time.Duration(random.IntN(int(700 * time.Millisecond))))
		l.power.set(false)
		l.Kill(t)
	}
	close(stop)
	l.Start(t, config(turns))
	l.power.set(true)
	l.finish(t)
	l.figures("%d times rotated, after kill -9", turns)
}

func TestBackgroundWorkThatNeedsAGoneSecretWaitsForIt(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	parking := func(upstream, secrets string) harness.Config {
		return withAPI(s, harness.Config{
			Store:   s.storeWith("secret " + secrets),
			Private: "callback park {\nname orders\ncall {\nreverse_proxy unix/" + s.Path(upstream) + "\n}\n}",
		}, "key off")
	}
	s.Start(t, parking("nobody.sock", firstSecret))
	path := s.path()
	p := s.wantParked(t, harness.Do(t, s.Client(t, harness.HTTP1), harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order")))
	s.Kill(t)

	s.Start(t, parking("partner.sock", nextSecret))
	harness.Eventually(t, "the attempt has failed for want of the secret", func() bool {
		return strings.Contains(string(s.api(t, http.MethodGet, "/"+p.ID, "").Body), "is not configured any more")
	})
	if n := s.partner.Arrived(path); n != 0 {
		t.Errorf("the partner has got %d requests", n)
	}
	s.MustReload(t, parking("partner.sock", nextSecret+" "+firstSecret))
	url := s.partner.Received(t, path).Header.Get(callbackHeader)
	s.NeverLog(anyUUID.FindString(url))
	wantStatus(t, s.callURL(t, http.MethodPost, url, "done"), http.StatusOK)
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "done")
}
