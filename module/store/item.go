package store

import "encoding/binary"

// The major types of CBOR items (RFC 8949, section 3.1).
const (
	cborUint  = 0
	cborBytes = 2
	cborText  = 3
	cborArray = 4
	cborMap   = 5
	cborTag   = 6
)

// readHead reads the head of a CBOR item: its major type and its argument. It knows
// nothing of indefinite lengths, which no record has.
func readHead(b []byte) (major byte, argument uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, 0, nil, false
	}
	major, low := b[0]>>5, b[0]&0x1f
	b = b[1:]
	if low < 24 {
		return major, uint64(low), b, true
	}
	if low > 27 || len(b) < 1<<(low-24) {
		return 0, 0, nil, false
	}
	switch low {
	case 24:
		return major, uint64(b[0]), b[1:], true
	case 25:
		return major, uint64(binary.BigEndian.Uint16(b)), b[2:], true
	case 26:
		return major, uint64(binary.BigEndian.Uint32(b)), b[4:], true
	}
	return major, binary.BigEndian.Uint64(b), b[8:], true
}

// cutItem divides bytes that begin with a CBOR item into that item and what follows it.
func cutItem(b []byte) (item, rest []byte, ok bool) {
	rest = b
	for open := uint64(1); open > 0; open-- {
		var major byte
		var argument uint64
		if major, argument, rest, ok = readHead(rest); !ok {
			return nil, nil, false
		}
		switch major {
		case cborBytes, cborText:
			if argument > uint64(len(rest)) {
				return nil, nil, false
			}
			rest = rest[argument:]
		case cborArray, cborMap:
			// Each item takes a byte at least.
			if argument > uint64(len(rest)) {
				return nil, nil, false
			}
			open += argument
			if major == cborMap {
				open += argument
			}
		case cborTag:
			open++
		}
	}
	return b[:len(b)-len(rest)], rest, true
}
