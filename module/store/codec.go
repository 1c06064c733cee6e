package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/fxamacker/cbor/v2"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// The envelope of a stored record: version (1 byte), length of the payload (4 bytes),
// CRC-32C of the payload (4 bytes), payload. Storage engines are known to return an
// empty or truncated value without an error, so the envelope shows whether a record
// is complete.
const (
	codecVersion   = 1
	envelopeLength = 1 + 4 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var recordEncoding = func() cbor.EncMode {
	mode, err := cbor.EncOptions{}.EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// recordDecoding fails if there is a member that this release does not know;
// laterDecoding leaves such members out.
var (
	recordDecoding = decoding(cbor.ExtraDecErrorUnknownField)
	laterDecoding  = decoding(cbor.ExtraDecErrorNone)
)

func decoding(extra cbor.ExtraDecErrorCond) cbor.DecMode {
	mode, err := cbor.DecOptions{
		ExtraReturnErrors: extra,

		DupMapKey:   cbor.DupMapKeyEnforcedAPF,
		IndefLength: cbor.IndefLengthForbidden,
		TagsMd:      cbor.TagsForbidden,
		// What partners send in headers and queries need not be UTF-8.
		UTF8: cbor.UTF8DecodeInvalid,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}

// EncodeRecord returns the record as it is stored. Bodies that are kept in files
// are left out. Members that this release does not know are written again.
func EncodeRecord(r *callback.Record) ([]byte, error) {
	payload, err := recordEncoding.Marshal(r.Lean())
	if err != nil {
		return nil, fmt.Errorf("encoding callback %s: %w", r.ID, err)
	}
	if r.HasUnknown() {
		if payload, err = addUnknown(payload, r); err != nil {
			return nil, fmt.Errorf("encoding callback %s: %w", r.ID, err)
		}
	}
	b := make([]byte, envelopeLength, envelopeLength+len(payload))
	b[0] = codecVersion
	binary.BigEndian.PutUint32(b[1:5], uint32(len(payload)))
	binary.BigEndian.PutUint32(b[5:9], crc32.Checksum(payload, castagnoli))
	return append(b, payload...), nil
}

// openEnvelope returns the payload of a stored record if it is complete.
func openEnvelope(b []byte) ([]byte, error) {
	if len(b) < envelopeLength {
		return nil, fmt.Errorf("%w: a record of %d bytes is too short", ErrDamaged, len(b))
	}
	if b[0] != codecVersion {
		return nil, fmt.Errorf("%w: a record has version %d, which this release does not know", ErrDamaged, b[0])
	}
	payload := b[envelopeLength:]
	if uint32(len(payload)) != binary.BigEndian.Uint32(b[1:5]) {
		return nil, fmt.Errorf("%w: a record has the wrong length", ErrDamaged)
	}
	if crc32.Checksum(payload, castagnoli) != binary.BigEndian.Uint32(b[5:9]) {
		return nil, fmt.Errorf("%w: a record does not match its checksum", ErrDamaged)
	}
	return payload, nil
}

// DecodeRecord reads what EncodeRecord returned. Anything else is ErrDamaged.
// The record shares no memory with b.
func DecodeRecord(b []byte) (*callback.Record, error) {
	payload, err := openEnvelope(b)
	if err != nil {
		return nil, err
	}
	r, err := decode(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: a record cannot be read", ErrDamaged)
	}
	if r.Phase < callback.Waiting || r.Phase > callback.Closed {
		return nil, fmt.Errorf("%w: a record has a phase that this release does not know", ErrDamaged)
	}
	return r, nil
}

// decode reads the payload of a record, with the members that this release does not know.
func decode(payload []byte) (*callback.Record, error) {
	r := new(callback.Record)
	err := recordDecoding.Unmarshal(payload, r)
	if err == nil {
		return r, nil
	}
	if _, later := errors.AsType[*cbor.UnknownFieldError](err); !later {
		return nil, err
	}
	r = new(callback.Record)
	if err := laterDecoding.Unmarshal(payload, r); err != nil {
		return nil, err
	}
	return r, keepUnknown(payload, r)
}

// The keys of what is read of a record without decoding it.
const (
	idKey          = 1
	stateKey       = 3
	policyKey      = 5
	correlationKey = 7
	derivedKey     = 37
)

// PolicyOf reads, of what EncodeRecord returned, only the hash of the policy. It takes a
// small part of the time of DecodeRecord.
func PolicyOf(b []byte) (hash callback.Digest, err error) {
	found := false
	if err := eachMember(b, func(key uint64, value []byte) bool {
		if key == policyKey {
			found = copyBytes(hash[:], value)
		}
		return key != policyKey
	}); err != nil {
		return hash, err
	}
	if !found {
		return hash, fmt.Errorf("%w: a record names no policy", ErrDamaged)
	}
	return hash, nil
}

// CorrelationIDOf reads, of what EncodeRecord returned, only the correlation id.
func CorrelationIDOf(b []byte) (id string, err error) {
	whole := false
	if err := eachMember(b, func(key uint64, value []byte) bool {
		if key == correlationKey {
			major, length, content, ok := readHead(value)
			if whole = ok && major == cborText && length == uint64(len(content)); whole {
				id = string(content)
			}
		}
		return key < correlationKey
	}); err != nil {
		return "", err
	}
	if !whole {
		return "", fmt.Errorf("%w: a record has no correlation id", ErrDamaged)
	}
	return id, nil
}

// Derivation says which secret a callback was derived from.
type Derivation struct {
	Mark  callback.Mark
	ID    callback.UUID
	State callback.Digest
}

// DerivationOf reads, of what EncodeRecord returned, only what secret it was derived from.
func DerivationOf(b []byte) (d Derivation, err error) {
	whole := true
	err = eachMember(b, func(key uint64, value []byte) bool {
		switch key {
		case idKey:
			whole = whole && copyBytes(d.ID[:], value)
		case stateKey:
			whole = whole && copyBytes(d.State[:], value)
		case derivedKey:
			major, mark, _, ok := readHead(value)
			whole = whole && ok && major == cborUint
			d.Mark = callback.Mark(mark)
		}
		return true
	})
	if err == nil && (!whole || d.ID.IsZero()) {
		err = fmt.Errorf("%w: a record does not say what it was derived from", ErrDamaged)
	}
	return d, err
}

// eachMember calls yield for the members of a record, until it returns false.
func eachMember(b []byte, yield func(key uint64, value []byte) bool) error {
	rest, err := openEnvelope(b)
	if err != nil {
		return err
	}
	major, members, rest, ok := readHead(rest)
	for ok = ok && major == cborMap; ok && members > 0; members-- {
		var key, value []byte
		if key, rest, ok = cutItem(rest); !ok {
			break
		}
		if value, rest, ok = cutItem(rest); !ok {
			break
		}
		if kind, number, _, _ := readHead(key); kind == cborUint && !yield(number, value) {
			return nil
		}
	}
	return nil
}

// copyBytes copies a byte string, if it has that length, and reports whether it has.
func copyBytes(to, item []byte) bool {
	major, length, content, ok := readHead(item)
	if !ok || major != cborBytes || length != uint64(len(to)) {
		return false
	}
	copy(to, content)
	return true
}
