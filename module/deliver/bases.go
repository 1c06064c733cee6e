package deliver

import (
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Bases are the base URLs under which callback_server is reached. Base URLs can be
// added while other goroutines read them. The zero Bases is empty, and so is a nil
// one.
type Bases struct {
	mu  sync.RWMutex
	all []*url.URL
}

// Add adds base URLs. It skips empty ones.
func (b *Bases) Add(texts ...string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range texts {
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(b.all, func(there *url.URL) bool { return *there == *u }) {
			b.all = append(b.all, u)
		}
	}
	return nil
}

// With returns a copy that has one more.
func (b *Bases) With(text string) (*Bases, error) {
	more := new(Bases)
	if b != nil {
		b.mu.RLock()
		defer b.mu.RUnlock()
		more.all = slices.Clone(b.all)
	}
	return more, more.Add(text)
}

// Join returns the URLs that have these paths and queries: at the host of a base URL, and below
// its path.
func (b *Bases) Join(uris []string) (urls []string) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, base := range b.all {
		host := base.Scheme + "://" + base.Host
		for _, uri := range uris {
			for _, u := range []string{host + uri, host + strings.TrimSuffix(base.EscapedPath(), "/") + uri} {
				if !slices.Contains(urls, u) {
					urls = append(urls, u)
				}
			}
		}
	}
	return urls
}

// have reports whether one of them matches.
func (b *Bases) have(matches func(*url.URL) bool) bool {
	if b == nil {
		return false
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.ContainsFunc(b.all, matches)
}
