package engine

import (
	"sync"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// maxWords bounds how many words of partners are remembered.
const maxWords = 1000

// words are the values by which calls said neither that they succeeded nor that they
// failed, with the directives that they were said to.
type words struct {
	mu    sync.Mutex
	known map[[2]string]bool
}

// learn reports whether a word is new.
func (w *words) learn(name, word string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := [2]string{name, word}
	if w.known[key] || len(w.known) >= maxWords {
		return false
	}
	if w.known == nil {
		w.known = make(map[[2]string]bool)
	}
	w.known[key] = true
	return true
}

// noteMeaning tells the log of a call whose meaning could not be read, and of each word
// that means neither success nor failure when it comes for the first time: somebody should
// add it to the configuration.
func (e *Engine) noteMeaning(r *callback.Record, v callback.Verdict) {
	switch {
	case v.Kind == callback.Refused && v.Fault.IsUnreadable():
		e.log.Warn("a call was refused because its meaning cannot be read", append(fieldsOf(r), zap.String("detail", v.Fault.Detail))...)
	case v.Unrecognized != nil:
		e.observer.Observe(Unrecognized, r, false)
		if e.words.learn(r.Name, *v.Unrecognized) {
			e.log.Warn("a call means neither success nor failure; the callback goes on waiting", append(fieldsOf(r), zap.Stringp("value", v.Unrecognized))...)
		}
	}
}
