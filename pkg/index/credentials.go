// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package index

// Credentials are what a server of artifacts wants to see, and what proves that it is the right one. Zero fields are not
// used. They never print themselves.
type Credentials struct {
	Username, Password string // HTTP basic authentication (RFC 7617)
	BearerToken        string // HTTP bearer authentication (RFC 6750)
	// CA holds further certificate authorities to trust, in PEM.
	CA []byte
	// DockerConfig is a .dockerconfigjson: credentials of registries, by host.
	DockerConfig []byte
}

const redacted = "REDACTED"

// String implements fmt.Stringer without telling a secret.
func (Credentials) String() string { return redacted }

// GoString implements fmt.GoStringer without telling a secret.
func (Credentials) GoString() string { return redacted }

// MarshalText implements encoding.TextMarshaler, which JSON, YAML and log/slog use, without telling a secret.
func (Credentials) MarshalText() ([]byte, error) { return []byte(redacted), nil }
