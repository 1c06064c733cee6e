package problem

import (
	"cmp"
	"net/http"
	"time"
)

// retrySoon is the Retry-After when the server is busy, shuts down, or its store has
// failed.
const retrySoon = 5 * time.Second

// retryLate is the longest Retry-After: an operator may make room earlier than expected.
const retryLate = 5 * time.Minute

// What a caller of a callback URL can be told.
var (
	UnknownState = Problem{Slug: "unknown-state", Status: http.StatusNotFound,
		Title:  "No callback has this URL.",
		Advice: "Check that the link is complete, or go back to where you found it and ask for another one.",
		Detail: "The URL was never given out, or its callback has been deleted."}
	KeyRequired = Problem{Slug: "key-required", Status: http.StatusUnauthorized, Header: bearer(""),
		Title:  "This call needs a key.",
		Advice: "Open the link exactly as you were given it, or ask whoever gave it to you for one that you may use.",
		Detail: "Send it as a bearer token in the Authorization header."}
	KeyUnknown = Problem{Slug: "key-unknown", Status: http.StatusUnauthorized, Header: bearer(`, error="invalid_token"`),
		Title:  "The key is not known.",
		Advice: "Open the link exactly as you were given it, or ask whoever gave it to you for one that you may use.",
		Detail: "It is not one of the keys that can make this call."}
	SignatureRefused = Problem{Slug: "signature-refused", Status: http.StatusUnauthorized, Header: bearer(`, error="invalid_token"`),
		Title:  "The signature of the call is not accepted.",
		Advice: "Only programs that sign what they send can use this address. Go back to where you came from.",
		Detail: "It shows none of the keys that can make this call."}
	KeyNotAllowed = Problem{Slug: "key-not-allowed", Status: http.StatusForbidden,
		Title:  "The key is not allowed to do this.",
		Advice: "Ask whoever gave you the link who may use it.",
		Detail: "The key is known, but this request needs another key, or a permission that the key does not have."}
	methodNotAllowed = Problem{Slug: "method-not-allowed", Status: http.StatusMethodNotAllowed,
		Title:  "This URL takes no calls with this method.",
		Advice: "This address is not one to be opened in this way. Go back to where you came from.",
		Detail: "The Allow header lists the methods that it takes."}
	AlreadyResolved = Problem{Slug: "already-resolved", Status: http.StatusConflict,
		Title:  "The callback has already been called, with different content.",
		Advice: "There is nothing left to do here. If you have not answered before, tell whoever sent you here.",
		Detail: "A callback takes one call. The same call again gets the same reply."}
	Expired = Problem{Slug: "expired", Status: http.StatusGone,
		Title:  "The callback has expired.",
		Advice: "Go back to where you came from, and begin again if it is still needed.",
		Detail: "Calls are not accepted any more."}
	Closed = Problem{Slug: "closed", Status: http.StatusGone,
		Title:  "The callback is closed.",
		Advice: "Go back to where you came from, and begin again if it is still needed.",
		Detail: "Calls are not accepted any more."}
	LoopDetected = Problem{Slug: "loop-detected", Status: http.StatusLoopDetected,
		Title:  "The call is a delivery of this server's own.",
		Advice: "There is nothing that you can do here. Tell whoever runs this site.",
		Detail: "Results are not delivered to callback URLs of the server that sends them."}
	NobodyWaits = Problem{Slug: "nobody-waits", Status: http.StatusServiceUnavailable, RetryAfter: retrySoon,
		Title:  "The client that this call is for is not connected.",
		Advice: "Wait a moment, then try again.",
		Detail: "The client can come back. Send the call again: until then it was not used."}
	TooLarge = Problem{Slug: "too-large", Status: http.StatusRequestEntityTooLarge,
		Title:  "The body is larger than allowed.",
		Advice: "Go back, and send something smaller.",
		Detail: "None of it was used. Send a smaller one."}
	HeaderTooLarge = Problem{Slug: "header-too-large", Status: http.StatusRequestHeaderFieldsTooLarge,
		Title:  "The header or the query is larger than allowed.",
		Advice: "Go back, and send less.",
		Detail: "Header and query of a call may have 64 KiB together."}
	resultsWaiting = Problem{Slug: "results-waiting", Status: http.StatusServiceUnavailable,
		Title:  "Too many results of this callback wait to be delivered.",
		Advice: "Wait a moment, then try again.",
		Detail: "The call was not taken. Make it again once the receiver of the results has taken some of them."}
	CutShort = Problem{Slug: "cut-short", Status: http.StatusBadRequest,
		Title:  "The body is incomplete.",
		Advice: "Go back, and send it again.",
		Detail: "None of it was used. Send the complete body again."}
	TooSlow = Problem{Slug: "too-slow", Status: http.StatusRequestTimeout,
		Title:  "The body comes too slowly.",
		Advice: "Go back, and send it again over a faster connection.",
		Detail: "None of it was used. Send it again, and at least 10 KiB of it in each 10 seconds."}
)

