package answer

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// LastEventID is the header with which a reader of events that was cut off says which it has
// got (HTML standard, section 9.2.4).
const LastEventID = "Last-Event-Id"

// TakesEvents reports whether a client names event streams among what it takes. Ranges like
// */* do not name them.
func TakesEvents(h http.Header) bool {
	for _, line := range h["Accept"] {
		for element := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(element, ";")
			if strings.EqualFold(strings.TrimSpace(name), EventStream) {
				return hasWeight(parameters)
			}
		}
	}
	return false
}

// EventID is the id of an event, with which a reader goes on where it was cut off.
type EventID struct {
	Callback callback.UUID
	// Ended says that the stream has ended with this event, and there is nothing to go on
	// with. The other fields are then empty.
	Ended bool
	// Calls is how many calls had changed the callback.
	Calls int
	// Proof shows that the reader has got the id from us.
	Proof callback.UUID
}

// endOfEvents stands in the last id of a stream in the place of calls and proof.
const endOfEvents = "end"

// String returns the id as it stands in the stream.
func (id EventID) String() string {
	if id.Ended {
		return id.Callback.String() + "." + endOfEvents
	}
	return id.Callback.String() + "." + strconv.Itoa(id.Calls) + "." + id.Proof.String()
}

var eventID = regexp.MustCompile(`^(` + uuidForm + `)\.(?:(` + endOfEvents + `)|(0|[1-9][0-9]{0,8})\.(` + uuidForm + `))$`)

const uuidForm = `[0-9a-f-]{36}`

// EventIDOf returns the id with which a client comes back, and whether it is one of ours. It
// may be one of the streams of an upstream.
func EventIDOf(h http.Header) (id EventID, ours bool) {
	lines := h[LastEventID]
	if len(lines) != 1 {
		return EventID{}, false
	}
	parts := eventID.FindStringSubmatch(lines[0])
	if parts == nil {
		return EventID{}, false
	}
	if id.Callback, ours = callback.ParseUUID(parts[1]); !ours {
		return EventID{}, false
	}
	if id.Ended = parts[2] != ""; id.Ended {
		return id, true
	}
	id.Calls, _ = strconv.Atoi(parts[3])
	id.Proof, ours = callback.ParseUUID(parts[4])
	return id, ours
}
