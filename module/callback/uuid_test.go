package callback_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

const aUUID = "f81d4fae-7dec-41d0-a765-00a0c91e6bf6"

// canonical matches what ParseUUID must accept.
var canonical = regexp.MustCompile(`\A[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\z`)

// misplacedHyphens has its four hyphens where they belong and two more, so that
// a reader that skips hyphens runs past the end.
const misplacedHyphens = "-12-4567-9012-4567-9012-456789012345"

func TestParseUUIDRefusesAllButTheCanonicalForm(t *testing.T) {
	for name, text := range map[string]string{
		"empty":               "",
		"upper case":          strings.ToUpper(aUUID),
		"one upper case":      "F81d4fae-7dec-41d0-a765-00a0c91e6bf6",
		"braces":              "{" + aUUID + "}",
		"urn":                 "urn:uuid:" + aUUID,
		"no hyphens":          strings.ReplaceAll(aUUID, "-", ""),
		"35 bytes":            aUUID[:35],
		"37 bytes":            aUUID + "0",
		"trailing newline":    aUUID + "\n",
		"leading space":       " " + aUUID[:35],
		"version 1":           "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
		"version 7":           "f81d4fae-7dec-71d0-a765-00a0c91e6bf6",
		"version 0":           "f81d4fae-7dec-01d0-a765-00a0c91e6bf6",
		"NCS variant":         "f81d4fae-7dec-41d0-7765-00a0c91e6bf6",
		"Microsoft variant":   "f81d4fae-7dec-41d0-c765-00a0c91e6bf6",
		"reserved variant":    "f81d4fae-7dec-41d0-f765-00a0c91e6bf6",
		"nil UUID":            "00000000-0000-0000-0000-000000000000",
		"max UUID":            "ffffffff-ffff-ffff-ffff-ffffffffffff",
		"letter past f":       "g81d4fae-7dec-41d0-a765-00a0c91e6bf6",
		"full-width digit":    "８d4fae12-7dec-41d0-a765-00a0c91e6b",
		"two-byte letter":     "é1d4fae1-7dec-41d0-a765-00a0c91e6bf",
		"NUL":                 "\x001d4fae1-7dec-41d0-a765-00a0c91e6bf6",
		"percent-encoded":     "%661d4fa-7dec-41d0-a765-00a0c91e6bf6",
		"other hyphen":        "f81d4fae_7dec_41d0_a765_00a0c91e6bf6",
		"hyphen moved":        "f81d4fa-e7dec-41d0-a765-00a0c91e6bf6",
		"hyphen for a digit":  "f81d4fae-7dec-41d0-a765-00a0c91e6bf-",
		"hyphens all over":    misplacedHyphens,
		"nothing but hyphens": strings.Repeat("-", 36),
	} {
		if u, ok := callback.ParseUUID(text); ok || !u.IsZero() {
			t.Errorf("%s: %q was read as %s", name, text, u)
		}
	}
}

func TestUUIDSurvivesTheRoundTripThroughText(t *testing.T) {
	if u, ok := callback.ParseUUID(aUUID); !ok || u.String() != aUUID {
		t.Errorf("%q was read as %s, %v", aUUID, u, ok)
	}
	for range 100 {
		u := callback.NewUUID()
		if back, ok := callback.ParseUUID(u.String()); !ok || back != u {
			t.Fatalf("%s was read as %s, %v", u, back, ok)
		}
	}
}

func TestNewUUIDsDiffer(t *testing.T) {
	seen := make(map[callback.UUID]bool)
	for range 1000 {
		u := callback.NewUUID()
		if seen[u] || u.IsZero() {
			t.Fatalf("%s again", u)
		}
		seen[u] = true
	}
}

func TestUUIDIsTextInJSON(t *testing.T) {
	u, _ := callback.ParseUUID(aUUID)
	if b, err := json.Marshal(u); err != nil || string(b) != `"`+aUUID+`"` {
		t.Errorf("got %s, %v", b, err)
	}
}

func TestDigestOfAUUIDIsOfItsBytesAndNotZero(t *testing.T) {
	u, _ := callback.ParseUUID(aUUID)
	same, _ := callback.ParseUUID(aUUID)
	if u.Digest().IsZero() || u.Digest() != same.Digest() || u.Digest() == callback.NewUUID().Digest() {
		t.Error("the digest does not identify the UUID")
	}
	if !(callback.Digest{}).IsZero() || !(callback.UUID{}).IsZero() {
		t.Error("zero values must stand for none")
	}
}

func FuzzParseUUID(f *testing.F) {
	for _, seed := range []string{aUUID, strings.ToUpper(aUUID), misplacedHyphens, strings.Repeat("-", 36), "", "{" + aUUID + "}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, ok := callback.ParseUUID(text)
		if ok != canonical.MatchString(text) {
			t.Fatalf("%q: read is %v", text, ok)
		}
		if ok && u.String() != text {
			t.Fatalf("%q comes back as %s", text, u)
		}
		if !ok && !u.IsZero() {
			t.Fatalf("%q was refused, but gave %s", text, u)
		}
	})
}
