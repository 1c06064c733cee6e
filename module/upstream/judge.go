package upstream

import (
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// Fate is what becomes of an answer.
type Fate uint8

const (
	// Passed means that it is passed on to the client as it comes. After 502 and 504 it is kept
	// instead, and the outcome is Unknown.
	Passed Fate = iota
	// Kept means that it is kept from the client, and needed as a whole, but not looked into.
	Kept
	// KeptRead means that it is kept from the client, needed as a whole, and looked into.
	KeptRead
	// KeptStatus means that it is kept from the client, and its status is all that is needed.
	KeptStatus
	// KeptHead means that it is kept from the client, and its status and header are all that is
	// needed.
	KeptHead
	// KeptJSON means that it is kept from the client, and needed up to the end of the JSON value that
	// is its body.
	KeptJSON
	// Weighed means that it is held back up to the end of the JSON value that is its body, and then
	// decided on by Body.
	Weighed
	// KeptXML is KeptJSON up to the end of the root element of the XML document that is the
	// body.
	KeptXML
	// WeighedXML is Weighed up to that end.
	WeighedXML
)

// isWeighed reports whether an answer is decided on by its body.
func (f Fate) isWeighed() bool { return f == Weighed || f == WeighedXML }

// isXML reports whether it is the end of an XML document that is waited for.
func (f Fate) isXML() bool { return f == KeptXML || f == WeighedXML }

// Judge decides on an answer, in the goroutine of the handlers.
type Judge interface {
	// Head decides by status and header.
	Head(status int, header http.Header) Fate
	// Body decides on an answer that is weighed: its fate is neither KeptJSON nor
	// KeptXML, and none that is weighed.
	Body(*Answer) Fate
}

// PassAll passes every answer on, ReadAll keeps every answer to be looked into.
const (
	PassAll = always(Passed)
	ReadAll = always(KeptRead)
)

// always is the judge of answers that all have one fate.
type always Fate

// Head implements Judge.
func (a always) Head(int, http.Header) Fate { return Fate(a) }

// Body implements Judge.
func (a always) Body(*Answer) Fate { return Fate(a) }

// Answer is an answer of the handlers, as far as it is needed.
type Answer struct {
	Status int
	Header http.Header
	// Body is the body of an answer that is looked into.
	Body []byte
	// Lost is why the body could not be kept, and then nothing of it is: memory.ErrTooLarge,
	// memory.ErrBusy if there was no memory to look into it, or an error of the spool.
	Lost error
}

// Message returns the answer as a message that values can be read from.
func (a *Answer) Message() *inject.Message {
	return &inject.Message{Header: a.Header, Body: a.Body}
}
