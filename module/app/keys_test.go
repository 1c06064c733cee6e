package app

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

const testKey = "sixteen bytes or more"

// sumOf returns the secret of a key that is given by its sum.
func sumOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestKeyMustMakeSense(t *testing.T) {
	t.Parallel()
	const secret = "{env.KEY}"
	send := []string{PermissionSend}
	for name, c := range map[string]struct {
		key  Key
		want string
	}{
		"environment":         {Key{Name: "partner", Secret: secret, Permissions: send}, ""},
		"file":                {Key{Name: "partner", Secret: "{file./run/key}", Permissions: send}, ""},
		"sum":                 {Key{Name: "partner", Secret: sumOf(testKey), Permissions: send}, ""},
		"sum in upper case":   {Key{Name: "partner", Secret: "sha256:" + strings.Repeat("AB", 32), Permissions: send}, ""},
		"all permissions":     {Key{Name: "a-b_1", Secret: secret, Permissions: permissions}, ""},
		"no name":             {Key{Name: "", Secret: secret, Permissions: send}, "name"},
		"name with space":     {Key{Name: "a b", Secret: secret, Permissions: send}, "name"},
		"name of an option":   {Key{Name: "include", Secret: secret, Permissions: send}, "name"},
		"name of no key":      {Key{Name: "off", Secret: secret, Permissions: send}, "name"},
		"no secret":           {Key{Name: "partner", Secret: "", Permissions: send}, "secret"},
		"literal":             {Key{Name: "partner", Secret: testKey, Permissions: send}, "secret"},
		"literal beside":      {Key{Name: "partner", Secret: secret + "x", Permissions: send}, "secret"},
		"other placeholder":   {Key{Name: "partner", Secret: "{http.request.host}", Permissions: send}, "secret"},
		"empty placeholder":   {Key{Name: "partner", Secret: "{env.}", Permissions: send}, "secret"},
		"short sum":           {Key{Name: "partner", Secret: "sha256:ab", Permissions: send}, "secret"},
		"sum that is no sum":  {Key{Name: "partner", Secret: "sha256:" + strings.Repeat("xy", 32), Permissions: send}, "secret"},
		"no permission":       {Key{Name: "partner", Secret: secret, Permissions: nil}, "permission"},
		"unknown permission":  {Key{Name: "partner", Secret: secret, Permissions: []string{"send", "write"}}, "write"},
		"further secrets":     {Key{Name: "partner", Secret: secret, MoreSecrets: []string{"{env.OLD}", sumOf(testKey)}, Permissions: send}, ""},
		"literal as a second": {Key{Name: "partner", Secret: secret, MoreSecrets: []string{testKey}, Permissions: send}, "secret"},
		"for names":           {Key{Name: "partner", Secret: secret, Permissions: []string{"send", "read", "manage"}, For: []string{"a", "b"}}, ""},
		"for one, and create": {Key{Name: "partner", Secret: secret, Permissions: []string{"create"}, For: []string{"a"}}, ""},
		"for two, and create": {Key{Name: "partner", Secret: secret, Permissions: []string{"create", "read"}, For: []string{"a", "b"}}, "as in: key partner-a {env.NAME} create for a"},
		"for none":            {Key{Name: "partner", Secret: secret, Permissions: send, For: []string{}}, "for no callback"},
		"for an odd name":     {Key{Name: "partner", Secret: secret, Permissions: send, For: []string{"{x}"}}, "name of a callback"},
		"for one twice":       {Key{Name: "partner", Secret: secret, Permissions: send, For: []string{"a", "b", "a"}}, "for a twice"},
		"permission in upper": {Key{Name: "partner", Secret: secret, Permissions: []string{"Send"}}, "Send"},
	} {
		err := c.key.check()
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), testKey) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

