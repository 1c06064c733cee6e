package verify

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Bounds of a form that Twilio sends.
const (
	maxForm   = 1 << 20
	maxFields = 1000
)

// sumParameter is the parameter of the query with the SHA-256 sum of a body that is no form.
const sumParameter = "bodySHA256"

// settingsHeader names the hash function, where Twilio is set to sign with a shared key and not with
// the token of the account.
const settingsHeader = "X-Twilio-Webhooks-Signature-Settings"

// asSet returns the way with the hash function that a header like "key=...,algorithm=HMAC_SHA256"
// names.
func (w way) asSet(h http.Header) (way, error) {
	if len(h.Values(settingsHeader)) == 0 {
		return w, nil
	}
	value, err := one(h, settingsHeader)
	if err != nil {
		return w, err
	}
	for setting := range strings.SplitSeq(value, ",") {
		name, algorithm, _ := strings.Cut(setting, "=")
		if strings.TrimSpace(name) != "algorithm" {
			continue
		}
		switch strings.TrimSpace(algorithm) {
		case "HMAC_SHA1":
		case "HMAC_SHA256":
			w.hash = sha256.New
			w.complete()
		default:
			return w, fmt.Errorf("%w: the header %s names an algorithm that is not known", ErrMalformed, settingsHeader)
		}
		return w, nil
	}
	return w, nil
}

// checkTwilio makes sure that one of the signatures is that of the call: of its URL and the fields
// of its form, sorted by name, each value of a name once and these sorted, too. If the query has a
// sum of the body, only the URL is signed. Twilio signs some URLs with their port and others
// without, so both are tried, as its libraries do.
func (w way) checkTwilio(by seal, signatures []string, m Message) error {
	urls, err := urlsOf(m)
	if err != nil {
		return err
	}
	form, readForm := newForm(m)
	var sum string
	for _, u := range urls {
		want, summed := bodySum(u)
		if !summed && readForm != nil {
			err = readForm
			continue
		}
		for _, spelling := range spellings(u) {
			matches := by.matches(w, signatures, func(out io.Writer) {
				_, _ = io.WriteString(out, spelling)
				if !summed {
					form.write(out)
				}
			})
			if !matches {
				continue
			}
			if !summed {
				return nil
			}
			if sum == "" {
				sum = sumOf(m.Body)
			}
			if subtle.ConstantTimeCompare([]byte(strings.ToLower(want)), []byte(sum)) != 1 {
				return fmt.Errorf("%w: the body is not the one whose sum is in the URL", ErrWrong)
			}
			return nil
		}
	}
	if err != nil {
		return err
	}
	return w.wrong()
}

func sumOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// bodySum returns the sum of the body in the query of a URL. The first counts.
func bodySum(u string) (sum string, ok bool) {
	_, query, _ := strings.Cut(u, "?")
	query, _, _ = strings.Cut(query, "#")
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(pair, "="); name == sumParameter {
			return value, true
		}
	}
	return "", false
}

// spellings returns a URL without and with its port, which is that of the scheme if it names none.
func spellings(u string) []string {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok {
		return []string{u}
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, port := rest[:end], ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexAny(host, "@]") {
		host, port = host[:i], host[i+1:]
	}
	switch {
	case port != "":
	case scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return []string{scheme + "://" + host + rest[end:], scheme + "://" + host + ":" + port + rest[end:]}
}

// field is a field of a form, as it is in the body.
type field struct{ name, value []byte }

// form has the fields of a form in the order in which they are signed.
type form []field

// newForm reads the form in the body of a call. A body that is none would be covered by nothing.
func newForm(m Message) (f form, err error) {
	mediaType, _, _ := strings.Cut(m.Header.Get("Content-Type"), ";")
	switch {
	case len(m.Body) == 0:
		return nil, nil
	case !strings.EqualFold(strings.TrimSpace(mediaType), "application/x-www-form-urlencoded"):
		return nil, fmt.Errorf("%w: the body is no form, and the URL has no %s", ErrMalformed, sumParameter)
	case len(m.Body) > maxForm:
		return nil, fmt.Errorf("%w: the form has more than %d bytes", ErrMalformed, maxForm)
	}
	for pair := range bytes.SplitSeq(m.Body, []byte("&")) {
		if len(pair) == 0 {
			continue
		}
		name, value, _ := bytes.Cut(pair, []byte("="))
		switch {
		case len(f) == maxFields:
			return nil, fmt.Errorf("%w: the form has more than %d fields", ErrMalformed, maxFields)
		case len(name) == 0 || !escaped(pair):
			return nil, fmt.Errorf("%w: the form has a field without a name, or a bad escape", ErrMalformed)
		}
		f = append(f, field{name, value})
	}
	slices.SortFunc(f, compareFields)
	return slices.CompactFunc(f, func(a, b field) bool { return compareFields(a, b) == 0 }), nil
}

func compareFields(a, b field) int {
	if c := compareEscaped(a.name, b.name); c != 0 {
		return c
	}
	return compareEscaped(a.value, b.value)
}

// write writes names and values without their escapes.
func (f form) write(w io.Writer) {
	buffer := make([]byte, 0, 512)
	for _, field := range f {
		for _, text := range [][]byte{field.name, field.value} {
			for len(text) > 0 {
				var c byte
				c, text = unescaped(text)
				if buffer = append(buffer, c); len(buffer) == cap(buffer) {
					_, _ = w.Write(buffer)
					buffer = buffer[:0]
				}
			}
		}
	}
	_, _ = w.Write(buffer)
}

// compareEscaped compares what two texts are without their escapes. Nothing is copied for that.
func compareEscaped(a, b []byte) int {
	for len(a) > 0 && len(b) > 0 {
		var ca, cb byte
		ca, a = unescaped(a)
		cb, b = unescaped(b)
		if ca != cb {
			return int(ca) - int(cb)
		}
	}
	return len(a) - len(b)
}

// unescaped returns the first byte of a text without its escape, and what follows.
func unescaped(text []byte) (c byte, rest []byte) {
	switch text[0] {
	case '+':
		return ' ', text[1:]
	case '%':
		return digit(text[1])<<4 | digit(text[2]), text[3:]
	default:
		return text[0], text[1:]
	}
}

// escaped reports whether every % of a text begins an escape, and no byte is one that forms
// escape.
func escaped(text []byte) bool {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '%':
			if i+2 >= len(text) || digit(text[i+1]) > 15 || digit(text[i+2]) > 15 {
				return false
			}
			i += 2
		case c <= ' ' || c >= 0x7f:
			return false
		}
	}
	return true
}

// digit returns the value of a hexadecimal digit, 255 if it is none.
func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
