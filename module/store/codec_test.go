package store_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// envelopeLength is the number of bytes before the payload.
const envelopeLength = 9

// richRecord returns the record whose encoding is in testdata, which must stay
// readable.
func richRecord() *callback.Record {
	return &callback.Record{
		ID:            callback.UUID{0: 0xf8, 6: 0x41, 8: 0xa7, 15: 0xf6},
		Phase:         callback.Failed,
		State:         callback.Digest{1, 2, 3},
		Ticket:        callback.Digest{4, 5, 6},
		Policy:        callback.Digest{7, 8, 9},
		Name:          "orders",
		CorrelationID: "order-4711",
		CreatedAt:     1_700_000_000_000,
		ExpiresAt:     1_700_003_600_000,
		FinishedAt:    1_700_000_001_500,
		KeepUntil:     1_700_086_401_500,
		Ack: &callback.Response{
			Status: 202,
			Header: callback.Header{{Name: "Content-Type", Value: "text/plain"}},
			Body:   callback.NewBody([]byte("accepted")),
		},
		Call: &callback.Call{
			Method:     "POST",
			Suffix:     "/failed",
			Query:      "a=b",
			Header:     callback.Header{{Name: "X-Link-Status", Value: "Failed"}, {Name: "X-Name", Value: "\xe4"}},
			Body:       callback.Body{File: "0123456789abcdef0123456789abcdef", Size: 100_000, Sum: callback.Digest{10, 11}},
			ReceivedAt: 1_700_000_001_499,
		},
		Payload: callback.Digest{12, 13},
		Reply:   &callback.Reply{Status: 201, Header: callback.Header{{Name: "X-Id", Value: "42"}}, Body: "thanks"},
		Failure: &callback.Failure{DocumentStatus: "Failed", TechnicalStatus: "Rejected", ErrorCode: "E42", ErrorText: "no stock"},
		Reason:  "none",
	}
}

func encode(t testing.TB, r *callback.Record) []byte {
	t.Helper()
	b, err := store.EncodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnyRecordSurvivesTheRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := storetest.AnyRecord().Draw(rt, "record")
		back, err := store.DecodeRecord(encode(t, r))
		if err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(back, r) {
			rt.Fatalf("got\n%+v, want\n%+v", back, r)
		}
	})
}

func TestNoRecordIsLargerThanItSays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := storetest.AnyRecord().Draw(rt, "record")
		if b := encode(t, r); len(b) > r.Size() {
			rt.Fatalf("%d bytes, and it says %d", len(b), r.Size())
		}
	})
}

