package caddyfile

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPlaceholderThatIsEmptyIsNamed(t *testing.T) {
	const base, site = "base_url https://app.example.com\n", "http://a {\ncallback_server\nrespond 404\n}\n"
	const unset, secret = "{env.CALLBACK_TEST_NOT_SET} is empty or not set", "; make one with: openssl rand -base64 32"
	with := func(lines string) string {
		return "http://a {\ncallback_server\ncallback park {\nname a\n" + lines + "\n}\nreverse_proxy localhost:1\n}\n"
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CALLBACK_TEST_EMPTY", "")
	t.Setenv("CALLBACK_TEST_SHORT", "short")
	t.Setenv("CALLBACK_TEST_SHORT_SIGN", "whsec_"+base64.StdEncoding.EncodeToString([]byte("short")))
	const signing = `; make one with: echo "whsec_$(openssl rand -base64 32)"`
	for name, c := range map[string]struct{ callback, site, want string }{
		"key":                      {base + "key a {env.CALLBACK_TEST_NOT_SET} send", site, "key a: " + unset + secret},
		"key that is empty":        {base + "key a {env.CALLBACK_TEST_EMPTY} send", site, "key a: {env.CALLBACK_TEST_EMPTY} is empty or not set" + secret},
		"key in an empty file":     {base + "key a {file." + empty + "} send", site, "key a: {file." + empty + "} is empty or not set" + secret},
		"key in no file":           {base + "key a {file." + empty + ".none} send", site, "{file." + empty + ".none} is empty or not set"},
		"short key":                {base + "key a {env.CALLBACK_TEST_SHORT} send", site, "key a: {env.CALLBACK_TEST_SHORT} is shorter than 16 bytes" + secret},
		"sign":                     {base + "deliver {\nsign {env.CALLBACK_TEST_NOT_SET}\n}", site, "sign: " + unset + signing},
		"sign of a directive":      {base, with("deliver {\nsign {env.CALLBACK_TEST_NOT_SET}\n}"), "sign: " + unset + signing},
		"sign, no signing secret":  {base + "deliver {\nsign {env.CALLBACK_TEST_SHORT}\n}", site, "does not begin with whsec_" + signing},
		"short sign":               {base + "deliver {\nsign {env.CALLBACK_TEST_SHORT_SIGN}\n}", site, "before they become base64" + signing},
		"store":                    {base + "store badger {env.CALLBACK_TEST_NOT_SET}", site, "dir: " + unset},
		"store's secret":           {base + "store badger {\nsecret {env.CALLBACK_TEST_NOT_SET}\n}", site, "secret: " + unset},
		"store's short secret":     {base + "store badger {\nsecret {env.CALLBACK_TEST_SHORT}\n}", site, "secret is shorter than 16 bytes" + secret},
		"encryption_key":           {base + "store badger {\nencryption_key {env.CALLBACK_TEST_NOT_SET}\n}", site, "encryption_key: " + unset},
		"short encryption_key":     {base + "store badger {\nencryption_key {env.CALLBACK_TEST_SHORT}\n}", site, "make one with: openssl rand -hex 32"},
		"base_url":                 {"base_url {env.CALLBACK_TEST_NOT_SET}", site, "callback: base_url: " + unset},
		"base_url's host":          {"base_url https://{env.CALLBACK_TEST_NOT_SET}/x", site, "callback: base_url: " + unset},
		"status_url":               {base + "status_url https://{env.CALLBACK_TEST_NOT_SET}", site, "callback: status_url: " + unset},
		"base_url of a directive":  {base, with("base_url https://{env.CALLBACK_TEST_NOT_SET}"), "callback park: base_url: " + unset},
		"redir":                    {base, with("redir /{env.CALLBACK_TEST_NOT_SET}/x"), "redir: " + unset},
		"redir_late":               {base, with("redir /x\nredir_late /{env.CALLBACK_TEST_NOT_SET}/x"), "redir_late: " + unset},
		"challenge":                {base, "http://a {\ncallback_server {\nchallenge x {env.CALLBACK_TEST_NOT_SET}\n}\nrespond 404\n}\n", "callback_server: challenge: x: " + unset},
		"challenge, short secret":  {base, "http://a {\ncallback_server {\nchallenge meta {env.CALLBACK_TEST_SHORT}\n}\nrespond 404\n}\n", "callback_server: challenge: meta: the secret has 5 bytes: it must have 16 or more"},
		"challenge, short key":     {base, "http://a {\ncallback_server {\nchallenge zoom {env.CALLBACK_TEST_SHORT}\n}\nrespond 404\n}\n", "callback_server: challenge: zoom: the secret has 5 bytes: it must have 16 or more"},
		"another error":            {"base_url ftp://{env.CALLBACK_TEST_SHORT}", site, "must begin with http:// or https://"},
		"an empty part of a URL":   {base[:len(base)-1] + "{env.CALLBACK_TEST_NOT_SET}", site, ""},
		"an empty part of a text":  {base, with("respond \"version {env.CALLBACK_TEST_NOT_SET}\""), ""},
		"an empty end of a target": {base, with("redir https://b.example.com/{env.CALLBACK_TEST_NOT_SET}"), ""},
	} {
		err := validateWith(t, c.callback, c.site)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error is %v", name, err)
		}
	}
}
