package badger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// inspectHere is the variable that makes the test binary open the store in its
// working directory. It is run as a separate process, because a damaged database may
// crash it.
const inspectHere = "CALLBACK_TEST_INSPECT"

// inspection is what that process has found.
type inspection struct {
	// Refused is why the store did not open, or was taken out of use.
	Refused string
	// Damaged says that the reason is damage.
	Damaged bool
	// Found counts the callbacks that were found.
	Found int
}

// smallTable is a size of tables, in bytes, that few records fill.
const smallTable = 8 << 20

// TestInspectDamagedStore is what the separate process runs.
func TestInspectDamagedStore(t *testing.T) {
	if os.Getenv(inspectHere) == "" {
		return
	}
	found := inspect(t, ".")
	b, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("inspection: %s\n", b)
}

func inspect(t *testing.T, dir string) (found inspection) {
	refused := func(err error) inspection {
		found.Refused, found.Damaged = err.Error(), errors.Is(err, store.ErrDamaged)
		return found
	}
	o := testOptions(t, dir)
	o.memTable = smallTable
	if b, err := os.ReadFile(filepath.Join(dir, "key")); err == nil {
		o.EncryptionKey = b
	}
	s, err := Open(o)
	if err != nil {
		return refused(err)
	}
	defer mustClose(t, s)
	if err := s.Verify(context.Background()); err != nil {
		return refused(err)
	}
	for _, id := range idsOf(t, dir) {
		_, _, err := s.Find(context.Background(), store.ByID(id))
		switch {
		case err == nil:
			found.Found++
		case !errors.Is(err, store.ErrNotFound):
			return refused(err)
		}
	}
	return found
}

func idsOf(t *testing.T, dir string) []callback.UUID {
	b, err := os.ReadFile(filepath.Join(dir, "ids"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []callback.UUID
	for text := range strings.FieldsSeq(string(b)) {
		id, ok := callback.ParseUUID(text)
		if !ok {
			t.Fatalf("%q is no id", text)
		}
		ids = append(ids, id)
	}
	return ids
}

// crashedStore returns a store with a table and a log as a crash leaves it, with the
// ids of its callbacks in the file "ids", and how many there are. The sentinel counts
// all their commits.
func crashedStore(t *testing.T, key []byte) (dir string, n int) {
	t.Helper()
	running, dir := t.TempDir(), t.TempDir()
	o := testOptions(t, running)
	o.memTable = smallTable
	o.EncryptionKey = key
	s := mustOpen(t, o)
	p := testPolicy(t, s)
	var ids strings.Builder
	for range 22 {
		var records []*callback.Record
		for range 1000 {
			r := callback.New(s.Secret(), p, callback.Spec{Name: "orders", ExpiresIn: time.Hour}, callback.At(time.Now()))
			records = append(records, r)
			fmt.Fprintln(&ids, r.ID)
		}
		n += len(records)
		putRaw(t, s, records...)
	}
	if err := s.writeSentinel(false); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "one table, and one log of what came after", func() bool { return count(running, "*.sst") == 1 && count(running, "*.mem") == 1 })
	copyTree(t, running, dir)
	mustClose(t, s)
	if err := os.WriteFile(filepath.Join(dir, "ids"), []byte(ids.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if key != nil {
		if err := os.WriteFile(filepath.Join(dir, "key"), key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, n
}

// count counts the files of a database that match a pattern.
func count(dir, pattern string) int {
	paths, _ := filepath.Glob(filepath.Join(dir, databaseDir, pattern))
	return len(paths)
}

func TestDamageIsNeitherAPanicNorSilent(t *testing.T) {
	t.Parallel()
	plain, n := crashedStore(t, nil)
	encrypted, _ := crashedStore(t, []byte(strings.Repeat("k", 32)))
	ways := map[string]func(t *testing.T, path string, size int64){
		"flipped half-way":   func(t *testing.T, path string, size int64) { flip(t, path, int(size/2)) },
		"flipped at its end": func(t *testing.T, path string, size int64) { flip(t, path, int(size-2)) },
		"cut half-way":       func(t *testing.T, path string, size int64) { cut(t, path, size/2) },
		"cut before its end": func(t *testing.T, path string, size int64) { cut(t, path, size-2) },
		"missing":            func(t *testing.T, path string, _ int64) { remove(t, path) },
	}
	for file, origins := range map[string][]string{
		"MANIFEST": {plain}, "*.vlog": {plain}, "DISCARD": {plain},
		"KEYREGISTRY": {plain, encrypted}, "*.sst": {plain, encrypted}, "*.mem": {plain, encrypted},
	} {
		for i, origin := range origins {
			for way, damage := range ways {
				// With the race detector each case takes ten times as long, and one
				// shows it all of the code.
				if raceDetector && (file != "*.sst" || way != "cut half-way") {
					continue
				}
				t.Run(fmt.Sprintf("%s %s (%s)", file, way, []string{"plain", "encrypted"}[i]), func(t *testing.T) {
					t.Parallel()
					dir := t.TempDir()
					copyTree(t, origin, dir)
					paths := glob(t, filepath.Join(dir, databaseDir, file))
					path := paths[len(paths)/2]
					info, err := os.Stat(path)
					if err != nil {
						t.Fatal(err)
					}
					damage(t, path, info.Size())
					wantNoSilence(t, inspectApart(t, dir), n)
				})
			}
		}
	}
}

func wantNoSilence(t *testing.T, found inspection, n int) {
	t.Helper()
	switch {
	case found.Refused == "" && found.Found != n:
		t.Errorf("%d of %d callbacks are there, and nothing is said", found.Found, n)
	case found.Refused != "" && !strings.Contains(found.Refused, "backup") && !strings.Contains(found.Refused, "encryption_key") && !found.Damaged:
		t.Errorf("it says %q, which is not what is the matter", found.Refused)
	}
}

// inspectApart inspects a store in a separate process, which must not crash.
func inspectApart(t *testing.T, dir string) (found inspection) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestInspectDamagedStore$", "-test.timeout=60s")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), inspectHere+"=yes")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the process did not survive: %v\n%s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "inspection: ")
	line, _, _ := strings.Cut(rest, "\n")
	if err := json.Unmarshal([]byte(line), &found); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return found
}
