package hold

import "testing"

func TestMethodsThatOnlyAskAndThoseThatCanBeRepeated(t *testing.T) {
	for method, want := range map[string]struct{ safe, idempotent bool }{
		"GET": {true, true}, "HEAD": {true, true}, "OPTIONS": {true, true}, "TRACE": {true, true}, "QUERY": {true, true},
		"PUT": {false, true}, "DELETE": {false, true},
		"POST": {false, false}, "PATCH": {false, false}, "LOCK": {false, false},
		// Methods are case-sensitive.
		"query": {false, false}, "get": {false, false},
	} {
		if safe, idempotent := isSafe(method), isIdempotent(method); safe != want.safe || idempotent != want.idempotent {
			t.Errorf("%s: safe %v, idempotent %v", method, safe, idempotent)
		}
	}
}
