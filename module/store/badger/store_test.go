package badger

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleakIgnored...) }

// goleakIgnored are goroutines that Badger leaves behind if it cannot open a
// database.
var goleakIgnored = []goleak.Option{
	goleak.IgnoreTopFunction("github.com/dgraph-io/badger/v4.(*DB).monitorCache"),
	goleak.IgnoreTopFunction("github.com/dgraph-io/ristretto/v2/z.(*AllocatorPool).freeupAllocators"),
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) store.Store { return mustOpen(t, testOptions(t, dir)) })
}

func TestConformanceEncrypted(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) store.Store {
		o := testOptions(t, dir)
		o.EncryptionKey = bytes.Repeat([]byte{7}, 32)
		return mustOpen(t, o)
	})
}

func testOptions(t testing.TB, dir string) Options {
	return Options{Dir: dir, MinFree: MinMinFree, Log: zaptest.NewLogger(t, zaptest.Level(errorsOnly))}
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// openForTest opens a store that is closed when the test ends.
func openForTest(t testing.TB, dir string) *Store {
	t.Helper()
	s := mustOpen(t, testOptions(t, dir))
	t.Cleanup(func() { mustClose(t, s) })
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// testPolicy stores a policy and returns it.
func testPolicy(t testing.TB, s *Store) *callback.Policy {
	t.Helper()
	p := &callback.Policy{BaseURL: "https://app.example.com"}
	if err := p.Compile(); err != nil {
		t.Fatal(err)
	}
	if err := s.PutPolicy(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// newRecord returns a callback that is not stored.
func newRecord(s *Store, p *callback.Policy) *callback.Record {
	return callback.New(s.Secret(), p, callback.Spec{ExpiresIn: time.Hour}, callback.At(time.Now()))
}

// create stores a callback and waits until it is committed.
func create(t *testing.T, s *Store, p *callback.Policy) *callback.Record {
	t.Helper()
	r := newRecord(s, p)
	commit, err := s.Create(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Wait(context.Background(), commit); err != nil {
		t.Fatal(err)
	}
	return r
}

func closeRecord(s *Store, p *callback.Policy, id callback.UUID) (store.Commit, error) {
	_, commit, err := s.Update(context.Background(), store.ByID(id), func(r *callback.Record) (store.Change, error) {
		next, _ := r.Close(p, "test", "", callback.At(time.Now()))
		return store.Change{Next: next}, nil
	})
	return commit, err
}

func TestNothingSecretIsOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, testOptions(t, dir))
	p := testPolicy(t, s)
	r := create(t, s, p)
	state, ticket := s.Secret().State(r.ID), s.Secret().Ticket(r.ID)
	mustClose(t, s)

	needles := map[string][]byte{
		"state": state[:], "state's text": []byte(state.String()),
		"ticket": ticket[:], "ticket's text": []byte(ticket.String()),
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for name, needle := range needles {
			if bytes.Contains(content, needle) {
				t.Errorf("%s holds the %s", filepath.Base(path), name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEncryptedStoreHoldsNoPlainText(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(t, dir)
	o.EncryptionKey = bytes.Repeat([]byte{7}, 32)
	s := mustOpen(t, o)
	p := testPolicy(t, s)
	const marker = "a text that is easy to find"
	r := newRecord(s, p)
	r.CorrelationID = marker
	commit, err := s.Create(context.Background(), r)
	if err != nil || store.Wait(context.Background(), commit) != nil {
		t.Fatal(err)
	}
	body, err := s.PutBody(context.Background(), []byte(strings.Repeat(marker, 100)))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := s.OpenBody(context.Background(), body, somewhere())
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(reader); !strings.HasPrefix(string(got), marker) {
		t.Error("the body does not come back")
	}
	mustClose(t, s)

	for _, path := range filesBelow(t, dir) {
		if content, _ := os.ReadFile(path); bytes.Contains(content, []byte(marker)) {
			t.Errorf("%s holds plain text", path)
		}
	}
}

func TestGivenSecretMakesTheSameURLs(t *testing.T) {
	urls := make(map[callback.UUID]bool)
	id := callback.NewUUID()
	for range 2 {
		o := testOptions(t, t.TempDir())
		o.Secret = "a secret of sixteen bytes or more"
		s := mustOpen(t, o)
		urls[s.Secret().State(id)] = true
		mustClose(t, s)
	}
	if len(urls) != 1 {
		t.Error("two stores with the same secret derive different states")
	}
}

// A first start that was interrupted between its steps can be repeated.
func TestFirstStartCanBeCutOffAnywhere(t *testing.T) {
	dir := filledStore(t, 0)
	secret, err := os.ReadFile(filepath.Join(dir, secretFile))
	if err != nil {
		t.Fatal(err)
	}
	removeAll(t, filepath.Join(dir, databaseDir))
	remove(t, filepath.Join(dir, sentinelFile))
	s := openForTest(t, dir)
	if hex.EncodeToString(s.Secret()[:]) != strings.TrimSpace(string(secret)) {
		t.Error("the secret that was made before is not the one in use")
	}
}

func TestScansBeginWhereTheLastOneEnded(t *testing.T) {
	var m dueMark
	begins := func(what string, want callback.Time) int {
		t.Helper()
		from, version := m.from(20)
		if from != want {
			t.Errorf("%s a scan begins at %d, want %d", what, from, want)
		}
		return version
	}
	version := begins("at first", 0)
	m.reached(10, version)
	version = begins("after one that found nothing before 10", 10)
	m.lower(15)
	begins("with something due later", 10)
	m.lower(5)
	begins("with something due earlier", 5)
	m.reached(12, version)
	begins("after one that may have missed it", 5)
}

func TestAScanThatLooksLessFarHidesNothingFromOneThatLooksFurther(t *testing.T) {
	var m dueMark
	_, version := m.from(20)
	_, shorter := m.from(5)
	m.lower(15)
	m.reached(5, shorter)
	m.reached(20, version)
	if from, _ := m.from(30); from > 15 {
		t.Errorf("the next scan begins at %d, and passes over what is due at 15", from)
	}
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := openForTest(t, dir)
	for _, path := range []string{dir, filepath.Join(dir, databaseDir), filepath.Join(dir, bodiesDir)} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", filepath.Base(path), info.Mode(), err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, secretFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("secret: %v, %v", info.Mode(), err)
	}
	b, _ := os.ReadFile(filepath.Join(dir, secretFile))
	if want := hex.EncodeToString(s.Secret()[:]); strings.TrimSpace(string(b)) != want {
		t.Error("the secret in the file is not the one in use")
	}
}

// Values that are too large for Badger's tables go to its value log, which
// acknowledges writes that have failed and never shrinks.
func TestRecordsOfManyPartsAreRefusedBeforeTheyAreTooLarge(t *testing.T) {
	s := openForTest(t, t.TempDir())
	p := testPolicy(t, s)
	r := create(t, s, p)
	text := strings.Repeat("x", 1024)
	parcel := callback.Parcel{
		Phase: callback.Failed, Call: &callback.Call{Method: "POST"},
		Failure: &callback.Failure{DocumentStatus: text, TechnicalStatus: text, ErrorCode: text, ErrorText: text},
	}
	for n := 50; n <= 1000; n += 50 {
		next, commit, err := s.Update(context.Background(), store.ByID(r.ID), func(r *callback.Record) (store.Change, error) {
			next := *r
			next.Outbox = slices.Repeat([]callback.Parcel{parcel}, n)
			return store.Change{Next: &next}, nil
		})
		if errors.Is(err, store.ErrTooLarge) {
			if n < 200 {
				t.Errorf("%d results of 4 KiB each are too large", n)
			}
			return
		}
		if err == nil {
			err = store.Wait(context.Background(), commit)
		}
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := store.EncodeRecord(next)
		if err != nil || len(encoded) > 1<<20 {
			t.Fatalf("a record of %d bytes was stored, %v", len(encoded), err)
		}
	}
	t.Error("no record was too large")
}
