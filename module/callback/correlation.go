package callback

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// CorrelationID returns the correlation id of a callback that neither its request nor an ack
// gives one. It says nothing of the id to whoever does not have the secret; whoever has it can go
// back, so that no index is needed to find such callbacks by it.
func (s *Secret) CorrelationID(id UUID) UUID { return s.scrambled(id, false) }

// CorrelatedID returns the id of the callback that has this correlation id, if it was made for
// one.
func (s *Secret) CorrelatedID(correlationID UUID) UUID { return s.scrambled(correlationID, true) }

// OwnCorrelationID reports whether the correlation id of a record was made for it, from this
// secret; nil stands for one that is not known.
func (s *Secret) OwnCorrelationID(r *Record) bool {
	u, ok := ParseUUID(r.CorrelationID)
	return ok && s != nil && s.CorrelationID(r.ID) == u
}

// A UUID has 122 bits of its own, of which each half has halfBits.
const (
	halfBits = 61
	halfMask = 1<<halfBits - 1
	lowBits  = 62
	lowMask  = 1<<lowBits - 1
)

// halves returns the bits of a UUID but for version and variant.
func (u UUID) halves() (left, right uint64) {
	high, low := binary.BigEndian.Uint64(u[:8]), binary.BigEndian.Uint64(u[8:])&lowMask
	high = high>>16<<12 | high&0xfff
	return high<<1 | low>>halfBits, low & halfMask
}

// fromHalves is the inverse of halves.
func fromHalves(left, right uint64) (u UUID) {
	high, low := left>>1, left&1<<halfBits|right
	binary.BigEndian.PutUint64(u[:8], high>>12<<16|high&0xfff)
	binary.BigEndian.PutUint64(u[8:], low)
	return u.stamped()
}

// scrambleRounds is the number of rounds of the Feistel network that scrambled is. Four make a
// permutation that nobody tells from a random one (Luby and Rackoff), if the function of each
// round is one; AES is.
const scrambleRounds = 4

// scrambled permutes the UUIDs, or undoes that.
func (s *Secret) scrambled(u UUID, back bool) UUID {
	m := s.keyed()
	defer macs.Put(m)
	left, right := u.halves()
	for round := range scrambleRounds {
		if back {
			left, right = right^m.scramble(scrambleRounds-1-round, left), left
		} else {
			left, right = right, left^m.scramble(round, right)
		}
	}
	return fromHalves(left, right)
}

// scramble is the function of a round.
func (m *keyedMAC) scramble(round int, half uint64) uint64 {
	if m.block == nil {
		m.block = m.cipher()
	}
	if cap(m.buffer) < 2*aes.BlockSize {
		m.buffer = make([]byte, 0, 2*aes.BlockSize)
	}
	block := m.buffer[:aes.BlockSize]
	binary.BigEndian.PutUint64(block, uint64(round))
	binary.BigEndian.PutUint64(block[8:], half)
	m.block.Encrypt(block, block)
	return binary.BigEndian.Uint64(block) & halfMask
}

// cipher returns the cipher for correlation ids. Its key is derived from the secret.
func (m *keyedMAC) cipher() cipher.Block {
	key := m.sum("correlation id", UUID{})
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	return block
}
