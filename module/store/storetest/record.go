package storetest

import (
	"math"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// AnyRecord generates records with everything that a record can hold, sensible or
// not. Text may not be UTF-8, as in headers and queries of partners. Bodies that are
// in a file have no data, as if they had been read from a store.
func AnyRecord() *rapid.Generator[*callback.Record] {
	return rapid.Custom(func(t *rapid.T) *callback.Record {
		return &callback.Record{
			ID:            callback.UUID(bytesOf(16).Draw(t, "id")),
			Phase:         callback.Phase(rapid.IntRange(1, 5).Draw(t, "phase")),
			State:         anyDigest(t, "state"),
			Ticket:        anyDigest(t, "ticket"),
			Policy:        anyDigest(t, "policy"),
			Name:          anyText().Draw(t, "name"),
			CorrelationID: anyText().Draw(t, "correlation id"),
			CreatedAt:     anyTime(t, "created"),
			ExpiresAt:     anyTime(t, "expires"),
			FinishedAt:    anyTime(t, "finished"),
			KeepUntil:     anyTime(t, "keep until"),
			Ack:           anyResponse(t, "ack"),
			Call:          anyCall(t, "call"),
			Payload:       anyDigest(t, "payload"),
			Reply:         anyReply(t),
			LatestReply:   anyReply(t),
			Failure:       anyFailure(t),
			Reason:        anyText().Draw(t, "reason"),
			Latest:        anyCall(t, "latest"),
			Calls:         rapid.Int().Draw(t, "calls"),
			Seen:          anyList(t, "seen", func() uint64 { return rapid.Uint64().Draw(t, "mark") }),
			ShutAt:        anyTime(t, "shut"),
			Aliases:       anyList(t, "aliases", func() callback.Digest { return anyDigest(t, "alias") }),
			Fingerprint:   anyDigest(t, "fingerprint"),
			Own:           anyOwn(t),
			Acked:         maybe(t, "ack been noted"),
			Request:       anyRequest(t),
			Job:           anyJob(t),
			Answer:        anyResponse(t, "answer"),
			Delivery:      anyDelivery(t),
			Outbox:        anyList(t, "outbox", func() callback.Parcel { return anyParcel(t) }),
			Parent:        callback.UUID(bytesOf(16).Draw(t, "parent")),
			Told:          maybe(t, "been told"),
			Step:          callback.UUID(bytesOf(16).Draw(t, "step")),
			Trace:         anyHeader(t),
			Attended:      maybe(t, "need for a client"),
			DerivedFrom:   callback.Mark(rapid.Uint64().Draw(t, "mark of the secret")),
			Unknown:       anyUnknown(t),
		}
	})
}

// anyUnknown returns members that only a later release knows.
func anyUnknown(t *rapid.T) callback.Unknown {
	return callback.Unknown(rapid.SampledFrom([]string{"", "", "", "\x18\xc8\x01", "\x18\xc8\x81\x63new\x19\x03\xe8\xa1\x01\xf6"}).Draw(t, "unknown"))
}

func bytesOf(n int) *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), n, n) }

func anyText() *rapid.Generator[string] {
	raw := rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) })
	return rapid.OneOf(rapid.SampledFrom([]string{"", "order-4711", "ä€😀", "\xff\xfe", "\x00"}), raw)
}

func anyTime(t *rapid.T, label string) callback.Time {
	return callback.Time(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64(), rapid.Just(int64(math.MaxInt64))).Draw(t, label))
}

func anyDigest(t *rapid.T, label string) callback.Digest {
	return callback.Digest(bytesOf(32).Draw(t, label))
}

func maybe(t *rapid.T, label string) bool { return rapid.Bool().Draw(t, "has "+label) }

func anyHeader(t *rapid.T) callback.Header {
	var h callback.Header
	for range rapid.IntRange(0, 3).Draw(t, "lines") {
		h = append(h, callback.Field{Name: anyText().Draw(t, "name"), Value: anyText().Draw(t, "value")})
	}
	return h
}

func anyBody(t *rapid.T) callback.Body {
	switch rapid.IntRange(0, 2).Draw(t, "body") {
	case 0:
		return callback.Body{}
	case 1:
		body := callback.NewBody(rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "data"))
		body.Unknown = anyUnknown(t)
		return body
	}
	return callback.Body{
		File: "f" + anyText().Draw(t, "file"),
		Size: rapid.Int64().Draw(t, "size"),
		Sum:  anyDigest(t, "sum"),
	}
}

// anyList returns a few values, or nil for none, as a store does.
func anyList[V any](t *rapid.T, label string, value func() V) []V {
	var list []V
	for range rapid.IntRange(0, 3).Draw(t, label) {
		list = append(list, value())
	}
	return list
}

