package badger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	badgerdb "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// How long a secret must be, in bytes: one that a store has not used before, and one that it has.
const (
	MinSecret     = 32
	minUsedSecret = 16
)

// Secret implements store.Store.
func (s *Store) Secret() *callback.Secret { return s.secrets.Load().First() }

// SecretOf implements store.Store.
func (s *Store) SecretOf(r *callback.Record) *callback.Secret { return s.secrets.Load().Of(r) }

// derivedFrom returns the secret that a text in the configuration stands for.
func derivedFrom(text string) callback.Secret { return sha256.Sum256([]byte(text)) }

// chooseSecrets returns the secrets that the options and the store's directory give. For a
// fresh store it makes the random one, if that is to be the first.
func (s *Store) chooseSecrets(o Options, fresh bool) (*callback.Secrets, error) {
	stored, _, err := s.readStored()
	if err != nil {
		if o.Secret == "" {
			return nil, err
		}
		s.log.Warn("the secret in the store's directory cannot be read, and is not used", zap.Error(err))
	}
	var first callback.Secret
	switch {
	case o.Secret != "":
		first = derivedFrom(o.Secret)
	case stored != nil:
		first = *stored
	case fresh, len(o.OldSecrets) > 0:
		first = callback.NewSecret()
		if err := s.writeStored(&first); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%w: its file %s is missing; without it, callback URLs that were given out cannot be shown again. Restore it from a backup, or give the secret in the configuration", store.ErrDamaged, secretFile)
	}
	var earlier []callback.Secret
	for _, text := range o.OldSecrets {
		earlier = append(earlier, derivedFrom(text))
	}
	if stored != nil {
		earlier = append(earlier, *stored)
	}
	imported, _, err := s.readSecrets(importedFile)
	if err != nil {
		return nil, err
	}
	return callback.NewSecrets(first, append(earlier, imported...)...), nil
}

// openSecrets chooses the secrets when the store is opened.
func (s *Store) openSecrets(fresh bool) error {
	secrets, err := s.chooseSecrets(s.options, fresh)
	if err != nil {
		return explain(err)
	}
	var used usedSecrets
	err = s.db.View(func(txn *badgerdb.Txn) (err error) {
		used, err = readUsed(txn)
		return err
	})
	if err == nil {
		err = s.checkSecret(s.options, secrets.First(), used, fresh)
	}
	if err == nil {
		s.secrets.Store(secrets)
	}
	return err
}

// errShort: a secret that is new to the store is too short.
var errShort = fmt.Errorf("secret is shorter than %d bytes; %s", MinSecret, config.MakeSecret)

// checkSecret refuses a short secret from which nothing was derived so far. One from which
// something was derived must stay usable.
func (s *Store) checkSecret(o Options, first *callback.Secret, used usedSecrets, fresh bool) error {
	if o.Secret == "" || len(o.Secret) >= MinSecret {
		return nil
	}
	if fresh || used.known && !slices.Contains(used.marks, first.Mark()) {
		return errShort
	}
	s.log.Warn(fmt.Sprintf("secret is shorter than %d bytes, and might be found by trying. Put a longer one in front of it: secret <new> <old>", MinSecret))
	return nil
}

// usedSecrets are the marks of the secrets from which callbacks in the store were derived, as
// the database has them.
type usedSecrets struct {
	// known is false in a database that only earlier releases have opened.
	known bool
	// marks has 0 for callbacks that those have made.
	marks []callback.Mark
}

func readUsed(txn *badgerdb.Txn) (used usedSecrets, err error) {
	b, err := value(txn, metaSecrets)
	if err != nil {
		return used, err
	}
	used.known = b != nil
	for ; len(b) >= 8; b = b[8:] {
		used.marks = append(used.marks, callback.Mark(binary.BigEndian.Uint64(b)))
	}
	return used, nil
}

func (u usedSecrets) encode() []byte {
	b := make([]byte, 0, 8*len(u.marks))
	for _, mark := range u.marks {
		b = binary.BigEndian.AppendUint64(b, uint64(mark))
	}
	return b
}

// noteSecret notes that callbacks are derived from a secret, before the first one is.
func noteSecret(txn *badgerdb.Txn, first callback.Mark, fresh bool) error {
	used, err := readUsed(txn)
	if err != nil {
		return err
	}
	if !used.known && !fresh {
		used.marks = append(used.marks, 0)
	}
	if used.known && slices.Contains(used.marks, first) {
		return nil
	}
	used.marks = append(used.marks, first)
	return txn.Set(metaSecrets, used.encode())
}

