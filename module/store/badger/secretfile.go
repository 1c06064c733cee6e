package badger

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// The file secret holds the random secret that is made with a store: 64 hexadecimal digits.
// In an encrypted store sealedMark precedes them, and they are nonce, content and tag.
const (
	secretFile = "secret"
	sealedMark = "sealed "
)

// secretPath returns the path of the file.
func (s *Store) secretPath() string { return filepath.Join(s.options.Dir, secretFile) }

// readStored returns the secret in the store's directory, nil if there is none. current says
// that the file is as writeStored would write it.
func (s *Store) readStored() (secret *callback.Secret, current bool, err error) {
	b, err := os.ReadFile(s.secretPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	digits, sealed := strings.CutPrefix(strings.TrimSpace(string(b)), sealedMark)
	raw, err := hex.DecodeString(digits)
	current = sealed == (len(s.keys) > 0)
	if err == nil && sealed {
		if raw, current = s.unseal(raw); raw == nil {
			return nil, false, errSealed
		}
	}
	secret = new(callback.Secret)
	if err != nil || len(raw) != len(secret) {
		return nil, false, fmt.Errorf("%w: its file %s does not hold a secret. Restore it from a backup, or give the secret in the configuration", store.ErrDamaged, secretFile)
	}
	copy(secret[:], raw)
	return secret, current, nil
}

// errSealed: no key that is configured opens the file.
var errSealed = fmt.Errorf("%w: no encryption_key that is given opens its file %s. Restore that from a backup, or give the key with which it was sealed: encryption_key <new> <old>",
	store.ErrDamaged, secretFile)

// unseal opens what was sealed with one of the keys, nil if it was not. first says that it was
// the first one.
func (s *Store) unseal(sealed []byte) (content []byte, first bool) {
	for i, key := range s.keys {
		size := key.seal.NonceSize()
		if len(sealed) < size {
			return nil, false
		}
		if content, err := key.seal.Open(nil, sealed[:size], sealed[size:], []byte(secretFile)); err == nil {
			return content, i == 0
		}
	}
	return nil, false
}

// writeStored writes the secret into the store's directory, sealed with the first key if
// there is one.
func (s *Store) writeStored(secret *callback.Secret) error {
	content, mark := secret[:], ""
	if len(s.keys) > 0 {
		seal := s.keys[0].seal
		nonce := make([]byte, seal.NonceSize(), seal.NonceSize()+len(content)+seal.Overhead())
		_, _ = rand.Read(nonce)
		content, mark = seal.Seal(nonce, nonce, content, []byte(secretFile)), sealedMark
	}
	return writeFile(s.secretPath(), []byte(mark+hex.EncodeToString(content)+"\n"))
}

// resealStored writes the secret in the store's directory anew, if it is not sealed as it is
// to be.
func (s *Store) resealStored() error {
	secret, current, err := s.readStored()
	if err != nil || current {
		// What cannot be read was reported when the secrets were chosen.
		return nil
	}
	return s.writeStored(secret)
}
