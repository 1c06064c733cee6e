package badger

import (
	"context"
	"errors"
	"fmt"
	"testing"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// policyNumber returns one of many policies.
func policyNumber(t *testing.T, n int) *callback.Policy {
	t.Helper()
	p := &callback.Policy{BaseURL: fmt.Sprintf("https://app%d.example.com", n)}
	if err := p.Compile(); err != nil {
		t.Fatal(err)
	}
	return p
}

// storedPolicies counts the policies in the database.
func storedPolicies(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.view(func(txn *badgerdb.Txn) error {
		it := txn.NewIterator(badgerdb.IteratorOptions{Prefix: []byte{keyPolicy}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// setPolicy puts a policy into the database alone, as if it had been stored before the
// store was opened.
func setPolicy(t *testing.T, s *Store, p *callback.Policy) {
	t.Helper()
	b, err := p.Encode()
	if err == nil {
		err = s.set(digestKey(keyPolicy, p.Hash()), b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestManyPoliciesAndCallbacksAreLookedAtStepByStep(t *testing.T) {
	s := openForTest(t, t.TempDir())
	<-s.forgotten
	const unneeded = recordStep + recordStep/2
	for n := range unneeded {
		setPolicy(t, s, policyNumber(t, n))
	}
	first, last := policyNumber(t, unneeded), policyNumber(t, unneeded+1)
	var commit store.Commit
	for n := range recordStep + 10 {
		r := newRecord(s, first)
		if n == 0 {
			// Its record is the last one in the database.
			r = newRecord(s, last)
			r.ID[0] = 0xff
		}
		var err error
		if commit, err = s.Create(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Wait(context.Background(), commit); err != nil {
		t.Fatal(err)
	}
	setPolicy(t, s, first)
	setPolicy(t, s, last)
	s.forgetPolicies()
	if n := storedPolicies(t, s); n != 2 {
		t.Errorf("%d policies are left", n)
	}
	for _, p := range []*callback.Policy{first, last} {
		if _, err := s.Policy(context.Background(), p.Hash()); err != nil {
			t.Error(err)
		}
	}
}

func TestPolicyIsNotRemovedFromUnderTheCache(t *testing.T) {
	s := openForTest(t, t.TempDir())
	<-s.forgotten
	stored, found, gone := policyNumber(t, 1), policyNumber(t, 2), policyNumber(t, 3)
	for _, p := range []*callback.Policy{stored, found, gone} {
		setPolicy(t, s, p)
	}
	unneeded, err := s.unneededPolicies()
	if err != nil || len(unneeded) != 3 {
		t.Fatalf("%d policies are not needed, %v", len(unneeded), err)
	}
	// Both are used between the search and the removal.
	if err := s.PutPolicy(context.Background(), stored); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Policy(context.Background(), found.Hash()); err != nil {
		t.Fatal(err)
	}
	if err := s.removePolicies(unneeded); err != nil {
		t.Fatal(err)
	}
	if n := storedPolicies(t, s); n != 2 {
		t.Errorf("%d policies are left", n)
	}
	if _, err := s.Policy(context.Background(), gone.Hash()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
}

func TestNoPolicyIsRemovedIfARecordCannotBeRead(t *testing.T) {
	s := openForTest(t, t.TempDir())
	<-s.forgotten
	setPolicy(t, s, policyNumber(t, 1))
	r := create(t, s, policyNumber(t, 2))
	if err := s.set(recordKey(r.ID), []byte("damaged")); err != nil {
		t.Fatal(err)
	}
	s.forgetPolicies()
	if n := storedPolicies(t, s); n != 1 {
		t.Errorf("%d policies are left", n)
	}
}
