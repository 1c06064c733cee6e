package badger

import (
	"errors"
	"os"
	"path/filepath"

	badgerdb "github.com/dgraph-io/badger/v4"
)

// rekeyDir is where a key registry is prepared, in the store's directory.
const rekeyDir = "rekey" + temporary

// rewriteRegistry encrypts the key registry of a closed database with another key. Badger
// encrypts data with keys of its own, which are in that registry. What is written afterwards
// is encrypted with a fresh one: whoever has the old key and an old copy of the registry
// knows the others. The new registry takes the place of the old one at once, or not at all.
func rewriteRegistry(database string, from, to []byte) (err error) {
	unlock, err := lockDatabase(database)
	if err != nil {
		return errInUse
	}
	defer unlock()
	dir := filepath.Join(filepath.Dir(database), rekeyDir)
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	old, err := badgerdb.OpenKeyRegistry(badgerdb.KeyRegistryOptions{Dir: database, ReadOnly: true, EncryptionKey: from})
	if err != nil {
		return err
	}
	prepared := badgerdb.KeyRegistryOptions{Dir: dir, EncryptionKey: to}
	if err := badgerdb.WriteKeyRegistry(old, prepared); err != nil {
		return err
	}
	if err := addDataKey(prepared); err != nil {
		return err
	}
	if err := hit(rotationPrepared); err != nil {
		return err
	}
	name := badgerdb.KeyRegistryFileName
	if err := os.Rename(filepath.Join(dir, name), filepath.Join(database, name)); err != nil {
		return err
	}
	if err := syncDir(database); err != nil {
		return err
	}
	return hit(rotationDone)
}

// addDataKey adds a fresh key to a registry, durably.
func addDataKey(o badgerdb.KeyRegistryOptions) error {
	// Without a time for which keys are used, the latest one is too old.
	o.EncryptionKeyRotationDuration = 0
	registry, err := badgerdb.OpenKeyRegistry(o)
	if err != nil {
		return err
	}
	_, err = registry.LatestDataKey()
	if err := errors.Join(err, registry.Close()); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(o.Dir, badgerdb.KeyRegistryFileName), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
