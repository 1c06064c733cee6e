package postgres

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func TestSecretsOfOtherStoresAreKept(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][][]byte{"plain": nil, "encrypted": {bytes.Repeat([]byte{7}, 32)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := testOptions(t)
			o.Keys = keys
			s := mustOpen(t, o)
			others := []callback.Secret{callback.NewSecret(), callback.NewSecret()}
			for _, kept := range [][]callback.Secret{others[:1], others, nil, {*o.Secrets.First()}} {
				if err := s.Keep(t.Context(), kept, nil); err != nil {
					t.Fatal(err)
				}
			}
			want := func(s *Store) {
				t.Helper()
				if own, err := s.OwnSecrets(t.Context()); err != nil || !slices.Equal(own, others) {
					t.Errorf("the store keeps %d secrets, %v", len(own), err)
				}
				for _, secret := range others {
					if got := s.SecretOf(&callback.Record{DerivedFrom: secret.Mark()}); got == nil || *got != secret {
						t.Error("a secret is not known")
					}
				}
				if *s.Secret() != *o.Secrets.First() {
					t.Error("callbacks are derived from another secret")
				}
			}
			want(s)
			next := mustOpen(t, o)
			want(next)
			var rows [][]byte
			if err := s.pool.QueryRow(t.Context(), s.sql(`SELECT imported FROM @meta`)).Scan(&rows); err != nil || bytes.Equal(rows[0], others[0][:]) != (keys == nil) {
				t.Errorf("what is stored: %v", err)
			}
			_ = next.Close()
			_ = s.Close()
			o.Secrets = callback.NewSecrets(others[0])
			if _, err := Open(o); !errors.Is(err, errOtherSecret) {
				t.Errorf("a secret that is kept takes the place of the store's own: %v", err)
			}
		})
	}
}

func TestRandomSecretGivesWayToOneThatIsGiven(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	given := o.Secrets
	o.Secrets, o.StoredSecret = nil, true
	s := mustOpen(t, o)
	random := *s.Secret()
	_ = s.Close()
	o.Secrets, o.StoredSecret = given, false
	s = mustOpen(t, o)
	if *s.Secret() != *given.First() {
		t.Error("callbacks are still derived from the random secret")
	}
	if got := s.SecretOf(&callback.Record{DerivedFrom: random.Mark()}); got == nil || *got != random {
		t.Error("the random secret is not known any more")
	}
	o.Secrets = callback.NewSecrets(callback.NewSecret())
	if _, err := Open(o); !errors.Is(err, errOtherSecret) {
		t.Errorf("yet another secret: %v", err)
	}
	_ = s.Close()
	o.Secrets, o.StoredSecret, o.Earlier = nil, true, []callback.Secret{*given.First()}
	s = mustOpen(t, o)
	if *s.Secret() != random {
		t.Error("the random secret is not back")
	}
	_ = s.Close()
}

func TestStoreThatIsNotThereIsNotMade(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	o.Existing = true
	if _, err := Open(o); err == nil {
		t.Fatal("a store was made")
	}
	o.Existing = false
	s := mustOpen(t, o)
	_ = s.Close()
	o.Existing = true
	s = mustOpen(t, o)
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	_ = s.Close()
	if _, err := s.OwnSecrets(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a store that is closed: %v", err)
	}
}
