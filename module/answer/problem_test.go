package answer

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func TestAnswerToAKeyThatIsNotEnoughSaysHowToShowOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		caller    callback.Caller
		status    int
		challenge string
	}{
		{callback.Caller{}, http.StatusUnauthorized, `Bearer realm="callback"`},
		{callback.Caller{Shown: true}, http.StatusUnauthorized, `Bearer realm="callback", error="invalid_token"`},
		{callback.Caller{Shown: true, Known: true}, http.StatusForbidden, ""},
	} {
		w := httptest.NewRecorder()
		KeyProblem(c.caller).Write(w)
		if got := w.Header().Get("Www-Authenticate"); w.Code != c.status || got != c.challenge {
			t.Errorf("%+v: %d, %s", c.caller, w.Code, got)
		}
	}
}

func TestErrorsBecomeProblems(t *testing.T) {
	for _, c := range []struct {
		err  error
		slug string
	}{
		{problem.NotJSON.With("because"), "not-json"},
		{engine.ErrBusy, "busy"},
		{callback.ErrNeeds, "later-release"},
		{callback.ErrCallHeader, "header-too-large"},
		{engine.ErrTooLarge, "too-large"},
		{engine.ErrCutShort, "cut-short"},
		{store.ErrDamaged, "damaged"},
		{store.ErrFull, "store-unavailable"},
		{store.ErrFailed, "store-unavailable"},
		{errors.New("anything"), "store-unavailable"},
	} {
		for _, err := range []error{c.err, errors.Join(errors.New("context"), c.err)} {
			if got := ProblemOf(err); got.Slug != c.slug {
				t.Errorf("%v becomes %s, want %s", err, got.Slug, c.slug)
			}
		}
	}
}
