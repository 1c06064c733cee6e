package module

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"hash"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// reading is a request to read the status or the result of a callback.
type reading struct {
	r      *http.Request
	engine *engine.Engine
	// exit is closed when Caddy exits.
	exit <-chan struct{}
	key  store.Key
	// tag returns the entity tag of what the client would get, empty where that has
	// none.
	tag func(*engine.Callback) (string, error)
	// ended says that there is nothing to read before the callback has ended.
	ended bool
}

// await returns the callback once there is what the client waits for, at the latest
// when its wait is over.
func (rd reading) await(wait time.Duration) (*engine.Callback, error) {
	cb, err := rd.engine.FindCommitted(rd.r.Context(), rd.key)
	if err != nil || wait <= 0 {
		return cb, err
	}
	if there, err := rd.there(cb); there || err != nil {
		return cb, err
	}
	return rd.awaitChange(cb.ID, wait)
}

// awaitChange waits for a change that the client waits for.
func (rd reading) awaitChange(id callback.UUID, wait time.Duration) (*engine.Callback, error) {
	waiter, err := rd.engine.AwaitChange(id)
	if err != nil {
		return nil, err
	}
	defer waiter.Stop()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	ctx := rd.r.Context()
	for over := false; ; {
		// It may have changed before there was a waiter to tell.
		cb, err := rd.engine.FindCommitted(ctx, rd.key)
		if err != nil || over {
			return cb, err
		}
		if there, err := rd.there(cb); there || err != nil {
			return cb, err
		}
		select {
		case n := <-waiter.C:
			n.Done()
		case <-timer.C:
			over = true
		case <-rd.exit:
			over = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// there reports whether there is what the client waits for: the end, or, if it says
// what it has, something else than that.
func (rd reading) there(cb *engine.Callback) (bool, error) {
	if !rd.conditional() {
		return cb.Phase.Final(), nil
	}
	unchanged, err := rd.unchanged(cb)
	return !unchanged && (cb.Phase.Final() || !rd.ended), err
}

func (rd reading) conditional() bool { return len(rd.r.Header["If-None-Match"]) > 0 }

// unchanged reports whether the client has already what it would get.
func (rd reading) unchanged(cb *engine.Callback) (bool, error) {
	if !rd.conditional() {
		return false, nil
	}
	tag, err := rd.tag(cb)
	return tag != "" && matches(rd.r.Header["If-None-Match"], tag), err
}

// answered says which entity tag the answer has. If the client has that already, it
// answers with 304, and reports that it has.
func (rd reading) answered(w http.ResponseWriter, cb *engine.Callback) (bool, error) {
	tag, err := rd.tag(cb)
	if tag == "" || err != nil {
		return false, err
	}
	w.Header().Set("ETag", tag)
	if !matches(rd.r.Header["If-None-Match"], tag) {
		return false, nil
	}
	w.WriteHeader(http.StatusNotModified)
	return true, nil
}

// matches reports whether one of the entity tags that a client has is this one (RFC
// 9110, section 13.1.2). Weak and strong ones are the same here.
func matches(known []string, tag string) bool {
	tag = strings.TrimPrefix(tag, "W/")
	for _, rest := range known {
		if strings.TrimSpace(rest) == "*" {
			return true
		}
		for rest != "" {
			rest = strings.TrimPrefix(strings.TrimLeft(rest, ", \t"), "W/")
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
	text = strings.TrimPrefix(text, "W/")
	return text != "" && tagLength(text) == len(text)
}

// tagOf returns an entity tag from a digest.
func tagOf(h hash.Hash) string {
	return `"` + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16]) + `"`
}

// documentTag returns the entity tag of a JSON document.
func documentTag(v any) (string, error) {
	h := sha256.New()
	err := json.NewEncoder(h).Encode(v)
	return tagOf(h), err
}

// statusTag returns the entity tag of a callback's status as its ticket shows it.
func statusTag(cb *engine.Callback) (string, error) { return documentTag(newStatus(cb)) }

// resultTag returns the entity tag of a callback's result: the one that it came with,
// or else one of ours. Only a success has one (RFC 9110, section 13.2.1).
func resultTag(cb *engine.Callback) (string, error) {
	if cb.Phase != callback.Resolved && cb.Phase != callback.Failed {
		return "", nil
	}
	result := cb.Result(cb.Policy)
	if result.Body == nil || result.Status < 200 || result.Status > 299 {
		return "", nil
	}
	if tag := result.Header.Get("Etag"); isTag(tag) {
		return tag, nil
	}
	sum := result.Body.Sum
	if result.Body.File == "" {
		sum = sha256.Sum256(result.Body.Data)
	}
	return documentTag([]any{result.Status, result.Header, sum})
}