// What the waiting side can be told.
var (
	Timeout = Problem{Slug: "timeout", Status: http.StatusGatewayTimeout,
		Title:  "The callback has not come in time.",
		Advice: "Your request is still being worked on. Look for its result later, and do not send it again before that.",
		Detail: "The callback can still come. Look for its result at resultUrl."}
	ShuttingDown = Problem{Slug: "shutting-down", Status: http.StatusGatewayTimeout,
		Title:  "The server is shutting down.",
		Advice: "Your request is still being worked on. Look for its result later, and do not send it again before that.",
		Detail: "The callback can still come, once the server is back. Look for its result at resultUrl."}
	Unavailable = Problem{Slug: "shutting-down", Status: http.StatusServiceUnavailable, RetryAfter: retrySoon,
		Title:  "The server is shutting down.",
		Advice: "Wait a moment, then try again. Nothing has been done yet.",
		Detail: "The request was not passed on. Try again."}
	UpstreamUnknown = Problem{Slug: "upstream-unknown", Status: http.StatusBadGateway,
		Title:  "It is not known whether the upstream has accepted the request.",
		Advice: "Look for the result before you try again: the same thing could be done twice.",
		Detail: "The connection to the upstream failed after the request was sent. If it was accepted the callback can still come: look for its result at resultUrl before you try again."}
	NotKept = Problem{Slug: "not-kept", Status: http.StatusServiceUnavailable,
		Title:  "The request was passed on, but its callback could not be stored.",
		Advice: "Ask whoever runs this site whether your request has arrived before you try again: the same thing could be done twice.",
		Detail: "The upstream may have accepted the request, but its callback will be refused. Find out whether the request was accepted before you try again."}
	NoUpstream = Problem{Slug: "no-upstream", Status: http.StatusBadGateway,
		Title:  "Nothing answered the request.",
		Advice: "There is nothing that you can do here. Tell whoever runs this site.",
		Detail: "The server is not set up to pass this request on."}
	Failed = Problem{Slug: "failed", Status: http.StatusFailedDependency,
		Title:  "The callback reports a failure.",
		Advice: "What is known of it stands below. If you cannot go on with that, ask whoever runs this site."}
	ExpiredResult = Problem{Slug: "expired", Status: http.StatusGatewayTimeout,
		Title:  "The callback has expired without having been called.",
		Advice: "Go back to where you came from, and begin again if it is still needed.",
		Detail: "There will be no result."}
	ResultGone = Problem{Slug: "result-gone", Status: http.StatusGone,
		Title:  "The result is not kept any longer.",
		Advice: "It was kept for a while, and that time is over. If you still need it, ask whoever runs this site.",
		Detail: "The callback has ended, and its bodies were removed since then. Its status still says what has become of it."}
	AckTooLarge = Problem{Slug: "ack-too-large", Status: http.StatusBadGateway,
		Title:  "The upstream's answer is larger than allowed.",
		Advice: "Ask whoever runs this site whether your request was carried out before you try again.",
		Detail: "The answer is the result, and it could not be kept. The upstream may have carried the request out."}
	UnknownTicket = Problem{Slug: "unknown-ticket", Status: http.StatusNotFound,
		Title:  "No callback has this URL.",
		Advice: "Check that the link is complete, or go back to where you found it and ask for another one.",
		Detail: "The URL was never given out, or its callback has been deleted."}
)

