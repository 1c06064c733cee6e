package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	badgerdb "github.com/dgraph-io/badger/v4"
)

// The format of a store says which releases may open it. Badger keeps the number in its
// manifest, and opens nothing with another number. The first release has never set it, so
// that its format is 0. Whoever stores what an earlier release would misread, and not only
// leave alone, raises both.
const (
	storeFormat = 1
	// oldestRelease is the oldest release that opens a store of that format.
	oldestRelease = "0.2.0"
)

// errLater is wrapped by the error about a store of a later format.
var errLater = errors.New("a later release of caddy-callback has opened it")

// later returns the error about a store of a later format, which releases from oldest on
// open; empty if that is not known.
func later(found uint64, oldest string) error {
	if oldest == "" {
		oldest = "the later release"
	} else {
		oldest = "release " + oldest + " or later"
	}
	return fmt.Errorf("%w: its format is %d, and this release knows formats up to %d. Run %s, or restore a backup that was made before",
		errLater, found, storeFormat, oldest)
}

// Places in Badger's manifest.
const (
	manifestHeader = 8
	manifestFormat = 4
)

// formatOf returns the format of a database. One that does not exist yet has ours.
func formatOf(database string) (uint16, error) {
	f, err := os.Open(filepath.Join(database, badgerdb.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return storeFormat, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	header := make([]byte, manifestHeader)
	if n, _ := io.ReadFull(f, header); n < len(header) {
		// checkTables says what is wrong with the manifest.
		return storeFormat, nil
	}
	found := binary.BigEndian.Uint16(header[manifestFormat:])
	if found > storeFormat {
		return found, later(uint64(found), "")
	}
	return found, nil
}

// raiseFormat sets our format in the manifest of a database that is closed. From then on
// no release of an earlier format opens it.
func raiseFormat(database string) error {
	unlock, err := lockDatabase(database)
	if err != nil {
		return errInUse
	}
	defer unlock()
	path := filepath.Join(database, badgerdb.ManifestFilename)
	manifest, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(manifest) < manifestHeader {
		return io.ErrUnexpectedEOF
	}
	binary.BigEndian.PutUint16(manifest[manifestFormat:], storeFormat)
	return writeFile(path, manifest)
}

// upgrade gives the open database our format, unless it has it already.
func (s *Store) upgrade(opts badgerdb.Options) error {
	if opts.ExternalMagicVersion == storeFormat {
		return nil
	}
	if err := s.db.Close(); err != nil {
		return explain(err)
	}
	if err := raiseFormat(opts.Dir); err != nil {
		return explain(err)
	}
	db, err := openDatabase(opts.WithExternalMagic(storeFormat))
	if err != nil {
		return explain(err)
	}
	s.db = db
	s.log.Info("the store was last opened by an earlier release; from now on it needs release " + oldestRelease + " or later")
	return nil
}
