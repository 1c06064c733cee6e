package badger

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	badgerdb "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Options say how to open a store.
type Options struct {
	// Dir is the store's directory. It is created if it does not exist.
	Dir string
	// EncryptionKey encrypts what is stored: 16, 24 or 32 bytes. Nil leaves it
	// unencrypted, which is chosen when the store is created.
	EncryptionKey []byte
	// OldKeys are keys with which the store was encrypted before.
	OldKeys [][]byte
	// Secret replaces the random secret that is created with the store.
	Secret string
	// OldSecrets are secrets from which callbacks were derived before.
	OldSecrets []string
	// MinFree is the free disk space in bytes below which new work is refused.
	MinFree uint64
	// MaxSize is the size in bytes above which new work is refused; 0 is no limit.
	MaxSize uint64
	// Log takes the store's messages.
	Log *zap.Logger

	// memTable replaces the size of Badger's in-memory tables in tests; 0 means the
	// default.
	memTable int64
	// scanned replaces maxScanned in tests; 0 means the default.
	scanned int
	// freeSpace replaces the query to the file system in tests.
	freeSpace func(dir string) (uint64, error)
}

// Names within the store's directory.
const (
	databaseDir = "db"
	bodiesDir   = "bodies"
)

// Open opens the store, creating it if there is none. Errors say what is wrong with
// the directory and what to do.
func Open(o Options) (*Store, error) {
	if o.freeSpace == nil {
		o.freeSpace = freeSpace
	}
	s := &Store{
		options:   o,
		adopted:   o,
		log:       o.Log,
		overlay:   newOverlay(),
		recent:    newRecent(),
		outages:   newOutages(o.Log),
		stopping:  make(chan struct{}),
		tally:     newTally(),
		counted:   make(chan struct{}),
		forgotten: make(chan struct{}),
		verified:  make(chan struct{}),
	}
	s.space = &space{
		minFree: o.MinFree,
		maxSize: o.MaxSize,
		free:    func() (uint64, error) { return o.freeSpace(o.Dir) },
		used:    s.size,
	}
	var err error
	if s.keys, err = newKeys(o); err == nil {
		err = s.open()
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store %s: %w", o.Dir, err)
	}
	s.committer = newCommitter(s)
	s.start()
	return s, nil
}

// open opens directory, database and secret, and verifies them. It is called
// again after a failure.
func (s *Store) open() error {
	dir := s.options.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return explain(err)
	}
	if err := checkModes(dir); err != nil {
		return err
	}
	if free, err := s.space.free(); err == nil && free < floor {
		return fmt.Errorf("%w: only %d MiB are free on its disk, and %d MiB are needed to open it safely; free some space",
			store.ErrFull, free>>20, uint64(floor)>>20)
	}
	expected, err := readSentinel(dir)
	if err != nil {
		return explain(err)
	}
	opts, present, err := s.check(filepath.Join(dir, databaseDir), expected)
	if err != nil {
		return explain(err)
	}
	if s.db, err = openDatabase(opts); err != nil {
		return explain(err)
	}
	if err := s.verify(expected); err != nil {
		_ = s.db.Close()
		return err
	}
	// Nothing has changed so far. What follows keeps earlier releases out.
	if err := s.upgrade(opts); err != nil {
		return err
	}
	err = s.db.Update(func(txn *badgerdb.Txn) error { return noteSecret(txn, s.Secret().Mark(), false) })
	if err == nil {
		err = s.settleKeys(present, opts.WithExternalMagic(storeFormat))
	}
	if err == nil {
		err = s.beginIndex(expected)
	}
	if err == nil {
		err = s.writeSentinel(false)
	}
	if err != nil {
		_ = s.db.Close()
	}
	return explain(err)
}

// check checks the files of a database before Badger opens it, which would delete or crash on
// some of what it finds. It returns the options to open it with, and the key that it is
// encrypted with, nil for none.
func (s *Store) check(database string, expected *sentinel) (opts badgerdb.Options, present *encryptionKey, err error) {
	doubtful, err := expected.checkManifest(database)
	if err != nil {
		return opts, nil, err
	}
	found, err := formatOf(database)
	if err != nil {
		return opts, nil, err
	}
	removeEmptyLogs(database)
	if present, err = findKey(database, s.keys); err != nil {
		return opts, nil, err
	}
	opts = databaseOptions(database, s.options).WithExternalMagic(found)
	if present != nil {
		opts = opts.WithEncryptionKey(present.raw)
	}
	if doubtful {
		if err := s.tryLogs(opts, expected); err != nil {
			return opts, nil, err
		}
	}
	return opts, present, checkTables(opts)
}

// verify checks that the database is the one that the sentinel describes, and reads
// or creates the files beside it.
func (s *Store) verify(expected *sentinel) error {
	id, sequence, err := s.meta()
	if err != nil {
		return err
	}
	if err := expected.check(id, sequence); err != nil {
		return err
	}
	fresh := id == ""
	if s.secrets.Load() == nil {
		if err := s.openSecrets(fresh); err != nil {
			return err
		}
		if s.bodies, err = newBodies(filepath.Join(s.options.Dir, bodiesDir)); err != nil {
			return explain(err)
		}
	}
	// The id is written last: a store that has an id also has a secret, wherever its
	// first start was interrupted.
	if fresh {
		id = callback.NewUUID().String()
		err := s.db.Update(func(txn *badgerdb.Txn) error {
			if err := noteSecret(txn, s.Secret().Mark(), fresh); err != nil {
				return err
			}
			return txn.Set(metaID, []byte(id))
		})
		if err != nil {
			return explain(err)
		}
	}
	s.id = id
	s.sequence.Store(sequence)
	if expected != nil && !expected.Clean {
		s.log.Info("the store was not closed properly, and has recovered", zap.Uint64("sequence", sequence))
	}
	return nil
}

