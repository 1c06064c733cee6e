package callback

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// Secret is the store's secret. State, ticket and key of a callback are derived from
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

// Key returns the key that is made for this one callback: 32 bytes in base64url.
func (s *Secret) Key(id UUID) string {
	sum := s.sum("key", id)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (s *Secret) derive(purpose string, id UUID) UUID {
	sum := s.sum(purpose, id)
	return UUID(sum[:16]).stamped()
}

func (s *Secret) sum(purpose string, id UUID) (sum Digest) {
	mac := hmac.New(sha256.New, s[:])
	mac.Write([]byte(purpose))
	mac.Write(id[:])
	mac.Sum(sum[:0])
	return sum
}

// String keeps a secret out of every log and message.
func (Secret) String() string { return "[secret]" }
