package answer

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/unpack"
)

// Reading is a request to read a document of a callback.
type Reading struct {
	Engine *engine.Engine
	// Exit is closed when Caddy exits.
	Exit <-chan struct{}
	// Key finds the callback in the store.
	Key store.Key
	// Shows reports whether callbacks with a name can be read; nil for all.
	Shows func(name string) bool
	// Document is the document that the client reads.
	Document Document
	// Chain is what the URL says of a chain of redirects. Its wait counts as if the client
	// preferred it, and a client that prefers to wait waits no longer than that.
	Chain Chain
}

// Document is a document that shows a callback: its status or its result.
type Document struct {
	// Tag returns the entity tag of the document that a request gets, "" if it has none.
	Tag func(*http.Request, *engine.Callback) (string, error)
	// AtEnd says that there is no document before the callback has ended.
	AtEnd bool
	// HasPage says that people may see a page in its place.
	HasPage bool
}

func (d Document) vary(h http.Header, cb *engine.Callback) {
	if d.HasPage {
		varyPage(h, cb)
	}
}

// The documents that the holder of a ticket can read.
var (
	StatusDocument = Document{Tag: statusTag, HasPage: true}
	ResultDocument = Document{Tag: resultTag, AtEnd: true, HasPage: true}
)

// maxPreferredWait bounds how long a request for status or result can wait.
const maxPreferredWait = 5 * time.Minute

// Await returns the callback as soon as the client can read what it waits for, and at
// the latest after the wait that the header Prefer or the URL asks for. If the client has the
// document already, Await answers with 304 and returns nil. It returns
// store.ErrNotFound if there is no such callback.
func (rd Reading) Await(w http.ResponseWriter, r *http.Request) (*engine.Callback, error) {
	preference := PreferenceOf(r.Header, cmp.Or(rd.Chain.Wait, maxPreferredWait))
	wait := preference.Wait
	if !preference.Waits {
		wait = rd.Chain.Wait
	}
	cb, err := rd.await(r, wait)
	if err != nil {
		return nil, err
	}
	preference.Async = false
	preference.Apply(w.Header())
	rd.Document.vary(w.Header(), cb)
	tag, err := rd.Document.Tag(r, cb)
	if tag == "" || err != nil {
		return cb, err
	}
	w.Header().Set("ETag", tag)
	if !matches(r.Header["If-None-Match"], tag) {
		return cb, nil
	}
	if rd.Document.AtEnd && unpack.Knows(codingOf(cb.Result(cb.Policy))) {
		addVary(w.Header())
	}
	w.WriteHeader(http.StatusNotModified)
	return nil, nil
}

// Serve is Await and then serve, which answers with the Newest document of the callback.
func (rd Reading) Serve(w http.ResponseWriter, r *http.Request, serve func(*engine.Callback) error) error {
	return Newest(func() error {
		cb, err := rd.Await(w, r)
		if cb == nil || err != nil {
			return err
		}
		return serve(cb)
	})
}

// Newest calls show, which finds a callback and answers with what its record holds. If a
// body was removed in between, because a further call has replaced it, the record was not
// the newest, and show is called again. store.ErrRemoved: calls come faster than that.
func Newest(show func() error) error {
	for tries := 1; ; tries++ {
		if err := show(); !errors.Is(err, store.ErrRemoved) || tries == mostTries {
			return err
		}
	}
}

const mostTries = 10

// await returns the callback when the wait is over.
func (rd Reading) await(r *http.Request, wait time.Duration) (*engine.Callback, error) {
	cb, err := rd.Engine.FindCommitted(r.Context(), rd.Key)
	if err == nil && rd.Shows != nil && !rd.Shows(cb.Name) {
		err = store.ErrNotFound
	}
	if err != nil || wait <= 0 {
		return cb, err
	}
	if there, err := rd.there(r, cb); there || err != nil {
		return cb, err
	}
	return rd.awaitChange(r, cb.ID, wait)
}

