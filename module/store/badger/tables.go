package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	badgerdb "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/dgraph-io/ristretto/v2/z"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/store"
)

// checkTables opens each table of the database once and closes it again. Badger opens
// them in goroutines of its own, where a damaged table crashes the process; here it
// causes an error.
func checkTables(opts badgerdb.Options) error {
	manifest, err := os.Open(filepath.Join(opts.Dir, badgerdb.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = manifest.Close() }()
	list, _, err := badgerdb.ReplayManifestFile(manifest, opts.ExternalMagicVersion, opts)
	if err != nil {
		return err
	}
	check, end, err := newTableCheck(opts)
	if err != nil {
		return err
	}
	defer end()
	for id, t := range list.Tables {
		if err := check(id, t); err != nil {
			return err
		}
	}
	return nil
}

// newTableCheck returns a function that opens and closes one table, and one that
// releases what the check uses.
func newTableCheck(opts badgerdb.Options) (check func(uint64, badgerdb.TableManifest) error, end func(), err error) {
	keys, err := badgerdb.OpenKeyRegistry(badgerdb.KeyRegistryOptions{
		Dir: opts.Dir, ReadOnly: true, EncryptionKey: opts.EncryptionKey, EncryptionKeyRotationDuration: opts.EncryptionKeyRotationDuration,
	})
	if err != nil {
		return nil, nil, err
	}
	indexes, err := ristretto.NewCache(&ristretto.Config[uint64, *fb.TableIndex]{NumCounters: 1000, MaxCost: opts.IndexCacheSize, BufferItems: 64})
	if err != nil {
		return nil, nil, errors.Join(err, keys.Close())
	}
	check = func(id uint64, t badgerdb.TableManifest) error {
		key, err := keys.DataKey(t.KeyID)
		if err != nil {
			return err
		}
		return openTable(table.NewFilename(id, opts.Dir), table.Options{
			ReadOnly: true, DataKey: key, Compression: t.Compression, IndexCache: indexes, ChkMode: options.NoVerification,
		})
	}
	return check, func() {
		indexes.Close()
		_ = keys.Close()
	}, nil
}

func openTable(path string, opts table.Options) (err error) {
	defer func() {
		if recover() != nil {
			err = errTable(path)
		}
	}()
	file, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if err != nil {
		return errTable(path)
	}
	defer func() { _ = file.Close(-1) }()
	if _, err := table.OpenTable(file, opts); err != nil {
		return errTable(path)
	}
	return nil
}

func errTable(path string) error {
	return fmt.Errorf("%w: the database's table %s cannot be read. Restore the directory from a backup, or move it away to start with an empty store",
		store.ErrDamaged, filepath.Base(path))
}

// verifyTables reads the whole database, and takes the store out of use if a table is
// damaged: otherwise missing callbacks would seem never to have existed, and Badger
// would sooner or later crash on the table in a goroutine of its own.
func (s *Store) verifyTables() {
	s.dbLock.RLock()
	err := verifyChecksums(s.db)
	s.dbLock.RUnlock()
	if err == nil {
		return
	}
	s.committer.refuse(store.ErrDamaged)
	s.dbLock.Lock()
	s.failure = store.ErrDamaged
	s.dbLock.Unlock()
	s.log.Error("the store is damaged and is not used any more: a table of the database fails its checksum. Restore the directory from a backup, or move it away to start with an empty store",
		zap.String("directory", s.options.Dir))
}

func verifyChecksums(db *badgerdb.DB) (err error) {
	defer func() {
		if recover() != nil {
			err = store.ErrDamaged
		}
	}()
	return db.VerifyChecksum()
}
