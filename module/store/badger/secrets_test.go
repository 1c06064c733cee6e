package badger

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	badgerdb "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

const (
	secretA = "secret A, which has thirty-two bytes or more"
	secretB = "secret B, which has thirty-two bytes or more"
	short   = "only sixteen bytes"
)

func withSecrets(t *testing.T, dir string, secrets ...string) Options {
	o := testOptions(t, dir)
	if len(secrets) > 0 {
		o.Secret, o.OldSecrets = secrets[0], secrets[1:]
	}
	return o
}

// watched returns the options with a log that the test reads.
func watched(o Options) (Options, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.InfoLevel)
	o.Log = zap.New(core)
	return o, logs
}

// stateOf returns the state that a store derives for a callback now, zero if it cannot.
func stateOf(t *testing.T, s *Store, id callback.UUID) callback.UUID {
	t.Helper()
	r, _, err := s.Find(t.Context(), store.ByID(id))
	if err != nil {
		t.Fatal(err)
	}
	secret := s.SecretOf(r)
	if secret == nil {
		return callback.UUID{}
	}
	return secret.State(id)
}

func TestCallbacksOutliveTheRotationOfTheirSecret(t *testing.T) {
	const stored = ""
	configured := func(list []string) []string {
		if list[0] == stored && len(list) == 1 {
			return nil
		}
		return list
	}
	for name, tc := range map[string]struct {
		// runs are the secrets of one run after the other.
		runs [][]string
		// gone are the runs whose callbacks have lost their secret in the last one.
		gone []int
	}{
		"configured, rotated":              {[][]string{{secretA}, {secretB, secretA}}, nil},
		"configured, rotated, old one out": {[][]string{{secretA}, {secretB, secretA}, {secretB}}, []int{0}},
		"and in again":                     {[][]string{{secretA}, {secretB}, {secretB, secretA}}, nil},
		"there and back":                   {[][]string{{secretA}, {secretB, secretA}, {secretA, secretB}}, nil},
		"stored, then configured":          {[][]string{{stored}, {secretA}}, nil},
		"and back":                         {[][]string{{stored}, {secretA}, {stored}}, []int{1}},
		"and back, remembering":            {[][]string{{stored}, {secretA}, {stored, secretA}}, nil},
		"configured, then stored":          {[][]string{{secretA}, {stored, secretA}, {stored, secretA}}, nil},
		"given twice":                      {[][]string{{secretA}, {secretB, secretA, secretB, secretA}}, nil},
	} {
		for _, encrypted := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", encrypted"}[encrypted], func(t *testing.T) {
				dir := t.TempDir()
				var made []*callback.Record
				var states []callback.UUID
				for run, list := range tc.runs {
					o := withSecrets(t, dir, configured(list)...)
					if encrypted {
						o.EncryptionKey = []byte(strings.Repeat("k", 16))
					}
					o, logs := watched(o)
					s := mustOpen(t, o)
					r := create(t, s, testPolicy(t, s))
					made = append(made, r)
					states = append(states, stateOf(t, s, r.ID))
					if run == len(tc.runs)-1 {
						for i, r := range made {
							want := states[i]
							if slices.Contains(tc.gone, i) {
								want = callback.UUID{}
							}
							if got := stateOf(t, s, r.ID); got != want {
								t.Errorf("run %d: its state is derived as %v, want %v", i, got, want)
							}
							if found, _, err := s.Find(t.Context(), store.ByState(states[i])); err != nil || found.ID != r.ID {
								t.Errorf("run %d: it is not found by its state: %v", i, err)
							}
						}
						wantGone(t, logs, len(tc.gone))
					}
					mustClose(t, s)
				}
			})
		}
	}
}

// wantGone checks how many callbacks a log says to have lost their secret, 0 for no line.
func wantGone(t *testing.T, logs *observer.ObservedLogs, want int) {
	t.Helper()
	lines := func() []observer.LoggedEntry {
		return logs.Filter(func(e observer.LoggedEntry) bool { return strings.Contains(e.Message, "not configured any more") }).All()
	}
	if want == 0 {
		if len(lines()) > 0 {
			t.Errorf("the log says: %s", lines()[0].Message)
		}
		return
	}
	waitFor(t, "the line in the log", func() bool { return len(lines()) > 0 })
	if n := lines()[0].ContextMap()["callbacks"]; n != int64(want) {
		t.Errorf("%v callbacks have lost their secret, want %d", n, want)
	}
}

func TestCallbacksOfTheFirstReleaseOutliveTheRotationOfTheirSecret(t *testing.T) {
	for name, rotated := range map[string]bool{"at once": true, "later": false} {
		t.Run(name, func(t *testing.T) {
			dir := firstRelease(t)
			if !rotated {
				mustClose(t, mustOpen(t, testOptions(t, dir)))
			}
			o, logs := watched(withSecrets(t, dir, secretA, secretB))
			s := mustOpen(t, o)
			all, _, err := s.List(t.Context(), store.Query{})
			if err != nil || len(all) == 0 {
				t.Fatalf("%d callbacks, %v", len(all), err)
			}
			for _, r := range all {
				if r.DerivedFrom != 0 || stateOf(t, s, r.ID).Digest() != r.State {
					t.Errorf("%s: its state is another one", r.Name)
				}
			}
			mustClose(t, s)
			wantGone(t, logs, 0)
			// Without the file their secret is gone.
			remove(t, filepath.Join(dir, secretFile))
			o, logs = watched(withSecrets(t, dir, secretA))
			s = mustOpen(t, o)
			wantGone(t, logs, len(all))
			mustClose(t, s)
		})
	}
}

