package badger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/caddy-callback/caddy-callback/module/store"
)

// sentinel says what must be in the database. It is kept in a file beside it. If its
// manifest is lost, Badger opens an empty database without an error, and it drops
// everything after a damaged byte in its log. The sentinel reveals both.
type sentinel struct {
	// Store is the store's id, which is also in the database.
	Store string `json:"id"`
	// Sequence is the number of a commit that the database must contain.
	Sequence uint64 `json:"sequence"`
	// Clean says that the store was closed properly.
	Clean bool `json:"clean"`
	// IndexedFrom is when callbacks were made, in milliseconds since the Unix epoch, that are
	// in all indexes, and those made later. It is not there if a release has written last that
	// does not know all of them.
	IndexedFrom *int64 `json:"indexedFrom,omitempty"`
}

// sentinelContent is what is in the file. The first release expects a text in the place of
// Store: it refuses to open the store, and names this file, where Note says why.
type sentinelContent struct {
	Note string `json:"note"`
	// Format is the store's format, and OldestRelease the oldest release that opens it.
	// Both must be readable to every release.
	Format        uint64   `json:"format"`
	OldestRelease string   `json:"oldestRelease"`
	Store         sentinel `json:"store"`
}

// firstSentinel is what the first release has put into the file.
type firstSentinel struct {
	Store    string `json:"store"`
	Sequence uint64 `json:"sequence"`
	Clean    bool   `json:"clean"`
}

const (
	sentinelFile = "sentinel.json"
	sentinelNote = "Releases of caddy-callback before " + oldestRelease + " cannot open this store, also if this file is deleted. Restore a backup that they have made."
)

// readSentinel returns nil if there is no sentinel.
func readSentinel(dir string) (*sentinel, error) {
	b, err := os.ReadFile(filepath.Join(dir, sentinelFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := parseSentinel(b)
	if err != nil && !errors.Is(err, errLater) {
		return nil, fmt.Errorf("%w: %s cannot be read; delete it if you are sure that the database beside it is whole", store.ErrDamaged, sentinelFile)
	}
	return s, err
}

func parseSentinel(b []byte) (*sentinel, error) {
	var about struct {
		Format        uint64 `json:"format"`
		OldestRelease string `json:"oldestRelease"`
	}
	if err := json.Unmarshal(b, &about); err != nil {
		return nil, err
	}
	switch {
	case about.Format > storeFormat:
		return nil, later(about.Format, about.OldestRelease)
	case about.Format == 0:
		var first firstSentinel
		err := json.Unmarshal(b, &first)
		return &sentinel{Store: first.Store, Sequence: first.Sequence, Clean: first.Clean}, err
	}
	var content sentinelContent
	err := json.Unmarshal(b, &content)
	return &content.Store, err
}

func (s sentinel) write(dir string) error {
	b, err := json.MarshalIndent(sentinelContent{Note: sentinelNote, Format: storeFormat, OldestRelease: oldestRelease, Store: s}, "", "\t")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, sentinelFile), append(b, '\n'))
}

// checkManifest refuses a database whose manifest is gone: Badger would take it
// for a new one and delete the tables. doubtful says that the manifest lists no tables
// although there are some, and that the logs must tell whether they are needed.
func (s *sentinel) checkManifest(database string) (doubtful bool, err error) {
	if s == nil || s.Sequence == 0 {
		return false, nil
	}
	// A manifest that lists no tables has 16 bytes, or 8 if only its header is left.
	const listsNone = 16
	info, err := os.Stat(filepath.Join(database, "MANIFEST"))
	tables, _ := filepath.Glob(filepath.Join(database, "*.sst"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, lost("the database's MANIFEST is missing")
	case err != nil || len(tables) == 0 || info.Size() > listsNone:
		return false, nil
	case info.Size() < listsNone:
		return false, lost("the database's MANIFEST is empty")
	}
	return true, nil
}

// check compares the sentinel with the id and the last commit of the database.
func (s *sentinel) check(id string, sequence uint64) error {
	switch {
	case s == nil:
		return nil
	case id == "":
		return lost("the database is empty")
	case id != s.Store:
		return lost("the database belongs to another store")
	case sequence < s.Sequence:
		return lost(fmt.Sprintf("the last %d commits are missing from the database", s.Sequence-sequence))
	}
	return nil
}

func lost(what string) error {
	return fmt.Errorf("%w: %s. Restore the directory from a backup; or, to go on with what is left and accept the loss, delete %s in it and start again",
		store.ErrDamaged, what, sentinelFile)
}