func databaseOptions(dir string, o Options) badgerdb.Options {
	return badgerdb.DefaultOptions(dir).
		// Anything less loses acknowledged writes when the power fails.
		WithSyncWrites(true).
		WithMemTableSize(cmp.Or(o.memTable, 16<<20)).
		WithNumMemtables(2).
		// Every value stays below the threshold, so the value log, which
		// acknowledges writes that have failed, is never used.
		WithValueThreshold(1 << 20).
		WithValueLogFileSize(16 << 20).
		WithNumLevelZeroTables(2).
		WithNumLevelZeroTablesStall(4).
		WithNumCompactors(2).
		WithBlockCacheSize(8 << 20).
		WithIndexCacheSize(4 << 20).
		WithCompression(options.None).
		WithNumVersionsToKeep(1).
		WithVerifyValueChecksum(true).
		// The verifying modes panic on a damaged table; records have
		// checksums of their own.
		WithChecksumVerificationMode(options.NoVerification).
		// One goroutine writes, so there are no conflicts to detect.
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithLogger(databaseLog{o.Log.Sugar()})
}

func openDatabase(opts badgerdb.Options) (db *badgerdb.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = explain(errors.New("the database cannot be read"))
		}
	}()
	return badgerdb.Open(opts)
}

// removeEmptyLogs removes the logs that a crash has left empty. Badger empties a log
// before it removes it, and creates it empty before it grows, but it cannot open a
// database with an empty log. If anything else has emptied a log, the sentinel shows
// that commits are missing.
func removeEmptyLogs(dir string) {
	if len(emptyLogs(dir)) == 0 {
		return
	}
	unlock, err := lockDatabase(dir)
	if err != nil {
		// The database is in use: its empty logs are about to be filled or removed.
		return
	}
	defer unlock()
	for _, log := range emptyLogs(dir) {
		_ = os.Remove(log)
	}
}

func emptyLogs(dir string) (empty []string) {
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		logs, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, log := range logs {
			if info, err := os.Stat(log); err == nil && info.Size() == 0 {
				empty = append(empty, log)
			}
		}
	}
	return empty
}

// meta returns the database's metadata: the store's id, empty if the database is new,
// and the number of the last commit.
func (s *Store) meta() (id string, sequence uint64, err error) { return metaOf(s.db) }

func metaOf(db *badgerdb.DB) (id string, sequence uint64, err error) {
	err = db.View(func(txn *badgerdb.Txn) error {
		b, err := value(txn, metaID)
		if err != nil {
			return err
		}
		id = string(b)
		if b, err = value(txn, metaSequence); err == nil && len(b) == 8 {
			sequence = binary.BigEndian.Uint64(b)
		}
		return err
	})
	return id, sequence, err
}

func (s *Store) set(key, value []byte) error {
	return s.db.Update(func(txn *badgerdb.Txn) error { return txn.Set(key, value) })
}

// errWritable: the store is not its owner's alone.
var errWritable = errors.New("others than the owner can write to it")

// errInUse: the directory belongs to another process.
var errInUse = errors.New("another process has it open; stop that one, or give this one a directory of its own")

// explain turns an error of the system or the database into one that says what to do.
// Badger's own texts are not shown: some contain the data to be stored.
func explain(err error) error {
	if err == nil {
		return nil
	}
	for _, known := range []error{store.ErrDamaged, store.ErrFull, store.ErrFailed, errLater, errInUse, errPlain, errEncrypted, errWrongKey, errKeyMissing, errTooManyKeys} {
		if errors.Is(err, known) {
			return err
		}
	}
	text := err.Error()
	has := func(e syscall.Errno) bool { return errors.Is(err, e) || strings.Contains(text, e.Error()) }
	switch {
	case strings.Contains(text, "Cannot acquire directory lock"):
		return errInUse
	case has(syscall.EACCES) || has(syscall.EPERM):
		return errors.New("no permission to write there; give the directory to the user that Caddy runs as")
	case has(syscall.EROFS):
		return errors.New("its file system is read-only; choose another directory, or mount it writable")
	case has(syscall.ENOTDIR):
		return errors.New("it is not a directory, or a part of its path is a file")
	case has(syscall.ENOSPC):
		return fmt.Errorf("%w: its disk has no space left; free some", store.ErrFull)
	case has(syscall.ENOENT):
		return errors.New("the directory cannot be made there, or a file of the store is missing")
	}
	return fmt.Errorf("%w: the database cannot be read. Restore the directory from a backup, or move it away to start with an empty store", store.ErrDamaged)
}

// databaseLog passes Badger's messages on. Messages of level info, which are about
// its files, go to level debug.
type databaseLog struct {
	log *zap.SugaredLogger
}

func (l databaseLog) Errorf(format string, args ...any)   { l.log.Errorf("badger: "+format, args...) }
func (l databaseLog) Warningf(format string, args ...any) { l.log.Warnf("badger: "+format, args...) }
func (l databaseLog) Infof(format string, args ...any)    { l.log.Debugf("badger: "+format, args...) }
func (l databaseLog) Debugf(format string, args ...any)   { l.log.Debugf("badger: "+format, args...) }
