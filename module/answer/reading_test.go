package answer

import (
	"errors"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/store"
)

func TestNewestIsShownHoweverOftenABodyIsReplaced(t *testing.T) {
	other := errors.New("another error")
	for name, c := range map[string]struct {
		errs  []error
		shown int
		want  error
	}{
		"at once":   {[]error{nil}, 1, nil},
		"at last":   {[]error{store.ErrRemoved, store.ErrRemoved, nil}, 3, nil},
		"never":     {[]error{store.ErrRemoved}, mostTries, store.ErrRemoved},
		"an error":  {[]error{other}, 1, other},
		"one later": {[]error{store.ErrRemoved, other}, 2, other},
	} {
		shown := 0
		err := Newest(func() error {
			shown++
			return c.errs[min(shown, len(c.errs))-1]
		})
		if shown != c.shown || !errors.Is(err, c.want) {
			t.Errorf("%s: shown %d times: %v", name, shown, err)
		}
	}
}
