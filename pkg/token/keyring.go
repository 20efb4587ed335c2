// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package token

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Bounds and default of Options.TTL.
const (
	MinTTL     = time.Minute
	MaxTTL     = 7 * 24 * time.Hour
	DefaultTTL = 4 * time.Hour
)

// ErrNoKey is the error while there is no key yet.
var ErrNoKey = errors.New("the key that signs tokens is not there yet")

// A Keyring signs and checks tokens with the keys that it was last given. It is safe for concurrent use.
type Keyring struct {
	ttl     time.Duration
	keys    atomic.Pointer[[]Key]
	metrics *metrics
}

// New returns a Keyring without keys.
func New(o Options) (*Keyring, error) {
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	if o.TTL < MinTTL || o.TTL > MaxTTL {
		return nil, fmt.Errorf("TTL %v: outside %v-%v", o.TTL, MinTTL, MaxTTL)
	}
	metrics, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Keyring{ttl: o.TTL, metrics: metrics}, nil
}

// Use makes the first key sign, and all of them check, from now on. Zero keys are left out.
func (r *Keyring) Use(keys ...Key) {
	keys = slices.DeleteFunc(slices.Clone(keys), Key.IsZero)
	r.keys.Store(&keys)
	r.metrics.keyIs(len(keys) > 0)
}

// Ready says whether there is a key.
func (r *Keyring) Ready() bool { return len(r.all()) > 0 }

func (r *Keyring) all() []Key {
	if keys := r.keys.Load(); keys != nil {
		return *keys
	}
	return nil
}

// Sign returns a token for c, or ErrNoKey. It lasts for the TTL, and up to a sixteenth longer: so that a text that is
// rendered twice within a short time, for two parts of it say, is the same each time.
func (r *Keyring) Sign(c Claim) (string, error) {
	keys := r.all()
	if len(keys) == 0 {
		return "", ErrNoKey
	}
	step := max(r.ttl/16, time.Second)
	return Sign(keys[0], c, time.Now().Truncate(step).Add(step+r.ttl)), nil
}

// Check returns nil if text is a token for c; else ErrNoKey, ErrMissing, ErrMalformed, ErrWrong or ErrExpired, of which all
// but the first are counted.
func (r *Keyring) Check(c Claim, text string) error {
	keys := r.all()
	if len(keys) == 0 {
		return ErrNoKey
	}
	err := ErrMissing
	if text != "" {
		err = verify(keys, c, text, time.Now())
	}
	r.metrics.refused(err)
	return err
}
