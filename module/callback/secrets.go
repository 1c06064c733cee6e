package callback

import "errors"

// ErrSecretGone is returned where something must be derived for a callback whose secret is
// not configured any more.
var ErrSecretGone = errors.New("the secret from which URL and key of the callback were derived is not configured any more")

// Secrets are the secrets of a store: the first one, from which new callbacks are derived,
// and those from which earlier ones were.
type Secrets struct {
	first *Secret
	all   []*Secret
	marks map[Mark]*Secret
}

// NewSecrets returns the secrets of a store. Those that are given twice count once.
func NewSecrets(first Secret, earlier ...Secret) *Secrets {
	s := &Secrets{first: &first, marks: make(map[Mark]*Secret, 1+len(earlier))}
	s.add(&first)
	for i := range earlier {
		s.add(&earlier[i])
	}
	return s
}

func (s *Secrets) add(secret *Secret) {
	mark := secret.Mark()
	if s.marks[mark] == nil {
		s.marks[mark] = secret
		s.all = append(s.all, secret)
	}
}

// First returns the secret from which new callbacks are derived.
func (s *Secrets) First() *Secret { return s.first }

// Know reports whether the secret with that mark is among the secrets.
func (s *Secrets) Know(m Mark) bool { return s.marks[m] != nil }

// Of returns the secret from which a callback was derived, nil if it is none of these.
func (s *Secrets) Of(r *Record) *Secret { return s.Find(r.DerivedFrom, r.ID, r.State) }

// Find is Of for what is known of a callback: the mark of its secret, its id, and the digest
// of its state. Releases before 0.2 have not recorded the mark.
func (s *Secrets) Find(m Mark, id UUID, state Digest) *Secret {
	if m != 0 {
		return s.marks[m]
	}
	for _, secret := range s.all {
		if secret.State(id).Digest() == state {
			return secret
		}
	}
	return nil
}

// CorrelatedIDs returns the ids of the callbacks that have a correlation id of their own, if it is
// one of theirs: one for each secret.
func (s *Secrets) CorrelatedIDs(correlationID UUID) []UUID {
	ids := make([]UUID, len(s.all))
	for i, secret := range s.all {
		ids[i] = secret.CorrelatedID(correlationID)
	}
	return ids
}

// With returns the same secrets and one more.
func (s *Secrets) With(known Secret) *Secrets {
	earlier := make([]Secret, 0, len(s.all)+1)
	for _, secret := range s.all {
		earlier = append(earlier, *secret)
	}
	return NewSecrets(*s.first, append(earlier, known)...)
}
