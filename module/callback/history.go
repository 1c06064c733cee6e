package callback

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// MaxHistory is how many happenings a record keeps, with the creation.
const MaxHistory = 32

// maxStatus is the largest HTTP status.
const maxStatus = 999

// maxHistoryText bounds a text in a history, in bytes.
const maxHistoryText = 128

// History is what has happened to a callback, the oldest first, as it is stored: one entry after
// the other, each with its length before it. An entry has the kind (1 byte), the time
// (8 bytes), status, reason and who did it; what is empty at its end is left out, and what
// this release does not know stays where it is.
type History []byte

// The place of kind and time in an entry.
const (
	entryKind = 0
	entryAt   = 1
	entryRest = entryAt + 8
)

// historyEntry is one entry, without its length.
type historyEntry []byte

func (e historyEntry) kind() HappeningKind { return HappeningKind(e[entryKind]) }
func (e historyEntry) at() Time            { return Time(binary.BigEndian.Uint64(e[entryAt:])) }

// alike reports whether two entries differ in their times only.
func (e historyEntry) alike(other historyEntry) bool {
	return e[entryKind] == other[entryKind] && string(e[entryRest:]) == string(other[entryRest:])
}

// cut returns the first entry and what follows it; false if there is none.
func (h History) cut() (first historyEntry, rest History, ok bool) {
	length, n := binary.Uvarint(h)
	if n <= 0 || length < entryRest || length > uint64(len(h)-n) {
		return nil, nil, false
	}
	end := n + int(length)
	return historyEntry(h[n:end:end]), h[end:], true
}

// entries returns the entries in an array of the caller's.
func (h History) entries(to []historyEntry) []historyEntry {
	for first, rest, ok := h.cut(); ok; first, rest, ok = rest.cut() {
		to = append(to, first)
	}
	return to
}

// Len returns how many entries there are.
func (h History) Len() (n int) {
	for _, rest, ok := h.cut(); ok; _, rest, ok = rest.cut() {
		n++
	}
	return n
}

// appendEntry appends what happened.
func (h History) appendEntry(e Happening) History {
	reason, by := cleaned(e.Reason), cleaned(e.By)
	e.Status = max(0, min(e.Status, maxStatus))
	length := entryRest
	switch {
	case by != "":
		length += len(by) + uvarintLen(len(by))
		fallthrough
	case reason != "":
		length += len(reason) + uvarintLen(len(reason))
		fallthrough
	case e.Status != 0:
		length += uvarintLen(e.Status)
	}
	h = binary.AppendUvarint(h, uint64(length))
	h = append(h, byte(e.Kind))
	h = binary.BigEndian.AppendUint64(h, uint64(e.At))
	if e.Status != 0 || reason != "" || by != "" {
		h = binary.AppendUvarint(h, uint64(e.Status))
	}
	if reason != "" || by != "" {
		h = append(binary.AppendUvarint(h, uint64(len(reason))), reason...)
	}
	if by != "" {
		h = append(binary.AppendUvarint(h, uint64(len(by))), by...)
	}
	return h
}

// cleaned returns a text as it is kept in a history.
func cleaned(text string) string {
	if text == "" {
		return ""
	}
	return withoutControls(text, maxHistoryText)
}

// uvarintLen returns how many bytes a number takes.
func uvarintLen(n int) int {
	if n < 1<<7 {
		return 1
	}
	return 2
}

// happening returns what the entry says.
func (e historyEntry) happening() Happening {
	happened := Happening{At: e.at(), Kind: e.kind()}
	rest := e[entryRest:]
	status, n := binary.Uvarint(rest)
	if n <= 0 || status > maxStatus {
		return happened
	}
	happened.Status = int(status)
	rest = rest[n:]
	for _, text := range []*string{&happened.Reason, &happened.By} {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			break
		}
		*text = withoutControls(string(rest[n:n+int(length)]), maxHistoryText)
		rest = rest[n+int(length):]
	}
	return happened
}

// Add returns the history with more that has happened, at most limit in all. What others can
// cause in any number makes room first, then the oldest; the creation stays. A repetition of the
// last one takes its place if it is of such a kind. The history itself is not changed.
func (h History) Add(limit int, more ...Happening) History {
	// This is room for what has no texts.
	return append(make(History, 0, len(h)+len(more)*(entryRest+3)), h...).Put(limit, more...)
}