// awaitChange returns the callback when the client can read what it waits for, when the
// wait is over, or when Caddy exits.
func (rd Reading) awaitChange(r *http.Request, id callback.UUID, wait time.Duration) (*engine.Callback, error) {
	waiter, err := rd.Engine.AwaitChange(id)
	if err != nil {
		return nil, err
	}
	defer waiter.Stop()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	ctx := r.Context()
	for over := false; ; {
		// It may have changed before the waiter was registered.
		cb, err := rd.Engine.FindCommitted(ctx, rd.Key)
		if err != nil || over {
			return cb, err
		}
		if there, err := rd.there(r, cb); there || err != nil {
			return cb, err
		}
		select {
		case n := <-waiter.C:
			n.Done()
		case <-timer.C:
			over = true
		case <-rd.Exit:
			over = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// there reports whether the client can read what it waits for: the end of the callback
// or, if it sends If-None-Match, a document that differs from the ones it has.
func (rd Reading) there(r *http.Request, cb *engine.Callback) (bool, error) {
	known := r.Header["If-None-Match"]
	if len(known) == 0 {
		return cb.Phase.Final(), nil
	}
	tag, err := rd.Document.Tag(r, cb)
	unchanged := tag != "" && matches(known, tag)
	return !unchanged && (cb.Phase.Final() || !rd.Document.AtEnd), err
}

// matches reports whether one of the entity tags in If-None-Match is this one (RFC 9110,
// section 13.1.2). Weak and strong tags are not told apart.
func matches(known []string, tag string) bool {
	tag = strings.TrimPrefix(tag, weak)
	for _, rest := range known {
		if strings.TrimSpace(rest) == "*" {
			return true
		}
		for rest != "" {
			rest = strings.TrimPrefix(strings.TrimLeft(rest, ", \t"), weak)
			length := tagLength(rest)
			if length == 0 {
				break
			}
			if rest[:length] == tag {
				return true
			}
			rest = rest[length:]
		}
	}
	return false
}

// tagLength returns the length of the opaque tag that a text begins with, 0 if it
// begins with none. There may be commas in it.
func tagLength(text string) int {
	if !strings.HasPrefix(text, `"`) {
		return 0
	}
	end := strings.IndexByte(text[1:], '"')
	if end < 0 {
		return 0
	}
	return end + 2
}

// isTag reports whether a text is an entity tag and nothing else.
func isTag(text string) bool {
	text = strings.TrimPrefix(text, weak)
	return text != "" && tagLength(text) == len(text)
}

// weak begins the tag of content that may differ in what does not matter.
const weak = "W/"

// tagOf returns an entity tag from a digest.
func tagOf(h hash.Hash) string {
	return `"` + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16]) + `"`
}

// DocumentTag returns the entity tag of a JSON document.
func DocumentTag(v any) (string, error) {
	h := sha256.New()
	err := json.NewEncoder(h).Encode(v)
	return tagOf(h), err
}

// ContentTag returns the entity tag of a JSON document that is open, and closes it.
func ContentTag(d engine.Content) (string, error) {
	defer func() { _ = d.Close() }()
	h := sha256.New()
	_, err := io.Copy(h, d.ReadCloser)
	_, _ = io.WriteString(h, newline)
	return tagOf(h), err
}

// statusTag returns the entity tag of a callback's status, or of its page, as its ticket shows
// it.
func statusTag(r *http.Request, cb *engine.Callback) (string, error) {
	if ShowsPage(r, cb) {
		return pageTag(r, cb)
	}
	return DocumentTag(newStatus(cb))
}

// resultTag returns the entity tag of a callback's result: the one that it came with,
// or else one that is computed from it. Only a success has one (RFC 9110, section 13.2.1). A
// client that gets it unpacked gets another.
func resultTag(r *http.Request, cb *engine.Callback) (string, error) {
	if cb.Phase != callback.Resolved && cb.Phase != callback.Failed {
		return "", nil
	}
	result := cb.Result(cb.Policy)
	if result.Body == nil || result.Gone || result.Status < 200 || result.Status > 299 {
		return "", nil
	}
	tag, err := packedTag(result)
	if err == nil && unpacks(r, result) {
		tag = unpackedTag(tag)
	}
	return tag, err
}

// packedTag returns the entity tag of a result as it came.
func packedTag(result callback.Result) (string, error) {
	if tag := result.Header.Get("Etag"); isTag(tag) {
		return tag, nil
	}
	sum := result.Body.Sum
	if result.Body.File == "" {
		sum = sha256.Sum256(result.Body.Data)
	}
	if result.Call != nil {
		return DocumentTag([]any{result.Status, result.Header, sum, result.Call.Method, result.Call.Query, result.Call.Header})
	}
	return DocumentTag([]any{result.Status, result.Header, sum})
}
