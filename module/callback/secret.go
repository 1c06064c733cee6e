package callback

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
)

// Secret is the store's secret. State and ticket of a callback are derived from
// it and the callback's id, so that a restart can build the URLs again while a
// stolen record opens nothing.
type Secret [32]byte

// NewSecret returns a random secret.
func NewSecret() Secret {
	var s Secret
	_, _ = rand.Read(s[:])
	return s
}

// State returns the secret that lets a partner call.
func (s *Secret) State(id UUID) UUID { return s.derive("state", id) }

// Ticket returns the secret that lets the waiting client read.
func (s *Secret) Ticket(id UUID) UUID { return s.derive("ticket", id) }

func (s *Secret) derive(purpose string, id UUID) UUID {
	mac := hmac.New(sha256.New, s[:])
	mac.Write([]byte(purpose))
	mac.Write(id[:])
	var sum Digest
	mac.Sum(sum[:0])
	return UUID(sum[:16]).stamped()
}

// String keeps a secret out of every log and message.
func (Secret) String() string { return "[secret]" }