// What nothing was derived from is not looked for at each start.
func TestSecretsThatNoCallbackNeedsAreForgotten(t *testing.T) {
	dir := t.TempDir()
	mustClose(t, mustOpen(t, withSecrets(t, dir, secretA)))
	s := mustOpen(t, withSecrets(t, dir, secretB))
	waitFor(t, "the unused one to be forgotten", func() bool {
		var used usedSecrets
		if err := s.view(func(txn *badgerdb.Txn) (err error) {
			used, err = readUsed(txn)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return len(used.marks) == 1 && used.marks[0] == s.Secret().Mark()
	})
	mustClose(t, s)
}

func TestShortSecretIsTakenOnlyWhereItWasUsed(t *testing.T) {
	refused := func(o Options) {
		t.Helper()
		s, err := Open(o)
		if err == nil {
			mustClose(t, s)
		}
		if !errors.Is(err, errShort) || !strings.Contains(err.Error(), "openssl rand") {
			t.Errorf("%v", err)
		}
	}
	warned := func(o Options) {
		t.Helper()
		o, logs := watched(o)
		s := mustOpen(t, o)
		if logs.Filter(func(e observer.LoggedEntry) bool { return strings.Contains(e.Message, "shorter than 32 bytes") }).Len() != 1 {
			t.Error("the log does not warn")
		}
		create(t, s, testPolicy(t, s))
		mustClose(t, s)
	}
	refused(withSecrets(t, t.TempDir(), short))
	refused(withSecrets(t, filledStore(t, 1), short))
	old := firstRelease(t)
	warned(withSecrets(t, old, short))
	warned(withSecrets(t, old, short))
	refused(withSecrets(t, old, short+"!", short))

	o, logs := watched(withSecrets(t, old, secretA, short))
	mustClose(t, mustOpen(t, o))
	wantGone(t, logs, 0)
}

func TestStoredSecretIsSealedInAnEncryptedStore(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.EncryptionKey = []byte(strings.Repeat("k", 32))
	path := filepath.Join(o.Dir, secretFile)
	s := mustOpen(t, o)
	secret := *s.Secret()
	r := create(t, s, testPolicy(t, s))
	mustClose(t, s)
	plain := hex.EncodeToString(secret[:])
	sealed := func() {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(b), plain) || !strings.HasPrefix(string(b), sealedMark) {
			t.Errorf("%v; the file holds %q", err, b)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	sealed()
	// An earlier release has written it plain.
	if err := os.WriteFile(path, []byte(plain+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = mustOpen(t, o)
		if *s.Secret() != secret || stateOf(t, s, r.ID).Digest() != r.State {
			t.Error("the secret is another one")
		}
		sealed()
		mustClose(t, s)
	}

	other := filepath.Join(t.TempDir(), secretFile)
	if err := os.Rename(path, other); err != nil {
		t.Fatal(err)
	}
	fresh := testOptions(t, t.TempDir())
	fresh.EncryptionKey = []byte(strings.Repeat("x", 32))
	mustClose(t, mustOpen(t, fresh))
	if err := os.Rename(filepath.Join(fresh.Dir, secretFile), path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "encryption_key <new> <old>") {
		t.Errorf("sealed with another key: %v", err)
	}
	o.Secret = secretA
	mustClose(t, mustOpen(t, o))
}

func TestAnotherConfigurationOfAnOpenStoreTakesEffectOrIsRefused(t *testing.T) {
	o, logs := watched(withSecrets(t, t.TempDir(), secretA))
	s := mustOpen(t, o)
	p := testPolicy(t, s)
	first := create(t, s, p)
	adopt := func(secrets ...string) {
		t.Helper()
		if err := s.Adopt(withSecrets(t, o.Dir, secrets...)); err != nil {
			t.Fatal(err)
		}
	}
	adopt(secretA)
	adopt(secretB, secretA)
	if *s.Secret() != derivedFrom(secretB) {
		t.Error("new callbacks are not derived from the new secret")
	}
	second := create(t, s, p)
	if second.DerivedFrom == first.DerivedFrom || stateOf(t, s, first.ID).Digest() != first.State {
		t.Error("the callback from before is not understood")
	}
	// As after a reload that has failed.
	adopt(secretA)
	if *s.Secret() != derivedFrom(secretA) || stateOf(t, s, second.ID).Digest() != second.State {
		t.Error("a callback that was made in the meantime is not understood")
	}
	adopt("", secretA, secretB)
	third := create(t, s, p)
	adopt(secretB, secretA)
	if stateOf(t, s, third.ID).Digest() != third.State {
		t.Error("a callback of the stored secret is not understood")
	}

	for says, other := range map[string]Options{
		"shorter than 32 bytes": withSecrets(t, o.Dir, short, secretB),
		"restart Caddy":         {Secret: secretA, EncryptionKey: make([]byte, 16)},
	} {
		if err := s.Adopt(other); err == nil || !strings.Contains(err.Error(), says) || *s.Secret() != derivedFrom(secretB) {
			t.Errorf("%v, want %s", err, says)
		}
	}
	mustClose(t, s)
	// The configuration before would not have understood the second one for long.
	wantGone(t, logs, 1)

	o, logs = watched(withSecrets(t, o.Dir, secretB))
	s = mustOpen(t, o)
	defer mustClose(t, s)
	wantGone(t, logs, 1)
}