func TestKeysMustMakeSenseTogether(t *testing.T) {
	t.Parallel()
	a, b := Key{Name: "a", Secret: "{env.A}", Permissions: []string{"send"}}, Key{Name: "b", Secret: "{env.B}", Permissions: []string{"read"}}
	for name, c := range map[string]struct {
		keys []Key
		want string
	}{
		"none":       {nil, ""},
		"two":        {[]Key{a, b}, ""},
		"twice":      {[]Key{a, b, a}, "key a is given twice"},
		"one secret": {[]Key{a, {Name: "c", Secret: "{env.C}", MoreSecrets: []string{"{env.A}"}, Permissions: []string{"send"}}}, "the keys a and c have the same secret"},
		"twice one":  {[]Key{{Name: "c", Secret: "{env.C}", MoreSecrets: []string{"{env.C}"}, Permissions: []string{"send"}}}, "key c has the same secret twice"},
		"one is bad": {[]Key{a, {Name: "c"}}, "key c"},
	} {
		err := CheckKeys(c.keys)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestKeyIsKnownWhereverItsSecretComesFrom(t *testing.T) {
	t.Setenv("CALLBACK_TEST_KEY", testKey)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(testKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"{env.CALLBACK_TEST_KEY}", "{file." + file + "}", sumOf(testKey), strings.Replace(strings.ToUpper(sumOf(testKey)), "SHA", "sha", 1)} {
		ring, err := newKeyRing([]Key{{Name: "partner", Secret: secret, Permissions: []string{"send"}}})
		if err != nil {
			t.Errorf("%s: %v", secret, err)
			continue
		}
		if c := ring.caller([]string{testKey}, PermissionSend); !c.Known || len(c.Names) != 1 {
			t.Errorf("%s: the caller is %+v", secret, c)
		}
		if c := ring.caller([]string{testKey + "\n"}, PermissionSend); c.Known {
			t.Errorf("%s: a key with a line break is known", secret)
		}
	}
}

// Secrets that are spelled differently can be the same.
func TestSecretBelongsToOneKey(t *testing.T) {
	t.Setenv("CALLBACK_TEST_KEY", testKey)
	t.Setenv("CALLBACK_TEST_SAME", testKey+"\n")
	send := []string{"send"}
	for name, keys := range map[string][]Key{
		"two keys":     {{Name: "a", Secret: "{env.CALLBACK_TEST_KEY}", Permissions: send}, {Name: "b", Secret: "{env.CALLBACK_TEST_SAME}", Permissions: send}},
		"a key twice":  {{Name: "a", Secret: "{env.CALLBACK_TEST_KEY}", MoreSecrets: []string{sumOf(testKey)}, Permissions: send}},
		"second ones":  {{Name: "a", Secret: sumOf("a"), MoreSecrets: []string{sumOf(testKey)}, Permissions: send}, {Name: "b", Secret: sumOf("b"), MoreSecrets: []string{"{env.CALLBACK_TEST_KEY}"}, Permissions: send}},
		"a sum's case": {{Name: "a", Secret: sumOf(testKey), Permissions: send}, {Name: "b", Secret: "sha256:" + strings.ToUpper(sumOf(testKey)[7:]), Permissions: send}},
	} {
		if _, err := newKeyRing(keys); err == nil || !strings.Contains(err.Error(), "the same secret") || strings.Contains(err.Error(), testKey) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestKeyThatIsNotThereOrTooShortIsRefused(t *testing.T) {
	t.Setenv("CALLBACK_TEST_EMPTY", "")
	t.Setenv("CALLBACK_TEST_SHORT", strings.Repeat("x", minKey-1))
	t.Setenv("CALLBACK_TEST_BLANK", strings.Repeat(" ", minKey))
	t.Setenv("CALLBACK_TEST_ENOUGH", strings.Repeat("x", minKey))
	for secret, refused := range map[string]bool{
		"{env.CALLBACK_TEST_UNSET}":  true,
		"{env.CALLBACK_TEST_EMPTY}":  true,
		"{env.CALLBACK_TEST_SHORT}":  true,
		"{env.CALLBACK_TEST_BLANK}":  true,
		"{file./no/such/file}":       true,
		testKey:                      true,
		"{env.CALLBACK_TEST_ENOUGH}": false,
	} {
		_, err := newKeyRing([]Key{{Name: "partner", Secret: secret, Permissions: []string{"send"}}})
		if (err != nil) != refused || err != nil && !strings.Contains(err.Error(), "key partner") {
			t.Errorf("%s: error is %v", secret, err)
		}
	}
}

func TestCallerIsKnownByTheKey(t *testing.T) {
	t.Setenv("CALLBACK_TEST_KEY", testKey)
	ring, err := newKeyRing([]Key{
		{Name: "sender", Secret: sumOf("the sender's key"), Permissions: []string{"read", "send"}},
		{Name: "again", Secret: "{env.CALLBACK_TEST_KEY}", MoreSecrets: []string{sumOf("the sender's next key")}, Permissions: []string{"send"}, For: []string{"orders"}},
		{Name: "reader", Secret: sumOf("the reader's key"), Permissions: []string{"read"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := ring.caller(nil, PermissionSend); !reflect.DeepEqual(got, callback.Caller{}) {
		t.Errorf("without a key the caller is %+v", got)
	}
	both := []string{"nobody's key", "the sender's key", testKey, "the sender's next key"}
	if got := ring.caller(both, PermissionSend); !slices.Equal(got.Names, []string{"sender", "again"}) {
		t.Errorf("with all keys the caller is %+v", got)
	}
	orders := map[string][]string{"again": {"orders"}}
	for shown, want := range map[string]callback.Caller{
		"the sender's key":      {Shown: true, Known: true, Names: []string{"sender"}},
		testKey:                 {Shown: true, Known: true, Names: []string{"again"}, Only: orders},
		"the sender's next key": {Shown: true, Known: true, Names: []string{"again"}, Only: orders},
		"the reader's key":      {Shown: true, Known: true},
		"nobody's key":          {Shown: true},
		"The sender's key":      {Shown: true},
		"the sender's key ":     {Shown: true},
	} {
		if got := ring.caller([]string{shown}, PermissionSend); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: the caller is %+v, want %+v", shown, got, want)
		}
	}
}

func TestKeysAreFoundInHeaderAndQuery(t *testing.T) {
	t.Parallel()
	ring, err := newKeyRing([]Key{{Name: "sender", Secret: sumOf("a named key?"), Permissions: []string{"send"}}})
	if err != nil {
		t.Fatal(err)
	}
	a := &App{keyRing: ring}
	for name, c := range map[string]struct {
		query         string
		authorization []string
		keys, left    string
	}{
		"none":                         {"", nil, "", ""},
		"bearer":                       {"", []string{"Bearer k1"}, "k1", ""},
		"bearer in lower case":         {"", []string{"bearer k1"}, "k1", ""},
		"bearer in upper case":         {"", []string{"BEARER k1"}, "k1", ""},
		"bearer with spaces":           {"", []string{"Bearer   k1 "}, "k1", ""},
		"bearer and nothing":           {"", []string{"Bearer"}, "", ""},
		"query":                        {"api_key=k1", nil, "k1", ""},
		"query among others":           {"a=1&api_key=k1&b=%2f", nil, "k1", "a=1&b=%2f"},
		"escaped name and key":         {"a=1&api%5Fkey=k%31", nil, "k1", "a=1"},
		"another case of the name":     {"API_KEY=k1", nil, "", "API_KEY=k1"},
		"query without key":            {"&&b=%zz;a=+1&&B&=", nil, "", "&&b=%zz;a=+1&&B&="},
		"both the same":                {"a=1&api_key=k1", []string{"Bearer k1"}, "k1", "a=1"},
		"both, and different":          {"a=1&api_key=k1", []string{"Bearer k2"}, "k1 k2", "a=1"},
		"twice the same in the query":  {"api_key=k1&a=1&api_key=k1", nil, "k1", "a=1"},
		"twice in the header":          {"", []string{"Bearer k1", "Bearer k2"}, "k1 k2", ""},
		"basic":                        {"", []string{"Basic azE6azI="}, "", ""},
		"basic beside bearer":          {"", []string{"Basic azE6azI=", "Bearer k1"}, "k1", ""},
		"basic beside query":           {"api_key=k1", []string{"Basic azE6azI="}, "k1", ""},
		"empty in the query, and more": {"api_key=", []string{"Bearer k1"}, "k1", ""},
		"another query appended":       {"api_key=k1?a=1&b=2", nil, "k1", "a=1&b=2"},
		"the same, escaped":            {"api_key=k1%3Fa%3D1&b=2", nil, "k1", "a=1&b=2"},
		"a named key with a mark":      {"api_key=a named key?&a=1", nil, "a named key?", "a=1"},
		"very many":                    {"api_key=1&api_key=2&api_key=3&api_key=4&api_key=5", nil, "1 2 3 4", ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/cb/x", nil)
		r.URL.RawQuery = c.query
		r.Header["Authorization"] = c.authorization
		keys, left := a.KeysOf(r)
		if got := strings.Join(keys, " "); got != c.keys || left != c.left {
			t.Errorf("%s: keys %q, query %q", name, got, left)
		}
	}
}

func TestHolderIsKnownByTheKeyAndItsPermissions(t *testing.T) {
	t.Parallel()
	ring, err := newKeyRing([]Key{
		{Name: "sender", Secret: sumOf("the sender's key"), Permissions: []string{"send"}},
		{Name: "reader", Secret: sumOf("the reader's key"), Permissions: []string{"read", "create"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for permission, want := range map[string][]string{"send": {"sender"}, "read": {"reader"}, "create": {"reader"}, "manage": nil, "": {"sender", "reader"}} {
		got := ring.caller([]string{"the sender's key", "the reader's key"}, permission)
		if !slices.Equal(got.Names, want) || !got.Known || !got.Shown {
			t.Errorf("%q: %+v, want %v", permission, got, want)
		}
	}
}
