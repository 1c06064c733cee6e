package config_test

import (
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/config"
)

func TestSecretsAreLongEnough(t *testing.T) {
	if err := config.CheckSecret(strings.Repeat("s", 32), 32); err != nil {
		t.Error(err)
	}
	if err := config.CheckSecret(strings.Repeat("s", 31), 32); err == nil || !strings.Contains(err.Error(), "shorter than 32 bytes; ") {
		t.Errorf("31 bytes: %v", err)
	}
}

func TestEncryptionKeysAreDigits(t *testing.T) {
	for _, digits := range []int{32, 48, 64} {
		if key, err := config.ParseKey(strings.Repeat("0f", digits/2)); err != nil || len(key) != digits/2 || key[0] != 0x0f {
			t.Errorf("%d digits: %x, %v", digits, key, err)
		}
	}
	for _, text := range []string{"", "0f", strings.Repeat("0", 33), strings.Repeat("0", 40), strings.Repeat("0g", 16), " " + strings.Repeat("0", 32)} {
		if _, err := config.ParseKey(text); err == nil || !strings.Contains(err.Error(), "32, 48 or 64 hexadecimal digits") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
