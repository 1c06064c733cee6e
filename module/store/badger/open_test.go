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
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

const errorsOnly = zapcore.DPanicLevel

// waitFor waits until so returns true, and fails if it takes too long.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// filledStore makes a store with n committed callbacks, closes it, and returns
// its directory.
func filledStore(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, testOptions(t, dir))
	p := testPolicy(t, s)
	var last store.Commit
	for range n {
		commit, err := s.Create(context.Background(), newRecord(s, p))
		if err != nil {
			t.Fatal(err)
		}
		last = commit
	}
	if n > 0 {
		if err := store.Wait(context.Background(), last); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	return dir
}

func TestOpenErrorsSayWhatToDo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	held := openForTest(t, t.TempDir())
	encrypted := testOptions(t, filledStore(t, 1))
	encrypted.EncryptionKey = bytes.Repeat([]byte{1}, 32)
	full := testOptions(t, t.TempDir())
	full.freeSpace = func(string) (uint64, error) { return floor - 1, nil }

	for _, tc := range []struct {
		name    string
		options Options
		says    string
	}{
		{"a file", testOptions(t, file), "not a directory"},
		{"below a file", testOptions(t, filepath.Join(file, "store")), "not a directory"},
		{"open already", testOptions(t, held.options.Dir), "stop that one"},
		{"other key", encrypted, "encryption_key is not the one"},
		{"full disk", full, "free some space"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := Open(tc.options)
			if err == nil {
				mustClose(t, s)
				t.Fatal("it opened")
			}
			if text := err.Error(); !strings.Contains(text, tc.says) || !strings.Contains(text, tc.options.Dir) {
				t.Errorf("%q does not say %q and name the directory", text, tc.says)
			}
		})
	}
}

func TestSystemErrorsAreExplained(t *testing.T) {
	for text, says := range map[string]string{
		"open x: permission denied":            "no permission",
		"open x: read-only file system":        "read-only",
		"write x: no space left on device":     "no space left",
		"mkdir x: no such file or directory":   "cannot be made",
		"while opening memtables: who knows":   "cannot be read",
		"manifest has bad magic: 00 01 secret": "cannot be read",
	} {
		err := explain(errors.New(text))
		if !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q is explained as %q", text, err)
		}
	}
}

// A store that has lost data must not open as if nothing were missing.
func TestLostDataIsNoticedAtOpening(t *testing.T) {
	manifest := func(dir string) string { return filepath.Join(dir, databaseDir, "MANIFEST") }
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, dir string)
	}{
		{"manifest missing", func(t *testing.T, dir string) { remove(t, manifest(dir)) }},
		{"manifest cut to its header", func(t *testing.T, dir string) { cut(t, manifest(dir), 8) }},
		{"manifest empty", func(t *testing.T, dir string) { cut(t, manifest(dir), 0) }},
		{"manifest flipped", func(t *testing.T, dir string) { flip(t, manifest(dir), 12) }},
		{"database gone", func(t *testing.T, dir string) { removeAll(t, filepath.Join(dir, databaseDir)) }},
		{"tables gone", func(t *testing.T, dir string) {
			for _, path := range glob(t, filepath.Join(dir, databaseDir, "*.sst")) {
				remove(t, path)
			}
		}},
		{"sentinel ahead", func(t *testing.T, dir string) {
			s, err := readSentinel(dir)
			if err != nil {
				t.Fatal(err)
			}
			s.Sequence++
			if err := s.write(dir); err != nil {
				t.Fatal(err)
			}
		}},
		{"another store's database", func(t *testing.T, dir string) {
			other := filledStore(t, 3)
			removeAll(t, filepath.Join(dir, databaseDir))
			if err := os.Rename(filepath.Join(other, databaseDir), filepath.Join(dir, databaseDir)); err != nil {
				t.Fatal(err)
			}
		}},
		{"sentinel unreadable", func(t *testing.T, dir string) { cut(t, filepath.Join(dir, sentinelFile), 5) }},
		{"secret missing", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, secretFile)) }},
		{"secret cut", func(t *testing.T, dir string) { cut(t, filepath.Join(dir, secretFile), 10) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := filledStore(t, 500)
			tc.damage(t, dir)
			s, err := Open(testOptions(t, dir))
			if err == nil {
				mustClose(t, s)
				t.Fatal("it opened as if nothing were wrong")
			}
			if !errors.Is(err, store.ErrDamaged) {
				t.Errorf("%v, want ErrDamaged", err)
			}
		})
	}
}

// A crash leaves the log; a damaged byte in it makes Badger drop what follows.
func TestLogCutAfterACrashIsNoticed(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, testOptions(t, dir))
	p := testPolicy(t, s)
	for range 100 {
		create(t, s, p)
	}
	if err := s.writeSentinel(false); err != nil {
		t.Fatal(err)
	}
	crashed := t.TempDir()
	copyTree(t, dir, crashed)
	mustClose(t, s)
	for _, log := range glob(t, filepath.Join(crashed, databaseDir, "*.mem")) {
		flip(t, log, 2000)
	}
	damaged, err := Open(testOptions(t, crashed))
	if err == nil {
		mustClose(t, damaged)
	}
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "commits are missing") {
		t.Errorf("%v", err)
	}
}

// A copy of a running store's files is what a crash leaves behind.
func TestCrashLosesNothingCommitted(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, testOptions(t, dir))
	p := testPolicy(t, s)
	var records []*callback.Record
	for range 50 {
		records = append(records, create(t, s, p))
	}
	crashed := t.TempDir()
	copyTree(t, dir, crashed)
	mustClose(t, s)

	s = openForTest(t, crashed)
	for _, r := range records {
		if _, _, err := s.Find(context.Background(), store.ByState(s.Secret().State(r.ID))); err != nil {
			t.Errorf("%s: %v", r.ID, err)
		}
	}
	waitFor(t, "the count", func() bool { return s.Waiting() == len(records) })
}

// A crash between the first table and its entry in the manifest leaves both the table and
// the log that it was made from.
func TestCrashBeforeTheFirstTableIsListedLosesNothing(t *testing.T) {
	t.Parallel()
	for _, encrypted := range []bool{false, true} {
		dir, crashed := t.TempDir(), t.TempDir()
		options := testOptions(t, dir)
		if encrypted {
			options.EncryptionKey = bytes.Repeat([]byte{7}, 32)
		}
		s := mustOpen(t, options)
		p := testPolicy(t, s)
		records := []*callback.Record{create(t, s, p)}
		if err := s.writeSentinel(false); err != nil {
			t.Fatal(err)
		}
		records = append(records, create(t, s, p))
		copyTree(t, dir, crashed)
		mustClose(t, s)
		for _, table := range glob(t, filepath.Join(dir, databaseDir, "*.sst")) {
			writeTo(t, filepath.Join(crashed, databaseDir, filepath.Base(table)), readFile(t, table))
		}
		options.Dir = crashed
		s = mustOpen(t, options)
		for _, r := range records {
			if _, _, err := s.Find(context.Background(), store.ByID(r.ID)); err != nil {
				t.Errorf("%s: %v", r.ID, err)
			}
		}
		mustClose(t, s)
		if _, err := os.Stat(filepath.Join(crashed, trialDir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it has left the copy of the logs: %v", err)
		}
	}
}

// The logs tell of the last commits only: the others are in tables that an empty manifest
// does not list. Nothing is changed then, so that the manifest can be put back.
func TestEmptyManifestIsNoticedBesideAWholeLog(t *testing.T) {
	t.Parallel()
	dir := filledStore(t, 10)
	s := mustOpen(t, testOptions(t, dir))
	create(t, s, testPolicy(t, s))
	crashed := t.TempDir()
	copyTree(t, dir, crashed)
	mustClose(t, s)
	database := filepath.Join(crashed, databaseDir)
	manifest := filepath.Join(database, "MANIFEST")
	whole := readFile(t, manifest)
	cut(t, manifest, 16)
	before := filesBelow(t, crashed)
	for range 2 {
		s, err := Open(testOptions(t, crashed))
		if err == nil {
			mustClose(t, s)
			t.Fatal("it opened as if nothing were wrong")
		}
		if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "MANIFEST is empty") {
			t.Errorf("%v", err)
		}
	}
	if after := filesBelow(t, crashed); !slices.Equal(after, before) {
		t.Errorf("there are %q, and there were %q", after, before)
	}
	writeTo(t, manifest, whole)
	s = openForTest(t, crashed)
	waitFor(t, "the count", func() bool { return s.Waiting() == 11 })
}

// Badger empties a log before it removes it, and creates it empty before it grows.
func TestCrashWhileALogIsMadeOrRemovedLosesNothing(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, testOptions(t, dir))
	p := testPolicy(t, s)
	r := create(t, s, p)
	crashed := t.TempDir()
	copyTree(t, dir, crashed)
	mustClose(t, s)
	for _, name := range []string{"00000.mem", "00099.mem", "000000.vlog", "000099.vlog"} {
		if err := os.WriteFile(filepath.Join(crashed, databaseDir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		s = mustOpen(t, testOptions(t, crashed))
		if _, _, err := s.Find(context.Background(), store.ByState(s.Secret().State(r.ID))); err != nil {
			t.Error(err)
		}
		create(t, s, p)
		mustClose(t, s)
	}
}

func TestLogEmptiedAfterACrashIsNoticed(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, testOptions(t, dir))
	create(t, s, testPolicy(t, s))
	if err := s.writeSentinel(false); err != nil {
		t.Fatal(err)
	}
	crashed := t.TempDir()
	copyTree(t, dir, crashed)
	mustClose(t, s)
	for _, log := range glob(t, filepath.Join(crashed, databaseDir, "*.mem")) {
		if err := os.Truncate(log, 0); err != nil {
			t.Fatal(err)
		}
	}
	damaged, err := Open(testOptions(t, crashed))
	if err == nil {
		mustClose(t, damaged)
	}
	if !errors.Is(err, store.ErrDamaged) {
		t.Errorf("%v", err)
	}
}

func TestLossCanBeAcceptedByDeletingTheSentinel(t *testing.T) {
	dir := filledStore(t, 10)
	removeAll(t, filepath.Join(dir, databaseDir))
	remove(t, filepath.Join(dir, sentinelFile))
	s := openForTest(t, dir)
	create(t, s, testPolicy(t, s))
}

func TestSentinelTellsAnOrderlyClose(t *testing.T) {
	dir := filledStore(t, 1)
	if s, err := readSentinel(dir); err != nil || !s.Clean || s.Sequence == 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func removeAll(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeTo(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b := readFile(t, path)
	b[at] ^= 0xff
	writeTo(t, path, b)
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return found
}

// copyTree copies the files of a store, except those that are being written.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	for _, path := range filesBelow(t, from) {
		if strings.HasSuffix(path, temporary) {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			t.Fatal(err)
		}
		// Most of a log is still unwritten and takes no space on disk: keep it so in
		// the copy.
		if err := os.WriteFile(target, bytes.TrimRight(content, "\x00"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(target, int64(len(content))); err != nil {
			t.Fatal(err)
		}
	}
}