// Put is Add for whoever alone has the history: it may be changed.
func (h History) Put(limit int, more ...Happening) History {
	for _, e := range more {
		if e.Kind != 0 {
			h = h.appendEntry(e)
		}
	}
	return h.bounded(limit)
}

// Merge returns the history with what was seen beside it, each in its place by its time. What
// is there already is not added again.
func (h History) Merge(limit int, seen History) History { return h.mergeBefore(limit, seen, nil) }

// mergeBefore is Merge for what was seen before something was added to a history. What was added
// stays at the end.
func (h History) mergeBefore(limit int, seen, before History) History {
	switch {
	case len(seen) == 0:
		return h
	case before != nil && len(before) == 0:
		return append(append(make(History, 0, len(seen)+len(h)), seen...), h...).bounded(limit)
	}
	var there, more [MaxHistory + 8]historyEntry
	all := h.entries(there[:0])
	end := len(all)
	if before != nil {
		end = before.within(all)
	}
	for _, e := range seen.entries(more[:0]) {
		if slices.ContainsFunc(all, func(there historyEntry) bool { return bytes.Equal(there, e) }) {
			continue
		}
		at := end
		for at > 0 && e.at() < all[at-1].at() {
			at--
		}
		all = slices.Insert(all, at, e)
		end++
	}
	next := make(History, 0, len(h)+len(seen))
	for _, e := range all {
		next = append(binary.AppendUvarint(next, uint64(len(e))), e...)
	}
	return next.bounded(limit)
}

// within returns how many of the entries of a later history are from this one: those up to the
// last one that has stayed.
func (h History) within(later []historyEntry) int {
	var there [MaxHistory + 8]historyEntry
	mine := h.entries(there[:0])
	for i := len(mine) - 1; i >= 0; i-- {
		for at := len(later); at > 0; at-- {
			if bytes.Equal(mine[i], later[at-1]) {
				return at
			}
		}
	}
	return 0
}

// fits reports whether a history need not be shortened.
func (h History) fits(limit int) bool {
	n := 0
	var before historyEntry
	for e, rest, ok := h.cut(); ok; e, rest, ok = rest.cut() {
		if n++; n > limit || before != nil && e.kind().fleeting() && e.alike(before) {
			return false
		}
		before = e
	}
	return true
}

// bounded returns the history with at most limit entries, in the same memory.
func (h History) bounded(limit int) History {
	if h.fits(limit) {
		return h
	}
	var there [MaxHistory + 16]historyEntry
	all := h.entries(there[:0])
	for i := len(all) - 1; i > 0; i-- {
		if all[i].kind().fleeting() && all[i].alike(all[i-1]) {
			all = append(all[:i-1], all[i:]...)
		}
	}
	for len(all) > limit {
		all = withoutOne(all)
	}
	next := h[:0]
	for _, e := range all {
		// What is written lies before what is still to be read.
		next = append(binary.AppendUvarint(next, uint64(len(e))), e...)
	}
	return next
}

// withoutOne removes the entry that makes room.
func withoutOne(all []historyEntry) []historyEntry {
	gone := 0
	if all[0].kind() == HappenedCreated {
		gone = 1
	}
	for i, e := range all[:len(all)-1] {
		if e.kind().fleeting() {
			gone = i
			break
		}
	}
	return append(all[:gone], all[gone+1:]...)
}

// happened adds to a record that is being made what has happened to it.
func (r *Record) happened(more ...Happening) {
	r.History = r.History.Add(MaxHistory-1, more...)
}

// Join adds to a record that is being made what was seen until then. before is the record that it
// is made of.
func (r *Record) Join(seen History, before *Record) {
	earlier := before.History
	if earlier == nil {
		earlier = History{}
	}
	r.History = r.History.mergeBefore(MaxHistory-1, seen, earlier)
}

// Happenings returns what has happened to the callback, the oldest first: what its record says,
// and what was seen beside that.
func (r *Record) Happenings(seen History) []Happening {
	all := make([]Happening, 0, MaxHistory)
	var there [MaxHistory + 16]historyEntry
	entries := r.History.Merge(MaxHistory-1, seen).entries(there[:0])
	if len(entries) == 0 || entries[0].kind() != HappenedCreated {
		all = append(all, Happening{At: r.CreatedAt, Kind: HappenedCreated})
	}
	for _, e := range entries {
		if _, known := happeningNames[e.kind()]; known {
			all = append(all, e.happening())
		}
	}
	return all
}
