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

// The file secret holds the random secret that is made with a store, and the file
// imported_secrets those of other stores whose callbacks were imported, one a line: 64
// hexadecimal digits. In an encrypted store sealedMark precedes them, and they are nonce,
// content and tag.
const (
	secretFile   = "secret"
	importedFile = "imported_secrets"
	sealedMark   = "sealed "
)

// readStored returns the secret in the store's directory, nil if there is none. current says
// that the file is as writeStored would write it.
func (s *Store) readStored() (secret *callback.Secret, current bool, err error) {
	secrets, current, err := s.readSecrets(secretFile)
	if err == nil && len(secrets) > 1 {
		err = errNoSecret(secretFile)
	}
	if err != nil || len(secrets) == 0 {
		return nil, current, err
	}
	return &secrets[0], current, nil
}

// readSecrets returns the secrets in a file of the store's directory, none if it is not there.
// current says that the file is as writeSecrets would write it.
func (s *Store) readSecrets(file string) (secrets []callback.Secret, current bool, err error) {
	b, err := os.ReadFile(filepath.Join(s.options.Dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	current = true
	for line := range strings.Lines(strings.TrimSpace(string(b)) + "\n") {
		digits, sealed := strings.CutPrefix(strings.TrimSpace(line), sealedMark)
		raw, err := hex.DecodeString(digits)
		asIs := sealed == (len(s.keys) > 0)
		if err == nil && sealed {
			if raw, asIs = s.unseal(raw); raw == nil {
				return nil, false, errSealed(file)
			}
		}
		var secret callback.Secret
		if err != nil || len(raw) != len(secret) {
			return nil, false, errNoSecret(file)
		}
		copy(secret[:], raw)
		secrets, current = append(secrets, secret), current && asIs
	}
	return secrets, current, nil
}

// errNoSecret: a file does not hold what it should.
func errNoSecret(file string) error {
	return fmt.Errorf("%w: its file %s does not hold a secret. Restore it from a backup, or give the secret in the configuration", store.ErrDamaged, file)
}

// errSealed: no key that is configured opens the file.
func errSealed(file string) error {
	return fmt.Errorf("%w: no encryption_key that is given opens its file %s. Restore that from a backup, or give the key with which it was sealed: encryption_key <new> <old>",
		store.ErrDamaged, file)
}

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

// writeStored writes the random secret into the store's directory.
func (s *Store) writeStored(secret *callback.Secret) error {
	return s.writeSecrets(secretFile, []callback.Secret{*secret})
}

// writeSecrets writes secrets into a file of the store's directory, sealed with the first key
// if there is one.
func (s *Store) writeSecrets(file string, secrets []callback.Secret) error {
	var b []byte
	for _, secret := range secrets {
		content, mark := secret[:], ""
		if len(s.keys) > 0 {
			seal := s.keys[0].seal
			nonce := make([]byte, seal.NonceSize(), seal.NonceSize()+len(content)+seal.Overhead())
			_, _ = rand.Read(nonce)
			content, mark = seal.Seal(nonce, nonce, content, []byte(secretFile)), sealedMark
		}
		b = append(b, mark+hex.EncodeToString(content)+"\n"...)
	}
	return writeFile(filepath.Join(s.options.Dir, file), b)
}

// resealStored writes the secrets in the store's directory anew, if they are not sealed as
// they are to be.
func (s *Store) resealStored() error {
	for _, file := range []string{secretFile, importedFile} {
		secrets, current, err := s.readSecrets(file)
		if err != nil || current {
			// What cannot be read was reported when the secrets were chosen.
			continue
		}
		if err := s.writeSecrets(file, secrets); err != nil {
			return err
		}
	}
	return nil
}
