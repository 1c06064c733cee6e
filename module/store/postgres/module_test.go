package postgres

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"
)

const testSecret = "0123456789abcdef0123456789abcdef"

func TestCaddyfileIsRead(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("ab", 16)
	const url = "postgres://caddy@db.example.com/callback"
	for text, says := range map[string]string{
		"postgres": "needs the URL",
		"postgres " + url + " {\nsecret " + testSecret + "\n}":               "",
		"postgres {env.DB} {\nsecret {env.S} {env.T}\npassword {file./p}\n}": "",
		"postgres " + url + " {\nsecret stored\n}":                           "",
		"postgres " + url:                                                              "needs secret",
		"postgres " + url + " more":                                                    "is too much",
		"postgres " + url + " {\nsecret short\n}":                                      "shorter than 32 bytes",
		"postgres " + url + " {\nsecret stored short\n}":                               "shorter than 16 bytes",
		"postgres " + url + " {\nsecret \"\"\n}":                                       "secret is empty",
		"postgres " + url + " {\nsecrt x\n}":                                           "did you mean secret?",
		"postgres " + url + " {\nsecret stored\nsecret stored\n}":                      "given twice",
		"postgres " + url + " {\nsecret stored\nmigrate maybe\n}":                      "on or off",
		"postgres " + url + " {\nsecret stored\nmigrate off\nschema a_1\n}":            "",
		"postgres " + url + " {\nsecret stored\nschema A;\n}":                          "schema must be",
		"postgres " + url + " {\nsecret stored\nencryption_key " + key + "\n}":         "",
		"postgres " + url + " {\nsecret stored\nencryption_key abc\n}":                 "hexadecimal",
		"postgres postgres://caddy:pw@db.example.com/callback {\nsecret stored\n}":     "holds a password",
		"postgres " + url + "?password=pw {\nsecret stored\n}":                         "holds a password",
		"postgres mysql://db {\nsecret stored\n}":                                      "cannot be read",
		"postgres " + url + " {\nsecret stored\ndirect postgres://a:b@h/d\n}":          "direct holds a password",
		"postgres " + url + " {\nsecret stored\npassword a b\n}":                       "password needs one value",
		"postgres " + url + " {\nsecret\n}":                                            "needs one value at least",
		"postgres " + url + " {\nsecret stored\ndirect postgres://caddy@h/callback\n}": "",
	} {
		c := new(Config)
		err := c.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestCertificatesOfOtherMachinesAreVerified(t *testing.T) {
	t.Parallel()
	for text, mode := range map[string]string{
		"postgres://db.example.com/a":                       "verify-full",
		"postgres://192.0.2.1/a":                            "verify-full",
		"postgres://127.0.0.1,db.example.com/a":             "verify-full",
		"postgres://localhost/a":                            "prefer",
		"postgres://[::1]/a":                                "prefer",
		"postgres:///a?host=/run/postgresql":                "prefer",
		"postgres:///a?host=/run/postgresql,db.example.com": "verify-full",
		"postgres://db.example.com/a?sslmode=require":       "require",
	} {
		got, err := connectionString("the URL", text)
		if err != nil || !strings.Contains(got, "sslmode="+mode) {
			t.Errorf("%s became %s, %v", text, got, err)
		}
	}
}

func TestModuleOpensTheStore(t *testing.T) {
	o := testOptions(t)
	t.Setenv("CALLBACK_TEST_SECRET", testSecret)
	open := func(c *Config) (*Store, error) {
		c.URL, c.Schema = o.URL, o.Schema
		if err := c.provision(caddy.NewReplacer()); err != nil {
			t.Fatal(err)
		}
		s, err := c.Open(zap.NewNop())
		if err != nil {
			return nil, err
		}
		return s.(*Store), nil
	}
	one := &Config{Secret: "{env.CALLBACK_TEST_SECRET}"}
	s, err := open(one)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id, err := one.Identity()
	if err != nil || !strings.HasSuffix(id, "/postgres/"+o.Schema) {
		t.Errorf("the identity is %s, %v", id, err)
	}
	first := *s.Secret()
	next := &Config{URL: o.URL, Schema: o.Schema, Secret: strings.Repeat("x", 32), OldSecrets: []string{testSecret}}
	if err := next.provision(caddy.NewReplacer()); err != nil {
		t.Fatal(err)
	}
	if err := next.CanAdopt(s); err != nil {
		t.Error(err)
	}
	if err := next.Adopt(s); err != nil || *s.Secret() == first || !s.secrets.Load().Know(first.Mark()) {
		t.Errorf("adopting a secret: %v", err)
	}
	if _, err := open(&Config{StoredSecret: true}); err == nil {
		t.Error("a stored secret takes the place of one that was given")
	}
	stored := &Config{StoredSecret: true, OldSecrets: []string{testSecret}}
	two, err := open(stored)
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	three, err := open(stored)
	if err != nil {
		t.Fatal(err)
	}
	defer three.Close()
	if *two.Secret() != *three.Secret() || *two.Secret() == first {
		t.Error("the stored secret does not stay")
	}
}

func TestUnsetPlaceholdersAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []*Config{
		{URL: "{env.CALLBACK_TEST_UNSET}", StoredSecret: true},
		{URL: "postgres:///a", Secret: "{env.CALLBACK_TEST_UNSET}"},
		{URL: "postgres:///a", StoredSecret: true, Password: "{env.CALLBACK_TEST_UNSET}"},
	} {
		if err := c.provision(caddy.NewReplacer()); err == nil || !strings.Contains(err.Error(), "is empty or not set") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
