package postgres

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/store"
)

// What is encrypted has a key of its own, derived from the store's and from what it is: random
// nonces under one key would run out. It begins with sealedMagic and the mark of the store's
// key. Names, phases, times and digests are not encrypted.
const (
	sealedMagic  = 0xe1
	markLength   = 8
	sealedHead   = 1 + markLength
	nonceLength  = 12
	sealedLonger = sealedHead + nonceLength + 16
)

// keyring has the keys with which the store is encrypted. Nil leaves it unencrypted.
type keyring struct {
	first  *key
	byMark map[[markLength]byte]*key
}

// key is a key of the store.
type key struct {
	raw  []byte
	mark [markLength]byte
}

// newKeyring returns the ring with these keys, the one to encrypt with first.
func newKeyring(raw [][]byte) *keyring {
	if len(raw) == 0 {
		return nil
	}
	ring := &keyring{byMark: make(map[[markLength]byte]*key)}
	for _, r := range raw {
		k := &key{raw: r}
		copy(k.mark[:], k.derive("mark", nil))
		ring.byMark[k.mark] = k
		if ring.first == nil {
			ring.first = k
		}
	}
	return ring
}

// derive returns the key for one purpose and one thing.
func (k *key) derive(purpose string, id []byte) []byte {
	mac := hmac.New(sha256.New, k.raw)
	mac.Write([]byte(purpose))
	mac.Write([]byte{0})
	mac.Write(id)
	return mac.Sum(nil)
}

func (k *key) cipher(purpose string, id []byte) cipher.AEAD {
	block, err := aes.NewCipher(k.derive(purpose, id))
	if err != nil {
		panic(err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return seal
}

// seal encrypts what is stored of one thing.
func (r *keyring) seal(purpose string, id, content []byte) []byte {
	if r == nil {
		return content
	}
	b := make([]byte, sealedHead+nonceLength, len(content)+sealedLonger)
	b[0] = sealedMagic
	copy(b[1:], r.first.mark[:])
	nonce := b[sealedHead:]
	_, _ = rand.Read(nonce)
	return r.first.cipher(purpose, id).Seal(b, nonce, content, b[:sealedHead])
}

// Errors of encryption.
var (
	errOpenKey     = fmt.Errorf("%w: it is encrypted with a key that is not given", store.ErrDamaged)
	errUnencrypted = fmt.Errorf("%w: it is not encrypted as it must be", store.ErrDamaged)
)

// open decrypts what seal has returned, and appends it to room.
func (r *keyring) open(room []byte, purpose string, id, b []byte) ([]byte, error) {
	if r == nil {
		return append(room, b...), nil
	}
	if len(b) < sealedLonger || b[0] != sealedMagic {
		return nil, errUnencrypted
	}
	k := r.byMark[[markLength]byte(b[1:sealedHead])]
	if k == nil {
		return nil, errOpenKey
	}
	content, err := k.cipher(purpose, id).Open(room, b[sealedHead:sealedHead+nonceLength], b[sealedHead+nonceLength:], b[:sealedHead])
	if err != nil {
		return nil, errUnencrypted
	}
	return content, nil
}

// longer returns by how much what seal returns is longer than the content.
func (r *keyring) longer() int {
	if r == nil {
		return 0
	}
	return sealedLonger
}

// Errors of the keys that are given when the store is opened.
var (
	errNotEncrypted = errors.New("the store was created without encryption_key, and cannot be encrypted later: leave that out, or use another schema")
	errNoKey        = errors.New("the store is encrypted: give its encryption_key")
	errOtherKey     = errors.New("encryption_key is another one than that of the other nodes; give all of them the same, and those that were used before behind it")
)

// checkKeys refuses keys that are not those of the store, and notes that the first one is used.
func (s *Store) checkKeys(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var used [][]byte
		var nodes int64
		if err := tx.QueryRow(ctx, s.sql(`SELECT keys, nodes FROM @meta FOR UPDATE`)).Scan(&used, &nodes); err != nil {
			return err
		}
		switch {
		case s.keys == nil && len(used) == 0:
			return nil
		case s.keys == nil:
			return errNoKey
		case len(used) == 0 && nodes > 0:
			return errNotEncrypted
		case len(used) > 0 && !slices.ContainsFunc(used, func(m []byte) bool { return len(m) == markLength && s.keys.byMark[[markLength]byte(m)] != nil }):
			return errOtherKey
		}
		first := s.keys.first.mark[:]
		if slices.ContainsFunc(used, func(m []byte) bool { return bytes.Equal(m, first) }) {
			return nil
		}
		_, err := tx.Exec(ctx, s.sql(`UPDATE @meta SET keys = $1`), append(used, first))
		return err
	})
}