func anyResponse(t *rapid.T, label string) *callback.Response {
	if !maybe(t, label) {
		return nil
	}
	return &callback.Response{Status: rapid.Int().Draw(t, "status"), Header: anyHeader(t), Body: anyBody(t), Unknown: anyUnknown(t)}
}

func anyCall(t *rapid.T, label string) *callback.Call {
	if !maybe(t, label) {
		return nil
	}
	return &callback.Call{
		Method:     anyText().Draw(t, "method"),
		Suffix:     anyText().Draw(t, "suffix"),
		Query:      anyText().Draw(t, "query"),
		Header:     anyHeader(t),
		Body:       anyBody(t),
		ReceivedAt: anyTime(t, "received"),
		Unknown:    anyUnknown(t),
	}
}

func anyReply(t *rapid.T) *callback.Reply {
	if !maybe(t, "reply") {
		return nil
	}
	return &callback.Reply{Status: rapid.Int().Draw(t, "status"), Header: anyHeader(t), Body: anyText().Draw(t, "body"), Unknown: anyUnknown(t)}
}

func anyFailure(t *rapid.T) *callback.Failure {
	if !maybe(t, "failure") {
		return nil
	}
	return &callback.Failure{
		DocumentStatus:  anyText().Draw(t, "document status"),
		TechnicalStatus: anyText().Draw(t, "technical status"),
		ErrorCode:       anyText().Draw(t, "error code"),
		ErrorText:       anyText().Draw(t, "error text"),
		Unknown:         anyUnknown(t),
	}
}

func anyOwn(t *rapid.T) *callback.Own {
	if !maybe(t, "own") {
		return nil
	}
	own := &callback.Own{
		Ask:  anyText().Draw(t, "ask"),
		Case: anyText().Draw(t, "case"),
		Data: anyList(t, "data", func() byte { return rapid.Byte().Draw(t, "byte") }),

		StateQuery: anyText().Draw(t, "state query"),
		BaseURL:    anyText().Draw(t, "base url"),
		Unknown:    anyUnknown(t),
	}
	if maybe(t, "a reply of its own") {
		own.Reply = &callback.Fields{
			Type:        anyText().Draw(t, "type"),
			Body:        anyText().Draw(t, "body"),
			Code:        rapid.Int().Draw(t, "code"),
			Header:      anyHeader(t),
			RedirectURL: anyText().Draw(t, "redirect"),
			Unknown:     anyUnknown(t),
		}
	}
	return own
}

func anyRequest(t *rapid.T) *callback.Request {
	if !maybe(t, "request") {
		return nil
	}
	return &callback.Request{
		Method:     anyText().Draw(t, "method"),
		URI:        anyText().Draw(t, "uri"),
		Host:       anyText().Draw(t, "host"),
		Header:     anyHeader(t),
		Body:       anyBody(t),
		RemoteAddr: anyText().Draw(t, "address"),
		TLS:        maybe(t, "tls"),
		Unknown:    anyUnknown(t),
	}
}

func anyJob(t *rapid.T) *callback.Job {
	if !maybe(t, "job") {
		return nil
	}
	return &callback.Job{
		Block:    callback.Block(anyText().Draw(t, "block")),
		Attempts: rapid.Int().Draw(t, "attempts"),
		NextAt:   anyTime(t, "next"),
		Error:    anyText().Draw(t, "error"),
		Unknown:  anyUnknown(t),
	}
}

func anyDelivery(t *rapid.T) *callback.Delivery {
	if !maybe(t, "delivery") {
		return nil
	}
	return &callback.Delivery{
		URL:         anyText().Draw(t, "url"),
		FailedURL:   anyText().Draw(t, "failed url"),
		Total:       rapid.Int().Draw(t, "total"),
		Done:        rapid.Int().Draw(t, "done"),
		Newest:      rapid.Int().Draw(t, "newest"),
		Attempts:    rapid.Int().Draw(t, "attempts"),
		NextAt:      anyTime(t, "next"),
		DeliveredAt: anyTime(t, "delivered"),
		Dead:        maybe(t, "died"),
		Status:      rapid.Int().Draw(t, "status"),
		Error:       anyText().Draw(t, "error"),
		Unknown:     anyUnknown(t),
	}
}

// anyParcel always has a call: without one there is nothing to deliver.
func anyParcel(t *rapid.T) callback.Parcel {
	return callback.Parcel{
		Phase:   callback.Phase(rapid.IntRange(1, 5).Draw(t, "phase")),
		Call:    &callback.Call{Method: anyText().Draw(t, "method"), Header: anyHeader(t), Body: anyBody(t)},
		Failure: anyFailure(t),
		Number:  rapid.Int().Draw(t, "number"),
		Unknown: anyUnknown(t),
	}
}
