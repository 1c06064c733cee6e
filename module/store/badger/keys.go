package badger

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	badgerdb "github.com/dgraph-io/badger/v4"
)

// encryptionKey is an encryption key that is configured.
type encryptionKey struct {
	raw         []byte
	fingerprint fingerprint
	seal        cipher.AEAD
}

// fingerprint tells encryption keys apart. It is a part of a digest.
type fingerprint [8]byte

func newKey(raw []byte) (*encryptionKey, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte("caddy-callback encryption key "), raw...))
	return &encryptionKey{raw: raw, fingerprint: fingerprint(sum[:8]), seal: seal}, nil
}

// newKeys returns the keys of a store, the first first; none if it is not encrypted. Those
// that are given twice count once.
func newKeys(o Options) (keys []*encryptionKey, err error) {
	if o.EncryptionKey == nil {
		return nil, nil
	}
	for _, raw := range append([][]byte{o.EncryptionKey}, o.OldKeys...) {
		key, err := newKey(raw)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(keys, func(k *encryptionKey) bool { return bytes.Equal(k.raw, raw) }) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// What is wrong with the keys.
var (
	errPlain     = errors.New("the encryption_key is not the one that the store was made with; a store cannot be encrypted later")
	errEncrypted = errors.New("the store is encrypted, and no encryption_key is given; give the one that it is encrypted with")
	errWrongKey  = errors.New("the encryption_key is not the one that the store is encrypted with; give that one, and to change it, give it behind the new one: encryption_key <new> <old>")
	// errKeyMissing is wrapped by the error about bodies that cannot be read.
	errKeyMissing  = errors.New("an encryption_key is missing")
	errTooManyKeys = errors.New("bodies are encrypted with too many different keys; wait until those of the oldest callbacks are forgotten before encryption_key is changed again")
)

// findKey returns which of the keys opens a database, nil if it is not encrypted. One that
// does not exist yet is to have the first.
func findKey(database string, keys []*encryptionKey) (*encryptionKey, error) {
	_, err := os.Stat(filepath.Join(database, badgerdb.KeyRegistryFileName))
	if errors.Is(err, fs.ErrNotExist) {
		return append(keys, nil)[0], nil
	}
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if opens(database, key.raw) {
			return key, nil
		}
	}
	switch plain := opens(database, nil); {
	case plain && len(keys) > 0:
		return nil, errPlain
	case plain:
		return nil, nil
	case len(keys) == 0:
		return nil, errEncrypted
	}
	return nil, errWrongKey
}

// opens reports whether a key opens a database, be that damaged otherwise or not.
func opens(database string, key []byte) bool {
	_, err := badgerdb.OpenKeyRegistry(badgerdb.KeyRegistryOptions{Dir: database, ReadOnly: true, EncryptionKey: key})
	return !errors.Is(err, badgerdb.ErrEncryptionKeyMismatch)
}

// keyNumbers are the encryption keys by their numbers, which are in the heads of body files.
// What has no head has the number 0. The database remembers them: for each one the number and
// the fingerprint.
type keyNumbers map[byte]fingerprint

// readKeyNumbers returns nil if only earlier releases have opened the database.
func readKeyNumbers(txn *badgerdb.Txn) (keyNumbers, error) {
	b, err := value(txn, metaKeys)
	if err != nil || b == nil {
		return nil, err
	}
	numbers := make(keyNumbers)
	const entry = 1 + len(fingerprint{})
	for ; len(b) >= entry; b = b[entry:] {
		numbers[b[0]] = fingerprint(b[1:entry])
	}
	return numbers, nil
}

func (n keyNumbers) encode() (b []byte) {
	for number := range math.MaxUint8 + 1 {
		if known, ok := n[byte(number)]; ok {
			b = append(append(b, byte(number)), known[:]...)
		}
	}
	return b
}

// of returns the number of a key.
func (n keyNumbers) of(key fingerprint) (number byte, ok bool) {
	for number, known := range n {
		if known == key {
			return number, true
		}
	}
	return 0, false
}

// add gives a key a number, unless it has one.
func (n keyNumbers) add(key fingerprint) error {
	if _, ok := n.of(key); ok {
		return nil
	}
	for number := range math.MaxUint8 + 1 {
		if _, used := n[byte(number)]; !used {
			n[byte(number)] = key
			return nil
		}
	}
	return errTooManyKeys
}

// forgetKeys removes the numbers whose keys are not given and that no body needs any more. It is
// an error if one is needed.
func (s *Store) forgetKeys(numbers keyNumbers) error {
	gone := make(map[byte]bool)
	for number, known := range numbers {
		if !slices.ContainsFunc(s.keys, func(k *encryptionKey) bool { return k.fingerprint == known }) {
			gone[number] = true
		}
	}
	if len(gone) == 0 {
		return nil
	}
	needed := 0
	err := s.db.View(func(txn *badgerdb.Txn) error {
		return s.bodies.each(func(name string, number byte) error {
			if !gone[number] {
				return nil
			}
			switch _, err := txn.Get(bodyKey(name)); {
			case errors.Is(err, badgerdb.ErrKeyNotFound):
			case err != nil:
				return unreadable(err)
			default:
				needed++
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if needed > 0 {
		return fmt.Errorf("%w: %d bodies are encrypted with a key that is not given; give it behind the first one: encryption_key <new> <old>", errKeyMissing, needed)
	}
	for number := range gone {
		delete(numbers, number)
	}
	return nil
}

// settleKeys brings keys, numbers and what is sealed into line, after the database was opened
// with the key present. It may be cut off anywhere, and then goes on the next time.
func (s *Store) settleKeys(present *encryptionKey, opts badgerdb.Options) error {
	if present == nil {
		return nil
	}
	// A change that was cut off has left it.
	if err := os.RemoveAll(filepath.Join(s.options.Dir, rekeyDir)); err != nil {
		return err
	}
	if err := s.numberKeys(present); err != nil {
		return err
	}
	if err := hit(rotationNumbered); err != nil {
		return err
	}
	if err := s.resealStored(); err != nil {
		return err
	}
	if err := hit(rotationSealed); err != nil {
		return err
	}
	if present == s.keys[0] {
		return nil
	}
	if err := s.db.Close(); err != nil {
		return err
	}
	if err := rewriteRegistry(opts.Dir, present.raw, s.keys[0].raw); err != nil {
		return err
	}
	db, err := openDatabase(opts.WithEncryptionKey(s.keys[0].raw))
	if err != nil {
		return err
	}
	s.db = db
	s.log.Info("encryption_key has changed: what is stored from now on is encrypted with the new one")
	return nil
}

// numberKeys makes sure that the keys that are given have numbers, durably, before anything
// is encrypted with them.
func (s *Store) numberKeys(present *encryptionKey) error {
	var numbers keyNumbers
	err := s.db.View(func(txn *badgerdb.Txn) (err error) {
		numbers, err = readKeyNumbers(txn)
		return err
	})
	if err != nil {
		return err
	}
	before := numbers.encode()
	if numbers == nil {
		// Until then a store had one key.
		numbers = keyNumbers{0: present.fingerprint}
	}
	if err := s.forgetKeys(numbers); err != nil {
		return err
	}
	for _, key := range []*encryptionKey{present, s.keys[0]} {
		if err := numbers.add(key.fingerprint); err != nil {
			return err
		}
	}
	if after := numbers.encode(); !bytes.Equal(before, after) {
		if err := s.set(metaKeys, after); err != nil {
			return err
		}
	}
	s.bodies.use(s.keys, numbers)
	return nil
}
