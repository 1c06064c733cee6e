package badger

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// keyOf returns an encryption key of that length.
func keyOf(letter string, length int) []byte { return []byte(strings.Repeat(letter, length)) }

func withKeys(t *testing.T, dir string, keys ...[]byte) Options {
	o := testOptions(t, dir)
	if len(keys) > 0 {
		o.EncryptionKey, o.OldKeys = keys[0], keys[1:]
	}
	return o
}

// keep stores a callback with a body in a file.
func keep(t *testing.T, s *Store, text string) (*callback.Record, callback.Body) {
	t.Helper()
	body, err := s.bodies.put(bytes.Repeat([]byte(text), 20_000))
	if err != nil {
		t.Fatal(err)
	}
	r := newRecord(s, testPolicy(t, s))
	r.CorrelationID = text
	r.Call = &callback.Call{Method: "POST", Body: body}
	commit, err := s.Create(context.Background(), r)
	if err == nil {
		err = store.Wait(context.Background(), commit)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, body
}

// wholeFile writes a body as release 0.1 did.
func wholeFile(t *testing.T, s *Store, body callback.Body, text string) {
	t.Helper()
	nonce := bytes.Repeat([]byte{3}, s.bodies.seal.NonceSize())
	content := s.bodies.seal.Seal(bytes.Clone(nonce), nonce, bytes.Repeat([]byte(text), 20_000), []byte(body.File))
	if err := os.WriteFile(s.bodies.path(body.File), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantKept checks that a callback and its body are there.
func wantKept(t *testing.T, s *Store, when string, r *callback.Record, body callback.Body) {
	t.Helper()
	found, _, err := s.Find(context.Background(), store.ByID(r.ID))
	if err != nil || found.CorrelationID != r.CorrelationID || stateOf(t, s, r.ID).Digest() != r.State {
		t.Errorf("%s: %v", when, err)
	}
	if got, err := readBody(t, s, body); err != nil || !bytes.Equal(got, bytes.Repeat([]byte(r.CorrelationID), 20_000)) {
		t.Errorf("%s: %d bytes are read: %v", when, len(got), err)
	}
}

func numbersOf(t *testing.T, s *Store) (numbers keyNumbers) {
	t.Helper()
	if err := s.view(func(txn *badgerdb.Txn) (err error) {
		numbers, err = readKeyNumbers(txn)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return numbers
}

func TestStoreOutlivesTheRotationOfItsKey(t *testing.T) {
	dir := t.TempDir()
	a, b, c := keyOf("a", 16), keyOf("b", 32), keyOf("c", 24)
	s := mustOpen(t, withKeys(t, dir, a))
	first, firstBody := keep(t, s, "first text")
	old, oldBody := keep(t, s, "from 0.1")
	wholeFile(t, s, oldBody, "from 0.1")
	mustClose(t, s)

	for _, run := range [][][]byte{{b, a}, {b, a}, {c, b, a}, {a, c, b}, {b, b, a, c}} {
		s = mustOpen(t, withKeys(t, dir, run...))
		wantKept(t, s, "rotated", first, firstBody)
		wantKept(t, s, "rotated", old, oldBody)
		r, body := keep(t, s, "another text")
		wantKept(t, s, "new", r, body)
		if number, err := numberOf(s.bodies.path(body.File)); err != nil || numbersOf(t, s)[number] != s.keys[0].fingerprint {
			t.Errorf("a new body has the key number %d, %v", number, err)
		}
		mustClose(t, s)
		// What was new opens with its key alone, but for the bodies.
		if !opens(filepath.Join(dir, databaseDir), run[0]) || opens(filepath.Join(dir, databaseDir), nil) {
			t.Error("the database is not encrypted with the first key")
		}
		for _, other := range run[1:] {
			if !bytes.Equal(other, run[0]) && opens(filepath.Join(dir, databaseDir), other) {
				t.Error("the database still opens with an old key")
			}
		}
		if _, err := os.Stat(filepath.Join(dir, rekeyDir)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("something is left of the rotation: %v", err)
		}
	}
}

// Whoever has the old key and an old copy of the directory has the keys that Badger has made
// until then. What is written after the rotation must not be encrypted with one of them.
func TestAfterTheRotationNothingIsEncryptedWithAKeyFromBefore(t *testing.T) {
	dir := t.TempDir()
	a, b := keyOf("a", 16), keyOf("b", 32)
	latest := func(key []byte) string {
		t.Helper()
		keys, err := badgerdb.OpenKeyRegistry(badgerdb.KeyRegistryOptions{
			Dir: filepath.Join(dir, databaseDir), ReadOnly: true, EncryptionKey: key, EncryptionKeyRotationDuration: 1 << 62,
		})
		if err != nil {
			t.Fatal(err)
		}
		data, err := keys.LatestDataKey()
		if err != nil {
			t.Fatal(err)
		}
		return string(data.Data)
	}
	s := mustOpen(t, withKeys(t, dir, a))
	keep(t, s, "a text")
	mustClose(t, s)
	before := latest(a)
	s = mustOpen(t, withKeys(t, dir, b, a))
	after := latest(b)
	mustClose(t, s)
	if after == before || len(after) != len(b) {
		t.Errorf("the key is the one from before, or has %d bytes", len(after))
	}
}

func TestKeyThatIsMissingIsNamedAtOpening(t *testing.T) {
	a, b, c := keyOf("a", 16), keyOf("b", 32), keyOf("c", 32)
	plain := filledStore(t, 1)
	single, rotated := t.TempDir(), t.TempDir()
	s := mustOpen(t, withKeys(t, single, a))
	keep(t, s, "a text")
	mustClose(t, s)
	s = mustOpen(t, withKeys(t, rotated, a))
	r, body := keep(t, s, "a text")
	mustClose(t, s)
	mustClose(t, mustOpen(t, withKeys(t, rotated, b, a)))

	for name, tc := range map[string]struct {
		options Options
		says    string
	}{
		"a key for a plain store":           {withKeys(t, plain, a), "cannot be encrypted later"},
		"keys for a plain store":            {withKeys(t, plain, a, b), "cannot be encrypted later"},
		"no key for an encrypted one":       {withKeys(t, single), "the store is encrypted, and no encryption_key is given"},
		"another key":                       {withKeys(t, single, b), "encryption_key is not the one that the store is encrypted with"},
		"other keys":                        {withKeys(t, single, b, c), "encryption_key <new> <old>"},
		"rotated, the old key alone":        {withKeys(t, rotated, a), "encryption_key is not the one that the store is encrypted with"},
		"rotated, the old one taken out":    {withKeys(t, rotated, b), "1 bodies are encrypted with a key that is not given; give it behind the first one: encryption_key <new> <old>"},
		"rotated again, the old one missed": {withKeys(t, rotated, c, b), "encryption_key <new> <old>"},
	} {
		s, err := Open(tc.options)
		if err == nil {
			mustClose(t, s)
		}
		if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), tc.options.Dir) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// What was refused has changed nothing.
	s = mustOpen(t, withKeys(t, rotated, b, a))
	wantKept(t, s, "with both", r, body)
	_, commit, err := s.Update(t.Context(), store.ByID(r.ID), func(*callback.Record) (store.Change, error) { return store.Change{Delete: true}, nil })
	if err == nil {
		err = store.Wait(t.Context(), commit)
	}
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, withKeys(t, rotated, b))
	if numbers := numbersOf(t, s); len(numbers) != 1 || numbers[1] != s.keys[0].fingerprint {
		t.Errorf("the numbers are %v", numbers)
	}
	mustClose(t, s)
	// The number that has become free is used again.
	s = mustOpen(t, withKeys(t, rotated, c, b))
	defer mustClose(t, s)
	if numbers := numbersOf(t, s); numbers[0] != s.keys[0].fingerprint {
		t.Errorf("the numbers are %v", numbers)
	}
}

// The orphans of a key that is not given keep no store from opening.
func TestKeyOfBodiesThatNothingRefersToIsNotNeeded(t *testing.T) {
	dir := t.TempDir()
	a, b := keyOf("a", 16), keyOf("b", 32)
	s := mustOpen(t, withKeys(t, dir, a))
	if _, err := s.bodies.put(make([]byte, 100<<10)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	mustClose(t, mustOpen(t, withKeys(t, dir, b, a)))
	mustClose(t, mustOpen(t, withKeys(t, dir, b)))
}

func TestNumbersOfKeysAreBounded(t *testing.T) {
	numbers := make(keyNumbers)
	for n := range 256 {
		if err := numbers.add(fingerprint{byte(n), 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := numbers.add(fingerprint{7, 1}); err != nil {
		t.Errorf("one that has a number: %v", err)
	}
	if err := numbers.add(fingerprint{0, 2}); !errors.Is(err, errTooManyKeys) || len(numbers) != 256 {
		t.Errorf("one more: %v", err)
	}
	delete(numbers, 9)
	if err := numbers.add(fingerprint{0, 2}); err != nil || numbers[9] != (fingerprint{0, 2}) {
		t.Errorf("in the place of another: %v", err)
	}
	if b := numbers.encode(); len(b) != 256*9 || !slices.Equal(b[9*9:9*9+3], []byte{9, 0, 2}) {
		t.Errorf("%d bytes are stored", len(b))
	}
}

func TestNoKeyIsOnDisk(t *testing.T) {
	dir := t.TempDir()
	a, b := keyOf("a key in 16 byte", 1), keyOf("another key that has 32 bytes...", 1)
	mustClose(t, mustOpen(t, withKeys(t, dir, a)))
	mustClose(t, mustOpen(t, withKeys(t, dir, b, a)))
	for _, path := range filesBelow(t, dir) {
		content, err := os.ReadFile(path)
		if err != nil || bytes.Contains(content, a) || bytes.Contains(content, b) {
			t.Errorf("%s: %v, or it holds a key", path, err)
		}
	}
}

func TestKeysOfAnOpenStoreStayAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	a, b := keyOf("a", 16), keyOf("b", 32)
	s := mustOpen(t, withKeys(t, dir, a, b))
	defer mustClose(t, s)
	for name, o := range map[string]Options{
		"another first one": withKeys(t, dir, b, a), "one less": withKeys(t, dir, a), "one more": withKeys(t, dir, a, b, keyOf("c", 16)), "none": withKeys(t, dir),
	} {
		if err := s.Adopt(o); !errors.Is(err, errOtherKeys) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Adopt(withKeys(t, dir, a, b)); err != nil {
		t.Error(err)
	}
}