func TestBodiesInFilesLeaveNoDataInTheRecord(t *testing.T) {
	data := []byte("a body that is kept in a file of its own")
	inFile := callback.Body{Data: data, File: "f", Size: int64(len(data)), Sum: callback.Digest{1}}
	inRecord := callback.NewBody([]byte("a small body"))
	for name, bodies := range map[string][2]callback.Body{
		"both": {inFile, inFile}, "call's": {inFile, inRecord}, "ack's": {inRecord, inFile}, "none": {inRecord, inRecord},
	} {
		t.Run(name, func(t *testing.T) {
			r := richRecord()
			r.Call.Body, r.Ack.Body = bodies[0], bodies[1]
			b := encode(t, r)
			if bytes.Contains(b, data) {
				t.Error("the data is in the record")
			}
			back, err := store.DecodeRecord(b)
			if err != nil {
				t.Fatal(err)
			}
			for i, got := range []callback.Body{back.Call.Body, back.Ack.Body} {
				want := bodies[i]
				if want.File != "" {
					want.Data = nil
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
			if !reflect.DeepEqual(r.Call.Body, bodies[0]) || !reflect.DeepEqual(r.Ack.Body, bodies[1]) {
				t.Error("encoding took the data from the record handed in")
			}
		})
	}
}

func TestBodyInAFileIsLeftOutWhereverItIs(t *testing.T) {
	body := callback.Body{Data: []byte("data"), File: "f", Size: 4}
	call := &callback.Call{Body: body}
	for name, r := range map[string]*callback.Record{
		"call":    {Call: call},
		"latest":  {Latest: call},
		"ack":     {Ack: &callback.Response{Body: body}},
		"answer":  {Answer: &callback.Response{Body: body}},
		"request": {Request: &callback.Request{Body: body}},
		"outbox":  {Outbox: []callback.Parcel{{Phase: callback.Resolved, Call: call}, {Phase: callback.Failed, Call: call}}},
	} {
		r.Phase = callback.Waiting
		back, err := store.DecodeRecord(encode(t, r))
		if err != nil {
			t.Fatal(err)
		}
		if len(back.Bodies()) != len(r.Bodies()) {
			t.Errorf("%s: %d bodies came back", name, len(back.Bodies()))
		}
		for i, b := range back.Bodies() {
			if b.Data != nil || b.File != "f" || b.Size != 4 {
				t.Errorf("%s: got %+v", name, b)
			}
			if string(r.Bodies()[i].Data) != "data" {
				t.Errorf("%s: encoding took the data from the record handed in", name)
			}
		}
	}
}

func TestEveryFlippedByteIsNoticed(t *testing.T) {
	whole := encode(t, richRecord())
	for i := range whole {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			b := bytes.Clone(whole)
			b[i] ^= flip
			if r, err := store.DecodeRecord(b); !errors.Is(err, store.ErrDamaged) || r != nil {
				t.Fatalf("byte %d flipped by %#x: %v", i, flip, err)
			}
		}
	}
}

func TestEveryCutAndEveryAdditionIsNoticed(t *testing.T) {
	whole := encode(t, richRecord())
	for n := range whole {
		if r, err := store.DecodeRecord(whole[:n]); !errors.Is(err, store.ErrDamaged) || r != nil {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	for _, b := range [][]byte{append(bytes.Clone(whole), 0), append(bytes.Clone(whole), whole...), nil, make([]byte, len(whole))} {
		if r, err := store.DecodeRecord(b); !errors.Is(err, store.ErrDamaged) || r != nil {
			t.Fatalf("%d bytes: %v", len(b), err)
		}
	}
}

func TestPayloadThatIsNoRecordIsDamageInAWholeEnvelopeToo(t *testing.T) {
	for name, payload := range map[string][]byte{
		"nothing": {}, "text": []byte("hello"), "a list": {0x80}, "a number": {0x01}, "a key twice": {0xa2, 0x06, 0x60, 0x06, 0x60},
		"indefinite length": {0xbf, 0xff}, "a tag": {0xc1, 0x00}, "more behind": {0xa0, 0xa0}, "a wrong type": {0xa1, 0x02, 0x60},
		"a phase too large": {0xa1, 0x02, 0x19, 0x01, 0x00},
	} {
		if r, err := store.DecodeRecord(envelope(payload)); !errors.Is(err, store.ErrDamaged) || r != nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestPolicyIsReadWithoutTheRest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := storetest.AnyRecord().Draw(rt, "record")
		if hash, err := store.PolicyOf(encode(t, r)); err != nil || hash != r.Policy {
			rt.Errorf("%x, %v", hash, err)
		}
	})
	whole := encode(t, richRecord())
	for name, b := range map[string][]byte{
		"cut": whole[:len(whole)-1], "nothing": envelope(nil), "a list": envelope([]byte{0x80}), "no policy": envelope([]byte{0xa1, 0x02, 0x01}),
		"another type": envelope([]byte{0xa1, 0x05, 0x01}), "too short": envelope([]byte{0xa1, 0x05, 0x41, 0x01}), "a member too few": envelope([]byte{0xa2, 0x02, 0x01}),
	} {
		if hash, err := store.PolicyOf(b); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %x, %v", name, hash, err)
		}
	}
}

func TestErrorsDoNotTellWhatIsInTheRecord(t *testing.T) {
	_, err := store.DecodeRecord(envelope([]byte{0xa1, 0x06, 0x46, 's', 'e', 'c', 'r', 'e', 't'}))
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestDecodedRecordSharesNoMemory(t *testing.T) {
	r := richRecord()
	b := encode(t, r)
	back, err := store.DecodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if !reflect.DeepEqual(back, r) {
		t.Errorf("got %+v", back)
	}
}

func TestRecordsOfVersion1StayReadable(t *testing.T) {
	text, err := os.ReadFile("testdata/record-v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	r, err := store.DecodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	if want := richRecord(); !reflect.DeepEqual(r, want) {
		t.Errorf("got  %+v\nwant %+v", r, want)
	}
}

func TestFieldsOfALaterReleaseAreNoDamage(t *testing.T) {
	r, err := store.DecodeRecord(envelope([]byte{0xa2, 0x02, 0x01, 0x18, 0xc8, 0x63, 'n', 'e', 'w'}))
	if err != nil || r.Phase != callback.Waiting {
		t.Errorf("got %+v, %v", r, err)
	}
}

// envelope wraps a payload as EncodeRecord does.
func envelope(payload []byte) []byte {
	b := make([]byte, envelopeLength, envelopeLength+len(payload))
	b[0] = 1
	binary.BigEndian.PutUint32(b[1:5], uint32(len(payload)))
	binary.BigEndian.PutUint32(b[5:9], crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)))
	return append(b, payload...)
}

// FuzzDecodeRecord tries the bytes as they are and as the payload of a valid
// envelope, because hardly any would pass the checksum otherwise.
func FuzzDecodeRecord(f *testing.F) {
	whole := encode(f, richRecord())
	for _, seed := range [][]byte{whole, whole[envelopeLength:], whole[:20], nil, {0xa0}, {0xf6}, {0xbf, 0xff}, envelope([]byte{0xa0})} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, in := range [][]byte{b, envelope(b)} {
			r, err := store.DecodeRecord(in)
			if err != nil {
				if !errors.Is(err, store.ErrDamaged) || r != nil {
					t.Fatalf("%+v, %v", r, err)
				}
				continue
			}
			first := encode(t, r)
			again, err := store.DecodeRecord(first)
			if err != nil {
				t.Fatalf("a record that was read cannot be read again: %v", err)
			}
			if !bytes.Equal(encode(t, again), first) {
				t.Fatalf("a record does not stay the same: %+v, %+v", r, again)
			}
		}
	})
}
