package quoted

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// quoting writes what from has into to, as it stands between the quotes of a JSON string.
// It stops where to is full, or where from breaks off and is not at its end. If to has room
// for longest bytes, and from has a whole character or is at its end, it gets on.
type quoting func(to, from []byte, end bool) (written, read int, err error)

// longest is how many bytes a character takes at most.
const longest = len(`\u0000`)

// errNotText says that a body is not UTF-8.
var errNotText = errors.New("the body is not UTF-8")

// escapes has what json.Marshal writes for characters of ASCII that it does not leave as
// they are.
var escapes = func() (all [utf8.RuneSelf]string) {
	for c := range all {
		quoted, _ := json.Marshal(string(rune(c))) // Every string can be marshalled.
		if len(quoted) > len(`"c"`) {
			all[c] = string(quoted[1 : len(quoted)-1])
		}
	}
	return all
}()

// quoteText writes text as json.Marshal does. The error is errNotText.
func quoteText(to, from []byte, end bool) (written, read int, err error) {
	for read < len(from) && len(to)-written >= longest {
		c := from[read]
		if c < utf8.RuneSelf {
			read++
			if escapes[c] == "" {
				to[written] = c
				written++
			} else {
				written += copy(to[written:], escapes[c])
			}
			continue
		}
		r, size := utf8.DecodeRune(from[read:])
		switch {
		case size > 1 && r == '\u2028':
			written += copy(to[written:], `\u2028`)
		case size > 1 && r == '\u2029':
			written += copy(to[written:], `\u2029`)
		case size > 1:
			written += copy(to[written:], from[read:read+size])
		case !end && !utf8.FullRune(from[read:]):
			return written, read, nil
		default:
			return written, read, errNotText
		}
		read += size
	}
	return written, read, nil
}

// quoteBase64 writes bytes in base64, with padding at their end.
func quoteBase64(to, from []byte, end bool) (written, read int, err error) {
	read = min(len(from), len(to)/4*3)
	if !end || read < len(from) {
		read -= read % 3
	}
	base64.StdEncoding.Encode(to, from[:read])
	return base64.StdEncoding.EncodedLen(read), read, nil
}
