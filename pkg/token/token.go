// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

// A Claim is what a token proves the right to.
type Claim struct {
	Machine string // "NAMESPACE/NAME"
	BootID  string
	// Scope is what it opens, among what belongs to the machine.
	Scope string
}

// The errors of checking a token. They tell no token.
var (
	ErrMissing   = errors.New("the URL holds no token: only the one in the machine's boot config does")
	ErrMalformed = errors.New("the token is not one: the URL was cut or changed on its way")
	ErrWrong     = errors.New("the token is for another machine, bootID or config, or its key is gone")
	ErrExpired   = errors.New("the token has expired: the machine gets another when it asks for its boot config")
)

// The layout of a token: when it expires, in seconds since 1970, and the HMAC.
const (
	timeBytes  = 4 // unsigned, big endian: until the year 2106
	tokenBytes = timeBytes + sha256.Size
	textLength = tokenBytes / 3 * 4 // base64 without padding
)

// Sign returns the token for c that expires at the given time, which is cut to seconds.
func Sign(k Key, c Claim, expires time.Time) string {
	raw := binary.BigEndian.AppendUint32(make([]byte, 0, tokenBytes), uint32(expires.Unix())) //nolint:gosec // see timeBytes
	return base64.RawURLEncoding.EncodeToString(append(raw, k.sum(c, raw)...))
}

// verify says whether text is a token for c that one of the keys has signed and that has not expired.
func verify(keys []Key, c Claim, text string, now time.Time) error {
	// The length first: the decoder passes over line ends, and a token has one spelling only.
	if len(text) != textLength {
		return ErrMalformed
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != tokenBytes {
		return ErrMalformed
	}
	signed := false
	for _, k := range keys {
		signed = hmac.Equal(k.sum(c, raw[:timeBytes]), raw[timeBytes:]) || signed
	}
	switch {
	case !signed:
		return ErrWrong
	case now.Unix() >= int64(binary.BigEndian.Uint32(raw)):
		return ErrExpired
	}
	return nil
}

// sum returns the HMAC of a claim. The length of each part stands before it, so that no two claims read the same.
func (k Key) sum(c Claim, expires []byte) []byte {
	h := hmac.New(sha256.New, k.secret)
	for _, part := range []string{"netboot-operator config token v1", c.Machine, c.BootID, c.Scope, string(expires)} {
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part)))) //nolint:gosec // far below 4 GiB; a hash takes everything
		_, _ = h.Write([]byte(part))
	}
	return h.Sum(nil)
}
