//go:build unix

package badger

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// mayWrite and mayEnter are what group and others may do.
	mayWrite fs.FileMode = 0o022
	mayEnter fs.FileMode = 0o011
)

// checkModes refuses a store that others than its owner can write to: they could plant a
// secret or a database in it. The directories above it are not judged.
func checkModes(dir string) error {
	if path := writableBelow(dir, mayEnter); path != "" {
		return fmt.Errorf("%w: %s. Take that from them: chmod -R go-w %s", errWritable, path, dir)
	}
	return nil
}

// writableBelow returns what others can write to, "" if there is nothing. enter are those who
// come as far as the directory.
func writableBelow(dir string, enter fs.FileMode) string {
	enter, writable := judge(dir, enter)
	if writable {
		return dir
	}
	for _, name := range []string{secretFile, importedFile, sentinelFile} {
		if path := filepath.Join(dir, name); writableBy(path, mayWrite) {
			return path
		}
	}
	for _, name := range []string{databaseDir, bodiesDir} {
		if path := writableWithin(filepath.Join(dir, name), enter); path != "" {
			return path
		}
	}
	return ""
}

// writableWithin is writableBelow for a directory in the store. Badger's files have the modes
// that the process gives to files, and those of bodies are many, so that files count only
// where others can reach them.
func writableWithin(dir string, enter fs.FileMode) string {
	enter, writable := judge(dir, enter)
	if writable {
		return dir
	}
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		switch {
		case !entry.IsDir():
			if enter != 0 && writableBy(path, enter<<1) {
				return path
			}
		case enter != 0:
			if path := writableWithin(path, enter); path != "" {
				return path
			}
		case writableBy(path, mayWrite):
			return path
		}
	}
	return ""
}

// judge reports whether others can write to a directory, and returns who of enter can enter it.
func judge(dir string, enter fs.FileMode) (fs.FileMode, bool) {
	info, err := os.Stat(dir)
	if err != nil {
		// Whatever opens it says what is wrong.
		return 0, false
	}
	return enter & info.Mode(), info.Mode()&mayWrite != 0
}

func writableBy(path string, who fs.FileMode) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&who != 0
}