// What a request that cannot be held is told.
var (
	Upgrade = Problem{Slug: "upgrade", Status: http.StatusBadRequest,
		Title:  "A request for a WebSocket or a tunnel cannot be held.",
		Advice: "This address cannot be used in this way. Tell whoever runs this site.",
		Detail: "It was not passed on: only a request that is answered over HTTP can be."}
	NotJSON = Problem{Slug: "not-json", Status: http.StatusUnsupportedMediaType,
		Title:  "The body must be JSON, so that the callback URL can be put into it.",
		Advice: "Go back, and send it in the form that this site asks for."}
	NotXML = Problem{Slug: "not-xml", Status: http.StatusUnsupportedMediaType,
		Title:  "The body must be XML, so that the callback URL can be put into it.",
		Advice: "Go back, and send it in the form that this site asks for."}
	NotForm = Problem{Slug: "not-form", Status: http.StatusUnsupportedMediaType,
		Title:  "The body must be a form, so that the callback URL can be put into it.",
		Advice: "Go back, and send it in the form that this site asks for."}
	Compressed = Problem{Slug: "compressed", Status: http.StatusUnsupportedMediaType,
		Title:  "The body must not be compressed, so that the callback URL can be put into it.",
		Advice: "Go back, and send it in the form that this site asks for."}
	InvalidBody = Problem{Slug: "invalid-body", Status: http.StatusBadRequest,
		Title:  "The callback URL cannot be put into the body.",
		Advice: "Go back, and send it in the form that this site asks for."}
	InvalidValue = Problem{Slug: "invalid-value", Status: http.StatusBadRequest,
		Title:  "A value made from the request cannot be injected.",
		Advice: "Go back, and send it without unusual characters."}
)

// What everybody can be told when the cause is on our side.
var (
	Busy = Problem{Slug: "busy", Status: http.StatusServiceUnavailable, RetryAfter: retrySoon,
		Title:  "A limit is reached; try again.",
		Advice: "Many people use this site at the moment. Wait a moment, then try again.",
		Detail: "It is a limit on requests or on memory."}
	StoreUnavailable = Problem{Slug: "store-unavailable", Status: http.StatusServiceUnavailable, RetryAfter: retrySoon,
		Title:  "The store is unavailable; try again.",
		Advice: "Wait a moment, then try again. If that does not help, tell whoever runs this site.",
		Detail: "The log says what is wrong with the store."}
	LaterRelease = Problem{Slug: "later-release", Status: http.StatusServiceUnavailable, RetryAfter: retrySoon,
		Title:  "This release of the server cannot judge the call; try again.",
		Advice: "Wait a moment, then try again. If that does not help, tell whoever runs this site.",
		Detail: "A later release has made the callback with options that this one does not know. The call has changed nothing."}
	SecretGone = Problem{Slug: "secret-gone", Status: http.StatusServiceUnavailable, RetryAfter: retrySoon,
		Title:  "URL and key of this callback cannot be derived any more; try again.",
		Advice: "Wait a moment, then try again. If that does not help, tell whoever runs this site.",
		Detail: "The server does not have the secret any more with which the callback was made. The request has changed nothing."}
	Damaged = Problem{Slug: "damaged", Status: http.StatusInternalServerError,
		Title:  "The stored data cannot be read.",
		Advice: "Tell whoever runs this site, and say when it happened.",
		Detail: "The log says what is wrong with the store."}
)

// Refused returns the problem of a call whose content is not acceptable. The status 0
// stands for 400.
func Refused(slug, detail string, status int) Problem {
	return Problem{Slug: slug, Status: cmp.Or(status, http.StatusBadRequest), Title: "The call is not acceptable.", Detail: detail,
		Advice: "Go back, and try again. If that does not help, tell whoever sent you here what stands below."}
}

// ResultsWaiting returns the problem of a call for whose result there is no room, and which
// can be made again after about that time.
func ResultsWaiting(after time.Duration) Problem {
	p := resultsWaiting
	p.RetryAfter = min(max(after, retrySoon), retryLate)
	return p
}

// bearer returns the challenge of RFC 6750, section 3.
func bearer(parameters string) http.Header {
	return http.Header{"Www-Authenticate": {`Bearer realm="callback"` + parameters}}
}

