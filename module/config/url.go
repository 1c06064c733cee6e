package config

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// CheckBases makes sure that both can be the bases of URLs that are given out. An empty one
// is not checked. Errors begin with the option.
func CheckBases(baseURL, statusURL string) error {
	for _, u := range []struct{ name, value string }{{"base_url", baseURL}, {"status_url", statusURL}} {
		if u.value == "" {
			continue
		}
		if err := CheckBase(u.value); err != nil {
			return fmt.Errorf("%s: %w", u.name, err)
		}
	}
	return nil
}

// Base returns the base of URLs as they are given out: the name of its host in punycode. A
// text that CheckBase refuses is returned unchanged.
func Base(text string) string {
	if ascii, err := callback.ASCIIURL(text); err == nil {
		return ascii
	}
	return text
}

// CheckBase makes sure that text can be the base of URLs that are given out.
func CheckBase(text string) error {
	if strings.ContainsAny(text, "{}") {
		return fmt.Errorf("%q holds a placeholder that is empty or unknown when the configuration is loaded; use one like {env.NAME} and set it, or write the URL out", text)
	}
	ascii, err := callback.ASCIIURL(text)
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	if strings.ContainsFunc(ascii, outsideURL) {
		return fmt.Errorf("%q has a character that no URL can hold; write it escaped, a space as %%20", text)
	}
	u, err := url.Parse(ascii)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a URL; write one like https://app.example.com", text)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q must begin with http:// or https://", text)
	case u.Hostname() == "":
		return fmt.Errorf("%q has no host; write a URL like https://app.example.com", text)
	case u.User != nil:
		return fmt.Errorf("%q must not hold a user name", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(text, "?") || strings.HasSuffix(text, "#"):
		return fmt.Errorf("%q must end with its path: no query, no fragment", text)
	}
	return checkPortAndPath(text, u)
}

func checkPortAndPath(text string, u *url.URL) error {
	if _, port, found := strings.Cut(strings.TrimPrefix(u.Host, "["+u.Hostname()+"]"), ":"); found {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q has a port that does not exist; write one from 1 to 65535, or none", text)
		}
	}
	parts := strings.Split(strings.TrimSuffix(u.Path, "/"), "/")[1:]
	if slices.ContainsFunc(parts, func(part string) bool { return part == "" || part == "." || part == ".." }) {
		return fmt.Errorf("%q has empty or dotted parts in its path; write the path without them", text)
	}
	return nil
}

// outsideURL reports whether a character must be escaped in a URL.
func outsideURL(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"<>\\^`|", c) }

// CheckPath makes sure that text is the path at which an app is asked. Errors begin with
// the option ask.
func CheckPath(text string) error {
	u, err := url.ParseRequestURI(text)
	switch {
	case err != nil || !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") || strings.ContainsFunc(text, outsideURL):
		return fmt.Errorf("ask: %q is not a path; write one that begins with a slash, as in: ask /callbacks/decide", text)
	case strings.ContainsAny(text, "?#") || strings.Contains(u.Path, "/../") || strings.HasSuffix(u.Path, "/.."):
		return fmt.Errorf("ask: %q must be a path alone, without a query and without dots", text)
	}
	return nil
}
