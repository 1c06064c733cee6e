package badger

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestSecretsOfTheConfigurationAreChecked(t *testing.T) {
	t.Setenv("CALLBACK_TEST_OLD", secretB)
	t.Setenv("CALLBACK_TEST_SHORT", "short")
	key := strings.Repeat("ab", 16)
	for name, tc := range map[string]struct {
		config Config
		says   string
	}{
		"nothing":                 {Config{}, ""},
		"old secrets alone":       {Config{OldSecrets: []string{secretA, "{env.CALLBACK_TEST_OLD}"}}, ""},
		"all":                     {Config{Secret: secretA, OldSecrets: []string{secretB}, EncryptionKey: key, OldEncryptionKeys: []string{key + key}}, ""},
		"an old one is not set":   {Config{Secret: secretA, OldSecrets: []string{"{env.CALLBACK_TEST_UNSET}"}}, "secret: {env.CALLBACK_TEST_UNSET} is empty or not set"},
		"an old one is too short": {Config{Secret: secretA, OldSecrets: []string{"{env.CALLBACK_TEST_SHORT}"}}, "secret is shorter than 16 bytes"},
		"an old key is not set":   {Config{EncryptionKey: key, OldEncryptionKeys: []string{"{env.CALLBACK_TEST_UNSET}"}}, "encryption_key: {env.CALLBACK_TEST_UNSET} is empty or not set"},
		"an old key is no key":    {Config{EncryptionKey: key, OldEncryptionKeys: []string{"{env.CALLBACK_TEST_OLD}"}}, "encryption_key must be 32, 48 or 64 hexadecimal digits"},
		"old keys alone":          {Config{OldEncryptionKeys: []string{key}}, "old_encryption_keys needs encryption_key"},
	} {
		c := tc.config
		err := c.provision(caddy.NewReplacer())
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
