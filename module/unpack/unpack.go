// Package unpack reads bodies that have a content coding: gzip, deflate or zstd. What it
// reads is bounded in memory and time, whatever a sender has packed, and nothing is read
// that two readers could read differently.
package unpack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrUnreadable is wrapped by every error that says that a packed body cannot be unpacked:
// it is not what its coding says, or it is over a bound.
var ErrUnreadable = errors.New("packed body cannot be unpacked")

// Codings that are known.
const (
	gzipCoding    = "gzip"
	deflateCoding = "deflate"
	zstdCoding    = "zstd"
)

var codings = []string{gzipCoding, deflateCoding, zstdCoding}

const (
	// maxRatio is how many times its packed size a body may have unpacked.
	maxRatio = 100
	// alwaysAllowed is how many bytes a body may have unpacked however small it is packed.
	alwaysAllowed = 64 << 10
)

// Most returns how many bytes a body may have unpacked, if no body may have more than limit.
func Most(packed, limit int64) int64 {
	if packed > limit/maxRatio {
		return limit
	}
	return min(limit, max(alwaysAllowed, packed*maxRatio))
}

// CodingOf returns the coding that the lines of a Content-Encoding header name, in lower
// case; "" for none. Several stand as in one line.
func CodingOf(lines []string) string {
	var all []string
	for _, line := range lines {
		for coding := range strings.SplitSeq(line, ",") {
			if coding = canonical(coding); coding != "" && coding != "identity" {
				all = append(all, coding)
			}
		}
	}
	return strings.Join(all, ", ")
}

// canonical returns the name by which a coding is known (RFC 9110, section 8.4.1).
func canonical(coding string) string {
	coding = strings.ToLower(strings.TrimSpace(coding))
	if coding == "x-gzip" {
		return gzipCoding
	}
	return coding
}

// Knows reports whether a coding, as CodingOf returns it, can be unpacked. Several can not.
func Knows(coding string) bool { return slices.Contains(codings, coding) }

// unreadable returns the error that says why a body cannot be unpacked.
func unreadable(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrUnreadable, fmt.Sprintf(format, a...))
}
