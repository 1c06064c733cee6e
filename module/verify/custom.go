package verify

import (
	"crypto/sha1" //nolint:gosec // some providers sign with it, and in an HMAC it is not broken
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Custom says how calls are signed whose scheme is HMAC.
type Custom struct {
	// Header is the name of the header that bears the signature. It is required.
	Header string `json:"header"`

	// Encoding is the form in which the signature is text: "hex" or "base64". Default: hex.
	Encoding string `json:"encoding,omitempty"`

	// Prefix is what stands before the signature in its header, such as "sha256=". Default: none.
	Prefix string `json:"prefix,omitempty"`

	// Hash is the hash function of the HMAC: "sha256", "sha512" or "sha1". Default: sha256.
	Hash string `json:"hash,omitempty"`

	// Signs is the text that is signed. It must have {body}, and may have {timestamp}, {url}, the
	// public URL of the call with its query, and {method}. Default: {body}.
	Signs string `json:"signs,omitempty"`

	// Timestamp is the name of the header with the time at which the call was signed, in seconds
	// or milliseconds since 1970. It is required if Signs has {timestamp}, and of no use if not.
	Timestamp string `json:"timestamp,omitempty"`

	// Tolerance is by how much that time may differ from ours, at most 24h. Default: 5m.
	Tolerance Duration `json:"tolerance,omitempty"`
}

// Duration is a time span. In JSON it is a number of nanoseconds, or a text like "5m".
type Duration time.Duration

// UnmarshalJSON reads either form.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return json.Unmarshal(data, (*int64)(d))
	}
	span, err := time.ParseDuration(text)
	*d = Duration(span)
	return err
}

// maxTolerance bounds Tolerance: a signature that is good for longer is as good as a key.
const maxTolerance = 24 * time.Hour

// maxPrefix bounds Prefix, in bytes.
const maxPrefix = 64

var hashes = map[string]func() hash.Hash{"": sha256.New, "sha256": sha256.New, "sha512": sha512.New, "sha1": sha1.New}

var encodings = map[string]func([]byte) string{"": hex.EncodeToString, "hex": hex.EncodeToString, "base64": base64.StdEncoding.EncodeToString}

// notInHeader are the names of headers that a server takes out of the header of a request.
var notInHeader = []string{"Content-Length", "Host", "Trailer", "Transfer-Encoding"}

// Check makes sure that calls can be signed so. Its errors begin with the field, and say what to
// write instead.
func (c Custom) Check() error {
	if err := checkHeader("header", c.Header); err != nil {
		return err
	}
	if encodings[c.Encoding] == nil {
		return fmt.Errorf("encoding %q is not known; write hex or base64", c.Encoding)
	}
	if len(c.Prefix) > maxPrefix || !httpguts.ValidHeaderFieldValue(c.Prefix) || strings.TrimLeft(c.Prefix, " \t") != c.Prefix {
		return fmt.Errorf("prefix %q cannot begin the value of a header; write one like sha256=, of at most %d bytes", c.Prefix, maxPrefix)
	}
	if hashes[c.Hash] == nil {
		return fmt.Errorf("hash %q is not known; write sha256, sha512 or sha1", c.Hash)
	}
	return c.checkSigns()
}

// checkSigns makes sure that what is signed can be told, and that a time which matters is signed.
func (c Custom) checkSigns() error {
	pieces, err := parseSigns(c.signs())
	if err != nil {
		return err
	}
	switch timed := has(pieces, isTime); {
	case timed && c.Timestamp == "":
		return errors.New("timestamp is missing: signs has {timestamp}; name the header that it is in")
	case !timed && c.Timestamp != "":
		return fmt.Errorf("timestamp %s is not signed, so that anybody could change it; write {timestamp} into signs", c.Timestamp)
	case !timed && c.Tolerance != 0:
		return errors.New("tolerance is for a timestamp; name its header, or leave tolerance out")
	case c.Tolerance != 0 && (c.Tolerance < Duration(time.Second) || c.Tolerance > Duration(maxTolerance)):
		return fmt.Errorf("tolerance %v is not between 1s and %v", time.Duration(c.Tolerance), maxTolerance)
	case !timed:
		return nil
	}
	if http.CanonicalHeaderKey(c.Timestamp) == http.CanonicalHeaderKey(c.Header) {
		return errors.New("timestamp and header name the same header; the time must be in one of its own")
	}
	return checkHeader("timestamp", c.Timestamp)
}

func checkHeader(field, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s is missing: write the name of a header, such as X-Signature", field)
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%s %q is not the name of a header; write one like X-Signature", field, name)
	case slices.Contains(notInHeader, http.CanonicalHeaderKey(name)):
		return fmt.Errorf("%s %s belongs to the connection; write the name of another header", field, name)
	}
	return nil
}

func (c Custom) signs() string {
	if c.Signs == "" {
		return "{body}"
	}
	return c.Signs
}

// way returns the way in which such calls bear their signature.
func (c Custom) way() way {
	w := way{
		header: http.CanonicalHeaderKey(c.Header), prefix: c.Prefix, hash: hashes[c.Hash], encode: encodings[c.Encoding],
		folds: c.Encoding != "base64", tolerance: time.Duration(c.Tolerance),
	}
	// Check has parsed it.
	w.signs, _ = parseSigns(c.signs())
	if c.Timestamp != "" {
		w.time, w.timed = http.CanonicalHeaderKey(c.Timestamp), true
	}
	w.complete()
	return w
}
