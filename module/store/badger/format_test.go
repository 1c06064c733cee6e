package badger

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// firstRelease returns the directory of a store that release 0.1 has made, filled and
// closed. release_test.go says which callbacks are in it.
func firstRelease(t *testing.T) string {
	t.Helper()
	packed, err := os.Open(filepath.Join("testdata", "store-0.1.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = packed.Close() }()
	unzipped, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for archive := tar.NewReader(unzipped); ; {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+entry.Name))
		if entry.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			var content []byte
			if content, err = io.ReadAll(archive); err == nil {
				err = os.WriteFile(path, content, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// opensWithFirstRelease returns the error that release 0.1 has for a store, nil if it would
// open it. The first two checks are the ones that it made.
func opensWithFirstRelease(t *testing.T, dir string) error {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, sentinelFile))
	if err == nil {
		var first struct {
			Store    string `json:"store"`
			Sequence uint64 `json:"sequence"`
			Clean    bool   `json:"clean"`
		}
		if err := json.Unmarshal(b, &first); err != nil {
			return err
		}
	}
	opts := databaseOptions(filepath.Join(dir, databaseDir), testOptions(t, dir)).WithExternalMagic(0)
	if err := checkTables(opts); err != nil {
		return err
	}
	db, err := badgerdb.Open(opts)
	if err == nil {
		err = db.Close()
	}
	return err
}

func setManifestFormat(t *testing.T, dir string, format uint16) {
	t.Helper()
	path := filepath.Join(dir, databaseDir, badgerdb.ManifestFilename)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint16(b[manifestFormat:], format)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// asFirstRelease turns a store into what release 0.1 would have left.
func asFirstRelease(t *testing.T, dir string) {
	t.Helper()
	setManifestFormat(t, dir, 0)
	s, err := readSentinel(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(firstSentinel{Store: s.Store, Sequence: s.Sequence, Clean: s.Clean})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, sentinelFile), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestFirstReleaseDoesNotOpenWhatThisOneHasOpened(t *testing.T) {
	for name, made := range map[string]func(t *testing.T) string{
		"made by this release":  func(t *testing.T) string { return filledStore(t, 3) },
		"empty":                 func(t *testing.T) string { return filledStore(t, 0) },
		"made by the first one": firstRelease,
	} {
		t.Run(name, func(t *testing.T) {
			dir := made(t)
			s := mustOpen(t, testOptions(t, dir))
			open := t.TempDir()
			copyTree(t, dir, open)
			mustClose(t, s)
			for state, dir := range map[string]string{"open": open, "closed": dir} {
				if err := opensWithFirstRelease(t, dir); err == nil {
					t.Errorf("%s: it opens", state)
				}
				// The first release advises to delete the sentinel.
				remove(t, filepath.Join(dir, sentinelFile))
				if err := opensWithFirstRelease(t, dir); err == nil {
					t.Errorf("%s, without the sentinel: it opens", state)
				}
			}
			s = openForTest(t, dir)
			create(t, s, testPolicy(t, s))
		})
	}
	if err := opensWithFirstRelease(t, firstRelease(t)); err != nil {
		t.Errorf("this test does not do what the first release did: %v", err)
	}
}

func TestSentinelSaysWhichReleaseOpensTheStore(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(filledStore(t, 1), sentinelFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{`"note": "Releases of caddy-callback before 0.2.0 cannot open this store`, `"format": 1`, `"oldestRelease": "0.2.0"`} {
		if !strings.Contains(string(b), says) {
			t.Errorf("%s\ndoes not say %s", b, says)
		}
	}
}

func TestStoreOfALaterReleaseIsLeftAsItIs(t *testing.T) {
	sentinelOf := func(text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, sentinelFile), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tc := range map[string]struct {
		change func(t *testing.T, dir string)
		says   string
	}{
		"sentinel":                {sentinelOf(`{"format":7,"oldestRelease":"3.1.0","store":["other"],"note":7}`), "Run release 3.1.0 or later"},
		"sentinel, larger number": {sentinelOf(`{"format":70000,"oldestRelease":"3.1.0"}`), "its format is 70000, and this release knows formats up to 1"},
		"sentinel, no release":    {sentinelOf(`{"format":2}`), "Run the later release"},
		"manifest":                {func(t *testing.T, dir string) { setManifestFormat(t, dir, storeFormat+1) }, "Run the later release"},
		"manifest, no sentinel": {func(t *testing.T, dir string) {
			setManifestFormat(t, dir, storeFormat+1)
			remove(t, filepath.Join(dir, sentinelFile))
		}, "its format is 2"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filledStore(t, 3)
			tc.change(t, dir)
			before := contents(t, dir)
			s, err := Open(testOptions(t, dir))
			if err == nil {
				mustClose(t, s)
				t.Fatal("it opened")
			}
			if text := err.Error(); !errors.Is(err, errLater) || !strings.Contains(text, tc.says) || !strings.Contains(text, dir) {
				t.Errorf("%q does not say %q and name the directory", text, tc.says)
			}
			if contents(t, dir) != before {
				t.Error("opening it has changed the directory")
			}
		})
	}
}

// contents returns names and contents of all files of a directory.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	for _, path := range filesBelow(t, dir) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(path + "\n" + string(b) + "\n")
	}
	return all.String()
}

func TestStoreThatIsRefusedStaysOpenToTheFirstRelease(t *testing.T) {
	encrypted := func(o *Options) { o.EncryptionKey = bytes.Repeat([]byte{1}, 32) }
	nothing := func(*Options) {}
	for name, tc := range map[string]struct {
		change  func(t *testing.T, dir string)
		options func(o *Options)
	}{
		"other key":    {func(*testing.T, string) {}, encrypted},
		"full disk":    {func(*testing.T, string) {}, func(o *Options) { o.freeSpace = func(string) (uint64, error) { return floor - 1, nil } }},
		"secret gone":  {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, secretFile)) }, nothing},
		"commits lost": {func(t *testing.T, dir string) { ahead(t, dir) }, nothing},
	} {
		t.Run(name, func(t *testing.T) {
			dir := firstRelease(t)
			tc.change(t, dir)
			o := testOptions(t, dir)
			tc.options(&o)
			if s, err := Open(o); err == nil {
				mustClose(t, s)
				t.Fatal("it opened")
			}
			if err := opensWithFirstRelease(t, dir); err != nil {
				t.Error(err)
			}
		})
	}
}

