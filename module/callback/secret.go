package callback

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"
)

// Secret is a secret of the store. State, ticket and key of a callback are derived from it
// and the callback's id. The URLs can be built again after a restart, while a stolen
// record gives access to nothing.
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

// Proof returns what shows that a client, who is known by that, was told of the callback.
func (s *Secret) Proof(id UUID, client string) UUID {
	sum := sha256.Sum256([]byte(client))
	return s.derive("told "+string(sum[:]), id)
}

// Mark tells secrets of a store apart. It is a part of a digest, from which no secret can be
// computed; 0 is the mark of none.
type Mark uint64

// Mark returns the secret's mark.
func (s *Secret) Mark() Mark {
	sum := s.sum("mark", UUID{})
	return max(1, Mark(binary.BigEndian.Uint64(sum[:])))
}

func (s *Secret) derive(purpose string, id UUID) UUID {
	sum := s.sum(purpose, id)
	return UUID(sum[:16]).stamped()
}

func (s *Secret) sum(purpose string, id UUID) (sum Digest) {
	m := s.keyed()
	defer macs.Put(m)
	return m.sum(purpose, id)
}

// keyed returns an HMAC with the secret, which goes back to macs.
func (s *Secret) keyed() *keyedMAC {
	m, _ := macs.Get().(*keyedMAC)
	if m == nil || m.secret != *s {
		m = &keyedMAC{secret: *s, mac: hmac.New(sha256.New, s[:])}
	}
	return m
}

func (m *keyedMAC) sum(purpose string, id UUID) Digest {
	m.mac.Reset()
	m.buffer = append(append(m.buffer[:0], purpose...), id[:]...)
	m.mac.Write(m.buffer)
	m.buffer = m.mac.Sum(m.buffer[:0])
	return Digest(m.buffer)
}

// macs holds HMACs that have their key already: setting a key costs more than computing
// a sum, and a process has few secrets.
var macs sync.Pool

// keyedMAC is an HMAC with its secret, and a buffer for input and output. block is the cipher for
// correlation ids, nil until one is needed.
type keyedMAC struct {
	secret Secret
	mac    hash.Hash
	block  cipher.Block
	buffer []byte
}

// String keeps a secret out of every log and message.
func (Secret) String() string { return "[secret]" }
