package storetest

import (
	"math"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// AnyRecord generates records with everything a record can hold, sensible or
// not: text that is not UTF-8, as headers and queries of partners may be, too.
// Bodies that are in a file have no data, as if they had been read from a store.
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
			Ack:           anyAck(t),
			Call:          anyCall(t),
			Payload:       anyDigest(t, "payload"),
			Reply:         anyReply(t),
			Failure:       anyFailure(t),
			Reason:        anyText().Draw(t, "reason"),
		}
	})
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
		return callback.NewBody(rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "data"))
	}
	return callback.Body{
		File: "f" + anyText().Draw(t, "file"),
		Size: rapid.Int64().Draw(t, "size"),
		Sum:  anyDigest(t, "sum"),
	}
}

func anyAck(t *rapid.T) *callback.Response {
	if !maybe(t, "ack") {
		return nil
	}
	return &callback.Response{Status: rapid.Int().Draw(t, "status"), Header: anyHeader(t), Body: anyBody(t)}
}

func anyCall(t *rapid.T) *callback.Call {
	if !maybe(t, "call") {
		return nil
	}
	return &callback.Call{
		Method:     anyText().Draw(t, "method"),
		Suffix:     anyText().Draw(t, "suffix"),
		Query:      anyText().Draw(t, "query"),
		Header:     anyHeader(t),
		Body:       anyBody(t),
		ReceivedAt: anyTime(t, "received"),
	}
}

func anyReply(t *rapid.T) *callback.Reply {
	if !maybe(t, "reply") {
		return nil
	}
	return &callback.Reply{Status: rapid.Int().Draw(t, "status"), Header: anyHeader(t), Body: anyText().Draw(t, "body")}
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
	}
}