// ahead makes the first release's sentinel demand more than is in the database.
func ahead(t *testing.T, dir string) {
	t.Helper()
	s, err := readSentinel(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(firstSentinel{Store: s.Store, Sequence: s.Sequence + 1})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, sentinelFile), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A crash of the first release leaves its last commits in the log alone; one while this
// release takes the store over leaves it between the two.
func TestStoreIsTakenOverAfterACrash(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, dir string){
		"of the first release": asFirstRelease,
		"before the sentinel is written": func(t *testing.T, dir string) {
			asFirstRelease(t, dir)
			setManifestFormat(t, dir, storeFormat)
		},
		"with the old manifest": func(t *testing.T, dir string) { setManifestFormat(t, dir, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, testOptions(t, dir))
			r := create(t, s, testPolicy(t, s))
			crashed := t.TempDir()
			copyTree(t, dir, crashed)
			mustClose(t, s)
			change(t, crashed)
			for range 2 {
				s = mustOpen(t, testOptions(t, crashed))
				if _, _, err := s.Find(context.Background(), store.ByState(s.Secret().State(r.ID))); err != nil {
					t.Error(err)
				}
				create(t, s, testPolicy(t, s))
				mustClose(t, s)
			}
			if err := opensWithFirstRelease(t, crashed); err == nil {
				t.Error("the first release opens it")
			}
		})
	}
}

func TestEncryptedStoreIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(t, dir)
	o.EncryptionKey = bytes.Repeat([]byte{7}, 32)
	s := mustOpen(t, o)
	r := create(t, s, testPolicy(t, s))
	mustClose(t, s)
	asFirstRelease(t, dir)
	s = mustOpen(t, o)
	defer mustClose(t, s)
	if got, _, err := s.Find(context.Background(), store.ByID(r.ID)); err != nil || got.Phase != callback.Waiting {
		t.Errorf("%+v, %v", got, err)
	}
	if found, err := formatOf(filepath.Join(dir, databaseDir)); found != storeFormat || err != nil {
		t.Errorf("the format is %d, %v", found, err)
	}
}
