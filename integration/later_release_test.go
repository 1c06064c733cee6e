package integration

import (
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/badger"
)

// fromLaterRelease makes a store with a callback of a later release, whose policy needs a
// feature that this one does not know.
func fromLaterRelease(t *testing.T, dir string) callback.Issued {
	t.Helper()
	s, err := badger.Open(badger.Options{Dir: dir, MinFree: badger.MinMinFree, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	policy := &callback.Policy{BaseURL: harness.BaseURL, Retain: time.Hour}
	if err := policy.Compile(); err != nil {
		t.Fatal(err)
	}
	policy.Needs = []string{"tomorrow"}
	encoded, err := policy.Encode()
	if err == nil {
		policy, err = callback.DecodePolicy(encoded)
	}
	if err == nil {
		err = s.PutPolicy(t.Context(), policy)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := callback.New(s.Secret(), policy, callback.Spec{Name: "orders", ExpiresIn: time.Hour}, callback.At(time.Now()))
	commit, err := s.Create(t.Context(), r)
	if err == nil {
		err = store.Wait(t.Context(), commit)
	}
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return callback.Issued{Record: r, Policy: policy, Secret: s.Secret()}
}

func TestCallThatALaterReleaseMustJudgeIsAnsweredWith503AndNotUsedUp(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cb := fromLaterRelease(t, s.Path("store"))
	s.NeverLog(cb.State().String())
	s.Start(t, harness.Config{})
	for _, body := range []string{"", "paid"} {
		for _, url := range []string{cb.URL(), cb.FailedURL()} {
			got := s.partner.Call(t, http.MethodPost, url, "text/plain", body)
			wantProblem(t, got, http.StatusServiceUnavailable, "later-release")
			if got.Header.Get("Retry-After") == "" {
				t.Error("the call is not asked to come again")
			}
		}
	}
	path := "/" + cb.ID.String()
	wantProblem(t, s.admin(t, http.MethodPost, path+"/resolve", "paid"), http.StatusServiceUnavailable, "later-release")
	if st := s.status(t, cb.StatusURL()); st.Phase != "waiting" {
		t.Errorf("the callback is %s", st.Phase)
	}
	wantStatus(t, s.admin(t, http.MethodDelete, path, ""), http.StatusNoContent)
	if st := s.status(t, cb.StatusURL()); st.Phase != "closed" {
		t.Errorf("the callback is %s", st.Phase)
	}
}
