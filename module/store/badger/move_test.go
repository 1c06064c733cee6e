package badger

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func TestSecretsOfOtherStoresAreKept(t *testing.T) {
	t.Parallel()
	key, next := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 32)
	for name, keys := range map[string][][]byte{"plain": {nil, nil}, "encrypted": {key, key}, "encrypted with another key": {key, next}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := testOptions(t, t.TempDir())
			o.EncryptionKey = keys[0]
			s := mustOpen(t, o)
			first := *s.Secret()
			others := []callback.Secret{callback.NewSecret(), callback.NewSecret()}
			for _, kept := range [][]callback.Secret{others[:1], others, nil} {
				if err := s.Keep(t.Context(), kept, []callback.Mark{others[0].Mark(), 5}); err != nil {
					t.Fatal(err)
				}
			}
			want := func(s *Store) {
				t.Helper()
				own, err := s.OwnSecrets(t.Context())
				if err != nil || !slices.Equal(own, append([]callback.Secret{first}, others...)) {
					t.Errorf("the store keeps %d secrets, %v", len(own), err)
				}
				for _, secret := range others {
					r := &callback.Record{DerivedFrom: secret.Mark()}
					if got := s.SecretOf(r); got == nil || *got != secret {
						t.Error("a secret is not known")
					}
				}
				if *s.Secret() != first {
					t.Error("callbacks are derived from another secret")
				}
			}
			want(s)
			mustClose(t, s)
			if !bytes.Equal(keys[0], keys[1]) {
				o.EncryptionKey, o.OldKeys = keys[1], keys[:1]
				mustClose(t, mustOpen(t, o))
				o.OldKeys = nil
			}
			s = mustOpen(t, o)
			want(s)
			path := filepath.Join(o.Dir, importedFile)
			b, err := os.ReadFile(path)
			info, statErr := os.Stat(path)
			if err != nil || statErr != nil || info.Mode().Perm() != 0o600 || strings.HasPrefix(string(b), sealedMark) != (keys[0] != nil) {
				t.Errorf("the file %v has %q: %v", info, b, err)
			}
			mustClose(t, s)
			if err := os.WriteFile(path, b[:len(b)-5], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(o); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), importedFile) {
				t.Errorf("with a damaged file: %v", err)
			}
		})
	}
}