// errOtherKeys: a reload has changed what takes effect at opening only.
var errOtherKeys = errors.New("encryption_key has changed, in its first value or in those behind it: restart Caddy, a reload cannot put that into effect")

// Adopt puts the secrets of another configuration into effect. Those of the one before stay
// understood, because callbacks may have been derived from them a moment ago.
func (s *Store) Adopt(o Options) error {
	s.secretLock.Lock()
	defer s.secretLock.Unlock()
	next, err := s.adoptable(o)
	if next == nil || err != nil {
		return err
	}
	if err := s.write(func() error {
		return s.db.Update(func(txn *badgerdb.Txn) error { return noteSecret(txn, next.First().Mark(), false) })
	}); err != nil {
		return err
	}
	s.secrets.Store(next.With(*s.Secret()))
	s.adopted = o
	s.background.Go(func() { s.countGone(next) })
	return nil
}

// CanAdopt returns the error that Adopt would return now.
func (s *Store) CanAdopt(o Options) error {
	s.secretLock.Lock()
	defer s.secretLock.Unlock()
	_, err := s.adoptable(o)
	return err
}

// adoptable returns the secrets of another configuration, nil if they are the same. The
// secrets' lock must be held.
func (s *Store) adoptable(o Options) (*callback.Secrets, error) {
	if !bytes.Equal(o.EncryptionKey, s.adopted.EncryptionKey) || !slices.EqualFunc(o.OldKeys, s.adopted.OldKeys, bytes.Equal) {
		return nil, errOtherKeys
	}
	if o.Secret == s.adopted.Secret && slices.Equal(o.OldSecrets, s.adopted.OldSecrets) {
		return nil, nil
	}
	next, err := s.chooseSecrets(o, false)
	if err != nil {
		return nil, explain(err)
	}
	var used usedSecrets
	if err := s.view(func(txn *badgerdb.Txn) (err error) {
		used, err = readUsed(txn)
		return err
	}); err != nil {
		return nil, err
	}
	return next, s.checkSecret(o, next.First(), used, false)
}

// countGone says in the log how many callbacks were derived from a secret that is not among
// those, if there can be any. Secrets from which no callback in the store was derived are
// forgotten.
func (s *Store) countGone(secrets *callback.Secrets) {
	var used usedSecrets
	err := s.view(func(txn *badgerdb.Txn) (err error) {
		used, err = readUsed(txn)
		return err
	})
	if err != nil || !slices.ContainsFunc(used.marks, func(m callback.Mark) bool { return !secrets.Know(m) }) {
		return
	}
	gone := 0
	needed := make(map[callback.Mark]bool)
	err = s.eachRecord(func(b []byte) error {
		d, err := store.DerivationOf(b)
		if err != nil {
			return err
		}
		needed[d.Mark] = true
		if secrets.Find(d.Mark, d.ID, d.State) == nil {
			gone++
		}
		return nil
	})
	if err != nil {
		return
	}
	if gone > 0 {
		s.log.Warn("callbacks were made with a secret that is not configured any more. Calls to them are taken, but their URLs cannot be shown again, and their own keys cannot be checked. Give that secret behind the first one: secret <new> <old>",
			zap.Int("callbacks", gone))
	}
	_ = s.forgetSecrets(used.marks, needed)
}

// forgetSecrets removes the marks that are not needed from those that were used.
func (s *Store) forgetSecrets(marks []callback.Mark, needed map[callback.Mark]bool) error {
	s.secretLock.Lock()
	defer s.secretLock.Unlock()
	if s.space.exhausted() {
		return store.ErrFull
	}
	return s.write(func() error {
		return s.db.Update(func(txn *badgerdb.Txn) error {
			used, err := readUsed(txn)
			if err != nil {
				return err
			}
			kept := slices.DeleteFunc(slices.Clone(used.marks), func(m callback.Mark) bool {
				return m != s.Secret().Mark() && !needed[m] && slices.Contains(marks, m)
			})
			if len(kept) == len(used.marks) {
				return nil
			}
			return txn.Set(metaSecrets, usedSecrets{marks: kept}.encode())
		})
	})
}
