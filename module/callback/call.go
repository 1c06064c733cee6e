package callback

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"net/http"
	"slices"

	"github.com/caddy-callback/caddy-callback/module/unpack"
)

// Body is the body of a call or of an ack. A small one is kept in the record, a
// larger one in a file of the store's.
type Body struct {
	// Data is the body itself. A store leaves it out if File is set: then only the
	// process that received the body has it in memory.
	Data []byte `cbor:"1,keyasint,omitempty"`
	// File is the store's name for the file; empty for a body in the record.
	File string `cbor:"2,keyasint,omitempty"`
	// Size is the length in bytes.
	Size int64 `cbor:"3,keyasint,omitempty"`
	// Sum is the digest of a body that is kept in a file.
	Sum Digest `cbor:"4,keyasint,omitzero"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// NewBody returns a body that is kept in the record.
func NewBody(data []byte) Body { return Body{Data: data, Size: int64(len(data))} }

// Call is one HTTP request to a callback URL, without its secrets.
type Call struct {
	// Method is the HTTP method.
	Method string `cbor:"1,keyasint"`
	// Suffix is what came after the state in the path.
	Suffix string `cbor:"2,keyasint,omitempty"`
	// Query is the raw query without state and key.
	Query string `cbor:"3,keyasint,omitempty"`
	// Header has neither the connection's headers nor any credentials.
	Header Header `cbor:"4,keyasint,omitempty"`
	// Body is the body as it came.
	Body Body `cbor:"5,keyasint"`
	// ReceivedAt is when the call arrived.
	ReceivedAt Time `cbor:"6,keyasint"`
	// Polled says that nobody has called: it is what the upstream answered when it was asked
	// for the result.
	Polled bool `cbor:"7,keyasint,omitempty"`
	// Unpacked is the body for those who look into it, if it is packed; nil if nobody can.
	// What is kept, handed on and compared is the body as it came. It is never stored.
	Unpacked *unpack.Body `cbor:"-" json:"-"`
	// Caller is what the caller has proved with keys. It is never stored.
	Caller Caller `cbor:"-" json:"-"`
	// By says who makes the call: an operator, by the name of the key, or a person, as Caddy has
	// authenticated them.
	By string `cbor:"8,keyasint,omitempty"`
	// Choice is what a person has chosen who decides.
	Choice string `cbor:"9,keyasint,omitempty"`
	// Asked is what the app decided about the call; nil if the app was not asked. It is
	// never stored.
	Asked *Asked `cbor:"-" json:"-"`
	// Person says that a browser makes the call, for a person who sees the answer. It is
	// never stored.
	Person bool `cbor:"-" json:"-"`
	// Elsewhere says that a page of another site makes the call. It is never stored.
	Elsewhere bool `cbor:"-" json:"-"`
	// ActiveContent says that the reply may be a page that runs in a browser, and have headers
	// that act on the whole site. It is never stored.
	ActiveContent bool `cbor:"-" json:"-"`
	// hidden are secrets, in small letters. heard says that some were taken out of header and
	// query, and the next two are these with them. None of this is ever stored.
	hidden      []string
	heard       bool
	heardHeader Header
	heardQuery  string
	// byHand says that the call is an operator's. It is never stored.
	byHand bool
	// Unattended says that nobody waits for the callback. It is never stored.
	Unattended bool `cbor:"-" json:"-"`
	// Unknown are members that this release does not know.
	Unknown Unknown `cbor:"-"`
}

// maxCallHeader bounds header and query of a call together, in bytes. Both are stored.
const maxCallHeader = 64 << 10

// ErrCallHeader is returned for a call whose header and query are too large to be
// stored.
var ErrCallHeader = errors.New("header and query of the call are over the limit")

// NewCall returns a call without its body. The query must hold neither state nor key.
// The error is ErrCallHeader.
func NewCall(method, suffix, query string, header http.Header, at Time) (*Call, error) {
	stored, ok := collect(header, notOfCalls, maxCallHeader-len(query))
	if !ok || len(query) > maxCallHeader {
		return nil, ErrCallHeader
	}
	return &Call{Method: method, Suffix: suffix, Query: query, Header: stored, ReceivedAt: at}, nil
}

// Caller says what a caller has proved with the keys that it showed.
type Caller struct {
	// Shown says that the caller showed a key, valid or not.
	Shown bool
	// Names are the named keys that the caller showed and that have the permission
	// send.
	Names []string
	// Only has, by the names of keys, the names of the callbacks that a key opens. A key that
	// is not in it opens all.
	Only map[string][]string
	// Required are the keys of which the server asks for one, whatever the callback asks for;
	// empty if it asks for none.
	Required []string
	// Known says that the caller showed a named key, with or without that permission.
	Known bool
	// Signed says that one of Names was shown by signing the call, and SignsName that the
	// signature covers the call's name. MaySign says that there are keys that can be shown so,
	// and Refused why none of the call's signatures shows one: a
	// sentence, empty if the call has no signature or a right one.
	Signed, SignsName, MaySign bool
	Refused                    string
	// Own says that the caller showed the key that was made for this callback.
	Own bool
	// shut says that none of the caller's keys is one of Required.
	shut bool
}

// Opens reports whether the key with that name, one of Names, opens callbacks with this
// name.
func (c Caller) Opens(key, name string) bool {
	only, limited := c.Only[key]
	return !limited || slices.Contains(only, name)
}

// at returns the caller as callbacks with that name know it: without the keys that do not
// open them.
func (c Caller) at(name string) Caller {
	if len(c.Only) == 0 {
		return c
	}
	c.Names = slices.DeleteFunc(slices.Clone(c.Names), func(key string) bool { return !c.Opens(key, name) })
	c.shut = len(c.Required) > 0 && !slices.ContainsFunc(c.Names, func(key string) bool { return slices.Contains(c.Required, key) })
	return c
}

// Payload returns the digest by which a repeated call is recognized. It covers the path
// suffix, the query, the wire headers, the headers that Failed and Progress compare, and
// the body. Other headers do not count, because a proxy on the way may change them, and
// neither does the spelling of a correlation id that is a UUID.
func (c *Call) Payload(p *Policy) Digest {
	h := sha256.New()
	write := func(s string) { writePart(h, s) }
	header, query := c.whole()
	write(c.Suffix)
	write(query)
	for _, name := range append(p.wire.Names(), p.reads...) {
		values := header.Values(name)
		if name == p.wire.CorrelationID {
			values = meantIDs(values)
		}
		for _, v := range slices.Compact(values) {
			write(name)
			write(v)
		}
	}
	write("")
	h.Write(c.Body.Data)
	var sum Digest
	h.Sum(sum[:0])
	return sum
}

// writePart adds a text and its length to a digest, so that the digest also depends on
// where one text ends and the next begins.
func writePart(h hash.Hash, s string) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(s)))
	h.Write(size[:])
	h.Write([]byte(s))
}

// IdempotencyKey is the header by which a client names its request, so that it can
// repeat the request without anything being done twice
// (draft-ietf-httpapi-idempotency-key-header).
const IdempotencyKey = "Idempotency-Key"
