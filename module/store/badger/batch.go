package badger

import (
	"bytes"
	"encoding/binary"
	"slices"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// maxRecord is the largest size of a record, in bytes. It keeps records out of
// Badger's value log, which acknowledges writes that have failed.
const maxRecord = 900 << 10

// The keyspaces. Keys are short and of fixed length. Records, policies, list entries
// and the store's metadata have values of their own; the other values are empty or an
// id.
const (
	keyRecord      = 'r' // id -> record
	keyState       = 's' // digest of the state -> id
	keyTicket      = 't' // digest of the ticket -> id
	keyAlias       = 'a' // alias -> id
	keyDue         = 'd' // due time, id, waiting -> nothing
	keyList        = 'l' // time of creation, id -> phase, whether its delivery was given up, name
	keyCorrelation = 'c' // digest of a correlation id that was given, time of creation, id -> nothing
	keyConfirm     = 'q' // time of creation, id -> nothing, for what a person decides
	keyPolicy      = 'p' // hash -> policy
	keyBody        = 'b' // name of a body file -> id
	keyMeta        = 'm' // metadata of the store
)

var (
	metaID       = []byte{keyMeta, 'i'}
	metaSequence = []byte{keyMeta, 's'}
	// metaSecrets has the marks of the secrets that were used.
	metaSecrets = []byte{keyMeta, 'd'}
	// metaKeys has the numbers and fingerprints of the encryption keys.
	metaKeys = []byte{keyMeta, 'k'}
)

func recordKey(id callback.UUID) []byte { return append([]byte{keyRecord}, id[:]...) }

func digestKey(space byte, d callback.Digest) []byte { return append([]byte{space}, d[:]...) }

func bodyKey(name string) []byte { return append([]byte{keyBody}, name...) }

const dueKeyLength = 1 + 8 + 16 + 1

// dueEntry returns the index entry that orders callbacks by when a timer must act on
// them. The last byte of its key is 1 for a callback that waits, 0 for one that has
// ended.
func dueEntry(r *callback.Record) change {
	if r == nil {
		return change{}
	}
	k := make([]byte, 0, dueKeyLength)
	k = append(k, keyDue)
	k = binary.BigEndian.AppendUint64(k, uint64(r.Due()))
	k = append(k, r.ID[:]...)
	if r.Phase == callback.Waiting {
		return change{append(k, 1), empty}
	}
	return change{append(k, 0), empty}
}

// batch gathers changes and commits them in as few transactions as Badger's limits
// allow. The changes to one callback are never split between two.
type batch struct {
	s     *Store
	txn   *badgerdb.Txn
	bytes int
}

func (s *Store) newBatch() *batch { return &batch{s: s} }

// change is one key to set, or to delete if value is nil.
type change struct {
	key   []byte
	value []byte
}

// put adds the changes that turn one record of a callback into the next; nil stands
// for no record.
func (b *batch) put(before, after *callback.Record) error {
	changes, err := b.s.changes(before, after)
	if err != nil {
		return err
	}
	size := 0
	for _, c := range changes {
		size += len(c.key) + len(c.value) + 64
	}
	if b.bytes > 0 && b.bytes+size > maxBatchBytes {
		if err := b.commit(); err != nil {
			return err
		}
	}
	return b.add(changes, size)
}

func (b *batch) add(changes []change, size int) error {
	if b.txn == nil {
		b.txn = b.s.db.NewTransaction(true)
	}
	b.bytes += size
	for _, c := range changes {
		var err error
		if c.value == nil {
			err = b.txn.Delete(c.key)
		} else {
			err = b.txn.SetEntry(badgerdb.NewEntry(c.key, c.value))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// commit writes what was added, with the next sequence number, and waits for
// the fsync.
func (b *batch) commit() error {
	if b.txn == nil {
		return nil
	}
	next := b.s.sequence.Load() + 1
	number := change{key: metaSequence, value: binary.BigEndian.AppendUint64(nil, next)}
	if err := b.add([]change{number}, 0); err != nil {
		return err
	}
	if hook := b.s.beforeCommit; hook != nil {
		if err := hook(); err != nil {
			return err
		}
	}
	txn := b.txn
	b.txn, b.bytes = nil, 0
	if err := txn.Commit(); err != nil {
		return err
	}
	b.s.sequence.Store(next)
	return nil
}

func (b *batch) discard() {
	if b.txn != nil {
		b.txn.Discard()
	}
}

// empty is the value of index entries whose key says everything.
var empty = []byte{}

// changes lists the changes that turn one record into the next; nil stands for no
// record.
func (s *Store) changes(before, after *callback.Record) ([]change, error) {
	list := make([]change, 0, 8)
	var id callback.UUID
	if after != nil {
		value, err := store.EncodeRecord(after)
		if err != nil {
			return nil, err
		}
		id = after.ID
		list = append(list, change{recordKey(id), value})
	} else {
		list = append(list, change{key: recordKey(before.ID)})
	}
	added, removed := relinked(before, after)
	for _, k := range removed {
		list = append(list, change{key: k.database()})
	}
	for _, k := range added {
		list = append(list, change{k.database(), id[:]})
	}
	list = replaced(list, dueEntry(before), dueEntry(after))
	list = s.indexed(replaced(list, listEntry(before), listEntry(after)), before, after)
	for _, file := range without(files(after), files(before)) {
		list = append(list, change{bodyKey(file), id[:]})
	}
	for _, file := range without(files(before), files(after)) {
		list = append(list, change{key: bodyKey(file)})
	}
	return list, nil
}

// replaced appends to list the changes that replace one index entry by the next; a
// zero change stands for no entry.
func replaced(list []change, before, after change) []change {
	same := bytes.Equal(before.key, after.key)
	if same && bytes.Equal(before.value, after.value) {
		return list
	}
	if before.key != nil && !same {
		list = append(list, change{key: before.key})
	}
	if after.key != nil {
		list = append(list, after)
	}
	return list
}

// files lists the body files that a record refers to; nil stands for no record.
func files(r *callback.Record) []string {
	if r == nil {
		return nil
	}
	var names []string
	for _, body := range r.Bodies() {
		if body.File != "" {
			names = append(names, body.File)
		}
	}
	return names
}

// without returns the names that are not among others. It changes names.
func without(names, others []string) []string {
	if len(names) == 0 || len(others) == 0 {
		return names
	}
	known := make(map[string]bool, len(others))
	for _, name := range others {
		known[name] = true
	}
	return slices.DeleteFunc(names, func(name string) bool { return known[name] })
}
