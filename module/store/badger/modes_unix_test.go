//go:build unix

package badger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// Where the user's files can be written by a group, the directories of tests cannot.
func init() { unix.Umask(0o022) }

func TestStoreThatOthersCanWriteToIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		path    string
		dir     fs.FileMode
		mode    fs.FileMode
		refused bool
	}{
		"the directory, by the group":     {".", 0o770, 0o770, true},
		"the directory, by others":        {".", 0o702, 0o702, true},
		"the directory, read by others":   {".", 0o755, 0o755, false},
		"the database":                    {databaseDir, 0o700, 0o720, true},
		"the bodies":                      {bodiesDir, 0o700, 0o702, true},
		"a directory of bodies":           {filepath.Join(bodiesDir, "*"), 0o700, 0o777, true},
		"the secret":                      {secretFile, 0o700, 0o620, true},
		"secrets of other stores":         {importedFile, 0o700, 0o620, true},
		"the sentinel":                    {sentinelFile, 0o755, 0o602, true},
		"a file that nobody else reaches": {filepath.Join(databaseDir, "MANIFEST"), 0o700, 0o666, false},
		"a file in a closed directory":    {filepath.Join(databaseDir, "MANIFEST"), 0o755, 0o666, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, testOptions(t, dir))
			keep(t, s, "a text")
			if err := s.Keep(t.Context(), []callback.Secret{callback.NewSecret()}, nil); err != nil {
				t.Fatal(err)
			}
			mustClose(t, s)
			path := glob(t, filepath.Join(dir, tc.path))[0]
			if err := errors.Join(os.Chmod(dir, tc.dir), os.Chmod(path, tc.mode)); err != nil {
				t.Fatal(err)
			}
			wantRefused(t, dir, path, tc.refused)
		})
	}
}

func TestFileOfTheDatabaseThatOthersReachIsJudged(t *testing.T) {
	for name, tc := range map[string]struct {
		dirs, file fs.FileMode
		refused    bool
	}{
		"the group reaches and writes":       {0o750, 0o660, true},
		"others reach and write":             {0o711, 0o602, true},
		"the group reaches, others may":      {0o750, 0o602, false},
		"others reach, and the group writes": {0o701, 0o620, false},
		"others reach and read":              {0o755, 0o644, false},
	} {
		for _, where := range []string{databaseDir, bodiesDir} {
			t.Run(name+", "+where, func(t *testing.T) {
				dir := t.TempDir()
				s := mustOpen(t, testOptions(t, dir))
				_, body := keep(t, s, "a text")
				mustClose(t, s)
				path := s.bodies.path(body.File)
				if where == databaseDir {
					path = filepath.Join(dir, databaseDir, "MANIFEST")
				}
				err := errors.Join(os.Chmod(dir, tc.dirs), os.Chmod(filepath.Join(dir, where), tc.dirs), os.Chmod(filepath.Dir(path), tc.dirs), os.Chmod(path, tc.file))
				if err != nil {
					t.Fatal(err)
				}
				wantRefused(t, dir, path, tc.refused)
			})
		}
	}
}

// wantRefused opens a store. If it is refused, the cure must be named, and cure it.
func wantRefused(t *testing.T, dir, path string, refused bool) {
	t.Helper()
	s, err := Open(testOptions(t, dir))
	if err == nil {
		mustClose(t, s)
	}
	if !refused {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if !errors.Is(err, errWritable) || !strings.Contains(err.Error(), path+".") || !strings.Contains(err.Error(), "chmod -R go-w "+dir) {
		t.Fatalf("%v", err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			err = os.Chmod(path, info.Mode().Perm()&^mayWrite)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, mustOpen(t, testOptions(t, dir)))
}

func TestDirectoriesAboveTheStoreAreNotJudged(t *testing.T) {
	above := t.TempDir()
	if err := os.Chmod(above, 0o777); err != nil {
		t.Fatal(err)
	}
	s := openForTest(t, filepath.Join(above, "store"))
	create(t, s, testPolicy(t, s))
}
