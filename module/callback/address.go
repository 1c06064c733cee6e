package callback

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// errHostName is returned for a URL whose host has a name that none can have.
var errHostName = errors.New("the name of its host is not one that a host can have")

// ASCIIName returns the name of a host as it is looked up: in punycode (RFC 5891) if it
// has other letters than those of ASCII.
func ASCIIName(text string) (string, bool) {
	if isASCII(text) {
		return text, true
	}
	name, err := idna.Lookup.ToASCII(text)
	return name, err == nil && utf8.ValidString(text) && !strings.HasPrefix(name, ".") && !strings.Contains(name, "..")
}

// ASCIIURL returns a URL as it can be sent: with the name of its host in punycode, and
// all else beyond ASCII escaped. In URLs that are not of the web the host is escaped, too.
func ASCIIURL(text string) (string, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || !isWeb(scheme) {
		return escapeBeyondASCII(text), nil
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, rest := rest[:end], rest[end:]
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i:]
	}
	if plain, err := url.PathUnescape(name); err == nil && !isASCII(plain) {
		name = plain
	}
	ascii, ok := ASCIIName(name)
	if !ok {
		return escapeBeyondASCII(text), errHostName
	}
	return scheme + "://" + ascii + port + escapeBeyondASCII(rest), nil
}

// escapeBeyondASCII percent-encodes the bytes that no URL can hold because they are not
// ASCII.
func escapeBeyondASCII(text string) string {
	if isASCII(text) {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c < utf8.RuneSelf {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf })
}

// isWeb reports whether a scheme is one of the web's.
func isWeb(scheme string) bool {
	return strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
}

var (
	// schemeName matches schemes (RFC 3986, section 3.1).
	schemeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`)
	// portFollows matches what follows the colon where a host and its port were written.
	portFollows = regexp.MustCompile(`^[0-9]{1,5}([/?#]|$)`)
)

// refusedSchemes never lead to a page or an app: they hold a page, run script, or open
// what is on the person's own machine.
var refusedSchemes = []string{"javascript", "data", "vbscript", "file", "blob", "about"}

// checkScheme makes sure that a redirect can lead to a URL with that scheme, and returns
// the scheme and what follows its colon.
func checkScheme(text string) (scheme, rest string, err error) {
	scheme, rest, found := strings.Cut(text, ":")
	switch {
	case !found || !schemeName.MatchString(scheme):
		return "", "", errors.New("it must begin with /, or with a scheme that is written out: http://, https://, or that of an app, as in myapp://done")
	case slices.Contains(refusedSchemes, strings.ToLower(scheme)):
		return "", "", fmt.Errorf("nobody is redirected to a URL that begins with %s:; name a page or an app", strings.ToLower(scheme))
	case (strings.Contains(scheme, ".") || scheme == "localhost") && portFollows.MatchString(rest):
		return "", "", errors.New("it begins with a host and its port; write http:// or https:// before them")
	case isWeb(scheme) && !strings.HasPrefix(rest, "//"):
		return "", "", errors.New("its host must follow two slashes, as in https://shop.example.com")
	}
	return scheme, rest, nil
}

// LeadsBack reports whether a URL leads to one of callback_server's own paths below
// the base URL.
func LeadsBack(target, base string) bool {
	base, _ = ASCIIURL(base)
	b, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil {
		return false
	}
	if end := strings.IndexAny(target, "?#"); end >= 0 {
		target = target[:end]
	}
	if target, err = ASCIIURL(target); err != nil {
		return false
	}
	if scheme, rest, found := strings.Cut(target, "://"); found && !strings.HasPrefix(target, "/") {
		host, path, _ := strings.Cut(rest, "/")
		if !strings.EqualFold(scheme, b.Scheme) || plainHost(scheme, host) != plainHost(b.Scheme, b.Host) {
			return false
		}
		target = "/" + path
	}
	below, found := strings.CutPrefix(target, b.EscapedPath())
	return found && ParsePath(below).Resource != OfSite
}

// plainHost returns a host with its port, if that is not the scheme's own, in one spelling.
func plainHost(scheme, host string) string {
	name, port := strings.ToLower(host), ""
	if at := strings.LastIndexByte(name, ':'); at >= 0 && !strings.HasSuffix(name, "]") {
		name, port = name[:at], strings.TrimLeft(name[at+1:], "0")
	}
	if name = strings.TrimSuffix(name, "."); port == "" || port == schemePorts[strings.ToLower(scheme)] {
		return name
	}
	return name + ":" + port
}

// schemePorts are the ports of the web's schemes.
var schemePorts = map[string]string{"http": "80", "https": "443"}
