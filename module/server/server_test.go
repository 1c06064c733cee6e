package server

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/app/apptest"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

func TestServerRefusesKeysThatMakeNoSense(t *testing.T) {
	t.Parallel()
	keys := []app.Key{{Name: "sender", Permissions: []string{"send"}}, {Name: "reader", Permissions: []string{"read"}}}
	for name, refused := range map[string]bool{"sender": false, "reader": true, "nobody": true, "include": true} {
		if err := (&Server{Keys: []string{name}}).Check(keys); (err != nil) != refused {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestServerLetsInWhoHasOneOfItsKeys(t *testing.T) {
	t.Parallel()
	known := callback.Caller{Shown: true, Known: true}
	named := func(names ...string) callback.Caller { return callback.Caller{Shown: true, Known: true, Names: names} }
	for name, c := range map[string]struct {
		keys   []string
		caller callback.Caller
		want   problem.Problem
	}{
		"no key is asked for":   {nil, callback.Caller{}, problem.Problem{}},
		"none, wrong one shown": {nil, callback.Caller{Shown: true}, problem.Problem{}},
		"the key":               {[]string{"a"}, named("a"), problem.Problem{}},
		"one of the keys":       {[]string{"a", "b"}, named("c", "b"), problem.Problem{}},
		"no key":                {[]string{"a"}, callback.Caller{}, problem.KeyRequired},
		"unknown key":           {[]string{"a"}, callback.Caller{Shown: true}, problem.KeyUnknown},
		"another key":           {[]string{"a"}, named("b"), problem.KeyNotAllowed},
		"key that may not send": {[]string{"a"}, known, problem.KeyNotAllowed},
	} {
		err := (&Server{Keys: c.keys}).admit(c.caller)
		var got problem.Problem
		if errors.As(err, &got); got.Slug != c.want.Slug || (err != nil) != (c.want.Slug != "") {
			t.Errorf("%s: refused with %v", name, err)
		}
	}
}

func TestOfTwoKeysOneIsEnoughAndNoneIsKept(t *testing.T) {
	t.Parallel()
	const key = "sixteen bytes or more"
	sum := sha256.Sum256([]byte(key))
	keys := `,"keys":[{"name":"a","secret":"sha256:` + hex.EncodeToString(sum[:]) + `","permissions":["send"]}]}`
	global, err := app.Of(apptest.NewContext(t, strings.TrimSuffix(apptest.BaseConfig, "}")+keys))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{app: global}
	r := httptest.NewRequest(http.MethodPost, "/cb/"+secretText+"?a=1&api_key=other", nil)
	r.Header.Set("Authorization", "Bearer "+key)
	shown, _ := global.KeysOf(r)
	if c := global.Caller(shown, app.PermissionSend); !c.Shown || !c.Known {
		t.Errorf("the caller is %+v", c)
	}
	in, err := readCall(t, s, r)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Lease.Release()
	if len(in.Keys) != 2 || in.Call.Query != "a=1" || len(in.Call.Header) != 0 {
		t.Errorf("the call keeps a key: %+v with %+v", in, in.Call)
	}
}

const secretText = "0b7e7dd2-6a3f-4d0e-9a56-3c9f5d1f2a4b"
