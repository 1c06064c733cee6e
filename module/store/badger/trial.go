package badger

import (
	"os"
	"path/filepath"

	badgerdb "github.com/dgraph-io/badger/v4"
)

// trialDir is the directory in which the logs of a database are tried.
const trialDir = "trial"

// tryLogs checks that the logs of a database hold all of it, in a copy: Badger deletes
// tables that the manifest does not list. A crash leaves such tables, between the first one
// and its entry in the manifest. They hold nothing then that is not in the logs as well, for
// a log goes only after that, and the database's id is in the first one.
func (s *Store) tryLogs(opts badgerdb.Options, expected *sentinel) (err error) {
	unlock, err := lockDatabase(opts.Dir)
	if err != nil {
		// The database is in use, and cannot be opened anyway.
		return nil
	}
	defer unlock()
	dir := filepath.Join(s.options.Dir, trialDir)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := copyLogs(opts.Dir, dir); err != nil {
		return err
	}
	db, err := openDatabase(opts.WithDir(dir).WithValueDir(dir))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	id, sequence, err := metaOf(db)
	if err != nil {
		return err
	}
	if expected.check(id, sequence) != nil {
		return lost("the database's MANIFEST is empty")
	}
	return nil
}

// copyLogs copies the logs of a database, and what is needed to read them. They are few and
// have a fixed size.
func copyLogs(from, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for _, pattern := range []string{"*.mem", badgerdb.ManifestFilename, badgerdb.KeyRegistryFileName} {
		paths, _ := filepath.Glob(filepath.Join(from, pattern))
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(to, filepath.Base(path)), content, 0o600); err != nil { //nolint:gosec // the names are the database's own
				return err
			}
		}
	}
	return nil
}
