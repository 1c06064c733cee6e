package badger

import (
	"bytes"
	"errors"

	badgerdb "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// recordStep is how many records, or policies, are looked at before others may use the
// database's lock.
const recordStep = 1000

// forgetPolicies removes the policies that no callback needs. It runs once, when the store
// has been opened: a policy that is used from then on is cached before a callback refers to
// it, and whatever is cached stays.
func (s *Store) forgetPolicies() {
	unneeded, err := s.unneededPolicies()
	if err == nil {
		err = s.removePolicies(unneeded)
	}
	if errors.Is(err, store.ErrDamaged) {
		s.log.Warn("no policies are removed, because it cannot be known which of them are needed", zap.Error(err))
	}
}

// unneededPolicies lists the policies to which no callback in the database refers.
func (s *Store) unneededPolicies() ([]callback.Digest, error) {
	unneeded := make(map[callback.Digest]bool)
	err := s.view(func(txn *badgerdb.Txn) error {
		it := txn.NewIterator(badgerdb.IteratorOptions{Prefix: []byte{keyPolicy}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			var hash callback.Digest
			if copy(hash[:], it.Item().Key()[1:]) == len(hash) {
				unneeded[hash] = true
			}
		}
		return nil
	})
	if err == nil && len(unneeded) > 0 {
		err = s.eachRecord(func(b []byte) error {
			hash, err := store.PolicyOf(b)
			if err != nil {
				return err
			}
			if delete(unneeded, hash); len(unneeded) == 0 {
				return errEnough
			}
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	list := make([]callback.Digest, 0, len(unneeded))
	for hash := range unneeded {
		list = append(list, hash)
	}
	return list, nil
}

// errEnough ends eachRecord without an error.
var errEnough = errors.New("enough")

// eachRecord calls yield with all stored records, until that returns an error.
func (s *Store) eachRecord(yield func(b []byte) error) (err error) {
	for from := []byte{keyRecord}; err == nil && from != nil; {
		select {
		case <-s.stopping:
			return store.ErrClosed
		default:
		}
		err = s.view(func(txn *badgerdb.Txn) (err error) {
			from, err = someRecords(txn, from, yield)
			return err
		})
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// someRecords calls yield with some records, beginning with the one at the key from. It
// returns the key of the next record, nil if there is none.
func someRecords(txn *badgerdb.Txn, from []byte, yield func(b []byte) error) (next []byte, err error) {
	it := txn.NewIterator(badgerdb.IteratorOptions{Prefix: []byte{keyRecord}})
	defer it.Close()
	seen := 0
	for it.Seek(from); it.Valid(); it.Next() {
		if seen++; seen > recordStep {
			return bytes.Clone(it.Item().Key()), nil
		}
		result := error(nil)
		err := it.Item().Value(func(b []byte) error {
			result = yield(b)
			return nil
		})
		if err != nil {
			err = unreadable(err)
		}
		if err := errors.Join(result, err); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// removePolicies removes those of the policies that are not cached.
func (s *Store) removePolicies(hashes []callback.Digest) error {
	for len(hashes) > 0 {
		n := min(len(hashes), recordStep)
		if err := s.removeSomePolicies(hashes[:n]); err != nil {
			return err
		}
		hashes = hashes[n:]
	}
	return nil
}

func (s *Store) removeSomePolicies(hashes []callback.Digest) error {
	if s.space.exhausted() {
		return store.ErrFull
	}
	s.policyLock.Lock()
	defer s.policyLock.Unlock()
	return s.write(func() error {
		return s.db.Update(func(txn *badgerdb.Txn) error {
			for _, hash := range hashes {
				if _, used := s.policies.Load(hash); used {
					continue
				}
				if err := txn.Delete(digestKey(keyPolicy, hash)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
