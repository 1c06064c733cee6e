package badger

import (
	"crypto/aes"
	"crypto/cipher"
)

// encryptionKey is an encryption key that is configured.
type encryptionKey struct {
	raw  []byte
	seal cipher.AEAD
}

func newKey(raw []byte) (*encryptionKey, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &encryptionKey{raw: raw, seal: seal}, nil
}

// newKeys returns the keys of a store, the first first; none if it is not encrypted.
func newKeys(o Options) (keys []*encryptionKey, err error) {
	if o.EncryptionKey == nil {
		return nil, nil
	}
	key, err := newKey(o.EncryptionKey)
	if err != nil {
		return nil, err
	}
	return append(keys, key), nil
}
