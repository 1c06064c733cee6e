package config

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// CheckSecret refuses a secret of a store that has fewer than least bytes.
func CheckSecret(secret string, least int) error {
	if len(secret) < least {
		return fmt.Errorf("secret is shorter than %d bytes; %s", least, MakeSecret)
	}
	return nil
}

// ParseKey reads an encryption_key of a store: 32, 48 or 64 hexadecimal digits, for AES-128, -192
// or -256.
func ParseKey(text string) ([]byte, error) {
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != 16 && len(key) != 24 && len(key) != 32 {
		return nil, errors.New("encryption_key must be 32, 48 or 64 hexadecimal digits; make one with: openssl rand -hex 32")
	}
	return key, nil
}
