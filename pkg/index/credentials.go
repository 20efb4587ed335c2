// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import "bytes"

// Credentials are what a server of artifacts wants to see, and what proves that it is the right one. Zero fields are not
// used. They never print themselves.
type Credentials struct {
	Username, Password string // HTTP basic authentication (RFC 7617)
	BearerToken        string // HTTP bearer authentication (RFC 6750)
	// CA holds further certificate authorities to trust, in PEM.
	CA []byte
	// DockerConfig is a .dockerconfigjson: credentials of registries, by host.
	DockerConfig []byte
	// Unavailable says, when not empty, why the credentials can't be had: nothing is fetched without them.
	Unavailable string
}

// Equal says whether c and other are the same; either may be nil.
func (c *Credentials) Equal(other *Credentials) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.Username == other.Username && c.Password == other.Password && c.BearerToken == other.BearerToken &&
		bytes.Equal(c.CA, other.CA) && bytes.Equal(c.DockerConfig, other.DockerConfig) && c.Unavailable == other.Unavailable
}

const redacted = "REDACTED"

// String implements fmt.Stringer without telling a secret.
func (Credentials) String() string { return redacted }

// GoString implements fmt.GoStringer without telling a secret.
func (Credentials) GoString() string { return redacted }

// MarshalText implements encoding.TextMarshaler, which JSON, YAML and log/slog use, without telling a secret.
func (Credentials) MarshalText() ([]byte, error) { return []byte(redacted), nil }