// What a client can be told of its Idempotency-Key, its correlation id, and the URL
// that its result is to be sent to.
var (
	InvalidIdempotencyKey = Problem{Slug: "invalid-idempotency-key", Status: http.StatusBadRequest,
		Title:  "The Idempotency-Key cannot be used.",
		Advice: "Go back, and try again.",
		Detail: "Send one Idempotency-Key of 1 to 255 bytes."}
	NoIdempotencyScope = Problem{Slug: "no-idempotency-scope", Status: http.StatusBadRequest,
		Title:  "It is not known whose Idempotency-Key this is.",
		Advice: "Go back, and try again once you have signed in.",
		Detail: "The request does not say who its client is, in the way that is agreed for this address."}
	KeyReused = Problem{Slug: "idempotency-key-reused", Status: http.StatusUnprocessableEntity,
		Title:  "The Idempotency-Key belongs to another request.",
		Advice: "Go back, and begin again.",
		Detail: "Method, URI, Content-Type and body must be those of the first request. Use a new key for a new request."}
	KeyFreed = Problem{Slug: "idempotency-key-freed", Status: http.StatusServiceUnavailable, RetryAfter: time.Second,
		Title:  "The first request with this Idempotency-Key was not accepted.",
		Advice: "Wait a moment, then try again.",
		Detail: "The key is free again. Make the request once more."}
	InvalidCorrelationID = Problem{Slug: "invalid-correlation-id", Status: http.StatusBadRequest,
		Title:  "The correlation id is missing, or cannot be used.",
		Advice: "Go back, and try again.",
		Detail: "It must have 1 to 256 printable ASCII characters."}
	CorrelationTaken = Problem{Slug: "correlation-taken", Status: http.StatusConflict,
		Title:  "The correlation id belongs to another callback.",
		Advice: "Ask whoever runs this site whether your request has arrived already.",
		Detail: "Each callback with the same key needs a correlation id of its own."}
	NoCorrelationID = Problem{Slug: "no-correlation-id", Status: http.StatusBadGateway,
		Title:  "The upstream's answer has no usable correlation id.",
		Advice: "Look for the result before you try again: the same thing could be done twice.",
		Detail: "The callback can still be called by its URL."}
	NoDeliveryURL = Problem{Slug: "no-delivery-url", Status: http.StatusBadRequest,
		Title:  "The request does not say where its result is to be sent.",
		Advice: "Go back, and send it in the form that this site asks for."}
	DeliveryURLNotAllowed = Problem{Slug: "delivery-url-not-allowed", Status: http.StatusBadRequest,
		Title:  "Results are not sent to this URL.",
		Advice: "Go back, and give another address."}
)

// What a client of the API can be told.
var (
	UnknownCallback = Problem{Slug: "unknown-callback", Status: http.StatusNotFound,
		Title:  "No callback has this id.",
		Advice: "Check that the address is complete.",
		Detail: "The callback was never created, or it has been deleted."}
	UnknownPath = Problem{Slug: "unknown-path", Status: http.StatusNotFound,
		Title:  "The API has nothing at this path.",
		Advice: "Check that the address is complete.",
		Detail: "The document at /callbacks/openapi.json lists the paths."}
	TooEarly = Problem{Slug: "too-early", Status: http.StatusTooEarly,
		Title:  "The request has come too early.",
		Advice: "Load this page again.",
		Detail: "It came in TLS early data, which others can send again. Send it once the handshake is complete."}
	PartOfPage = Problem{Slug: "part-of-page", Status: http.StatusForbidden,
		Title:  "A result cannot be a part of a page.",
		Advice: "Open it by itself.",
		Detail: "A browser would load it as a script, a style or the like. Fetch it, or open it by itself."}
	CrossSite = Problem{Slug: "cross-site", Status: http.StatusForbidden,
		Title:  "Pages of other sites cannot do this.",
		Advice: "Go back, and do it on the page of the site itself.",
		Detail: "A browser has sent this request for a page of another site. Send it from the app itself."}
	JSONRequired = Problem{Slug: "json-required", Status: http.StatusUnsupportedMediaType,
		Title:  "The body must be JSON.",
		Advice: "Go back, and send it in the form that this site asks for.",
		Detail: "Send it with Content-Type: application/json."}
	InvalidRequest = Problem{Slug: "invalid-request", Status: http.StatusBadRequest,
		Title:  "The request is invalid.",
		Advice: "Go back, and send it in the form that this site asks for."}
	NothingToDeliver = Problem{Slug: "nothing-to-deliver", Status: http.StatusConflict,
		Title:  "There is nothing to deliver.",
		Advice: "Look again when it has ended.",
		Detail: "The callback has no URL to deliver its result to, or it has not ended yet."}
	MoreMatch = Problem{Slug: "more-match", Status: http.StatusConflict,
		Title:  "More callbacks match than were confirmed.",
		Detail: "Nothing was done. Count again, and confirm that number.",
		Advice: "Go back, look at how many there are, and confirm that number."}
	NotConfigured = Problem{Slug: "not-configured", Status: http.StatusServiceUnavailable,
		Title:  "No configuration with callbacks is running.",
		Advice: "There is nothing that you can do here. Tell whoever runs this site.",
		Detail: "Load one that has a callback directive or the global option callback."}
)

// InvalidField returns the problem of a request with an invalid field, parameter or
// header.
func InvalidField(name, detail string) Problem {
	p := InvalidRequest.With(detail)
	p.Members = []Member{{Name: "field", Value: name}}
	return p
}

// NotAllowed returns the answer to a method that is not one of those in allow, the value
// of the Allow header.
func NotAllowed(allow string) Problem {
	p := methodNotAllowed
	p.Header = http.Header{"Allow": {allow}}
	return p
}
