package callback

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// UUID is a version 4 UUID (RFC 9562, section 5.4): the form of every id, state
// and ticket. The zero UUID stands for none.
type UUID [16]byte

// Digest is a SHA-256 sum. It is the only form in which states, tickets and keys are
// stored.
type Digest [sha256.Size]byte

const uuidLength = 36

// digitsAt is where each byte's two digits stand in the text form.
var digitsAt = [16]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// NewUUID returns a random UUID with 122 bits from the system's secure source.
func NewUUID() UUID {
	var u UUID
	// crypto/rand.Read never fails: it ends the program instead.
	_, _ = rand.Read(u[:])
	return u.stamped()
}

// ParseUUID reads the canonical text form only: 36 bytes, lower case, version 4.
// Everything else is refused, so that one UUID has exactly one URL.
func ParseUUID(s string) (UUID, bool) {
	var u UUID
	if len(s) != uuidLength || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return UUID{}, false
	}
	for i, at := range digitsAt {
		high, ok1 := nibble(s[at])
		low, ok2 := nibble(s[at+1])
		if !ok1 || !ok2 {
			return UUID{}, false
		}
		u[i] = high<<4 | low
	}
	if u != u.stamped() {
		return UUID{}, false
	}
	return u, true
}

// readUUID reads a UUID as other software writes it: in capitals, in braces or brackets,
// without hyphens, or as a URN (RFC 9562, section 4). States and tickets are never read so.
func readUUID(s string) (UUID, bool) {
	s = strings.TrimPrefix(strings.ToLower(s), "urn:uuid:")
	if n := len(s); n > 2 && (s[0] == '{' && s[n-1] == '}' || s[0] == '(' && s[n-1] == ')') {
		s = s[1 : n-1]
	}
	if len(s) == uuidLength-4 && !strings.Contains(s, "-") {
		s = strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
	}
	return ParseUUID(s)
}

// String returns the canonical text form.
func (u UUID) String() string {
	var b [uuidLength]byte
	hex.Encode(b[0:8], u[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], u[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], u[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], u[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], u[10:16])
	return string(b[:])
}

// MarshalText makes a UUID appear in its text form in JSON and in logs.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// IsZero reports whether u stands for none.
func (u UUID) IsZero() bool { return u == UUID{} }

// Digest returns the SHA-256 sum under which a state or ticket is looked up.
func (u UUID) Digest() Digest { return sha256.Sum256(u[:]) }

// IsZero reports whether d stands for none.
func (d Digest) IsZero() bool { return d == Digest{} }

// stamped sets the version and variant bits.
func (u UUID) stamped() UUID {
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

func nibble(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
