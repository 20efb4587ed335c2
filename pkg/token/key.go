// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package token

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
)

// keyBytes is the length of a new key, and the least that one may have: that of the hash.
const keyBytes = 32

// A Key signs tokens. The zero value is none. It never prints itself.
type Key struct{ secret []byte }

// NewKey makes a random key.
func NewKey() Key {
	secret := make([]byte, keyBytes)
	_, _ = rand.Read(secret) // ends the program rather than fail
	return Key{secret}
}

// ParseKey reads what Text returned; whitespace around it does not count.
func ParseKey(text []byte) (Key, error) {
	text = bytes.TrimSpace(text)
	secret := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(secret, text)
	switch {
	case len(text) == 0:
		return Key{}, errors.New("it is empty: write 32 random bytes in base64, as openssl rand -base64 32 prints them")
	case err != nil: // its text tells a position only, but nobody promises that
		return Key{}, errors.New("it is not base64: write 32 random bytes in base64, as openssl rand -base64 32 prints them")
	case n < keyBytes:
		return Key{}, fmt.Errorf("it has %d bytes, less than %d: openssl rand -base64 %d prints a good one", n, keyBytes, keyBytes)
	}
	return Key{secret[:n]}, nil
}

// Text returns the key in base64.
func (k Key) Text() []byte { return []byte(base64.StdEncoding.EncodeToString(k.secret)) }

// IsZero says whether there is no key.
func (k Key) IsZero() bool { return len(k.secret) == 0 }

const redacted = "REDACTED"

// String implements fmt.Stringer without telling the key.
func (Key) String() string { return redacted }

// GoString implements fmt.GoStringer without telling the key.
func (Key) GoString() string { return redacted }

// MarshalText implements encoding.TextMarshaler, which JSON, YAML and log/slog use, without telling the key.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }
