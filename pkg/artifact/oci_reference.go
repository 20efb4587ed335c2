// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry"
)

// An ociReference is what an oci URL says: a manifest or blob in a registry, and which file of it.
//
//	oci://HOST/REPOSITORY:TAG[?plainHTTP=true][#SELECTOR]
//	oci://HOST/REPOSITORY[:TAG]@sha256:HEX[?plainHTTP=true][#SELECTOR]
//
// SELECTOR is any of title=NAME, path=PATH and platform=OS/ARCHITECTURE[/VARIANT], joined by "&".
type ociReference struct {
	host       string // with the port, if one is given
	repository string
	tag        string        // empty when there is a digest
	digest     digest.Digest // empty when there is none
	plainHTTP  bool

	title    string   // the layer whose annotation org.opencontainers.image.title this is; empty: not told
	path     string   // a file in the layers, clean and relative; empty: a layer is the file
	platform platform // the zero value: not told
}

// A platform is what an index chooses a manifest by.
type platform struct {
	os, architecture, variant string
}

var rePlatform = regexp.MustCompile(`^([a-z0-9]+)/([a-z0-9_]+)(?:/([a-z0-9.]+))?$`)

func (p platform) String() string {
	switch {
	case p == platform{}:
		return "no platform"
	case p.variant == "":
		return p.os + "/" + p.architecture
	}
	return p.os + "/" + p.architecture + "/" + p.variant
}

// CheckURL says what is wrong with the URL of an artifact that can be told without asking for it. Nil: nothing.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("is not a URL: correct it")
	}
	if u.Scheme == "oci" {
		_, err = parseOCI(u)
	}
	return err
}

// parseOCI reads an oci URL.
func parseOCI(u *url.URL) (*ociReference, error) {
	ref := &ociReference{host: u.Host}
	name, version, hasDigest := strings.Cut(strings.TrimPrefix(u.Path, "/"), "@")
	name, tag, hasTag := strings.Cut(name, ":")
	if !hasDigest && !hasTag {
		return nil, fmt.Errorf("%q names no version: end it in :TAG or @sha256:HEX", u.Host+u.Path)
	}
	check := registry.Reference{Registry: u.Host, Repository: name, Reference: tag}
	asked, err := url.Parse("https://" + u.Host) // stricter about hosts than with a scheme that it doesn't know
	if err != nil || asked.Host != u.Host || asked.Hostname() == "" || check.ValidateRegistry() != nil || u.User != nil {
		return nil, fmt.Errorf("%q is not HOST or HOST:PORT", u.Host)
	}
	if err := check.ValidateRepository(); err != nil {
		return nil, fmt.Errorf("%q is not the name of a repository: it has lower-case letters, digits, and .-_ between them", name)
	}
	if err := check.ValidateReferenceAsTag(); hasTag && err != nil {
		return nil, fmt.Errorf("%q is not a tag: it has letters, digits and .-_, 128 at most", tag)
	}
	ref.repository, ref.tag = name, tag
	if hasDigest {
		d, err := digest.Parse(version)
		if err != nil || d.Algorithm() != digest.SHA256 {
			return nil, fmt.Errorf("%q is not a digest: write @sha256: and 64 lower-case hex digits", version)
		}
		ref.digest, ref.tag = d, "" // the digest says more than the tag
	}
	if err := ref.parseQuery(u.RawQuery); err != nil {
		return nil, err
	}
	return ref, ref.parseSelector(u.EscapedFragment())
}

// parseQuery reads how to talk to the registry. Whether it speaks TLS is never guessed, since whoever can cut a
// connection could then have the credentials.
func (r *ociReference) parseQuery(query string) error {
	switch query {
	case "":
		r.plainHTTP = isLoopback(r.host)
	case "plainHTTP=true":
		r.plainHTTP = true
	case "plainHTTP=false":
	default:
		return fmt.Errorf("the query %q is not plainHTTP=true or plainHTTP=false", query)
	}
	return nil
}

// isLoopback says whether a host is this computer, where nobody listens on the way.
func isLoopback(hostport string) bool {
	host := (&url.URL{Host: hostport}).Hostname()
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return host == "localhost"
}

// parseSelector reads which file of a manifest is meant.
func (r *ociReference) parseSelector(fragment string) error {
	if fragment == "" {
		return nil
	}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(fragment, "&") {
		key, escaped, _ := strings.Cut(part, "=")
		value, err := url.PathUnescape(escaped) // a "+" is no space: file names have it
		if err != nil || value == "" || seen[key] {
			return fmt.Errorf("%q after the # must be title=NAME, path=PATH or platform=OS/ARCHITECTURE, each once and joined by &", part)
		}
		seen[key] = true
		switch key {
		case "title":
			r.title = value
		case "path":
			r.path = strings.TrimLeft(value, "/")
			if !fs.ValidPath(r.path) || r.path == "." || strings.ContainsRune(r.path, 0) {
				return fmt.Errorf("path=%s must not have . or .. in it: write it like boot/vmlinuz", value)
			}
		case "platform":
			m := rePlatform.FindStringSubmatch(value)
			if m == nil {
				return fmt.Errorf("platform=%s must be OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64", value)
			}
			r.platform = platform{m[1], m[2], m[3]}
		default:
			return fmt.Errorf("%q after the # is not known: there are title=NAME, path=PATH and platform=OS/ARCHITECTURE", key)
		}
	}
	return nil
}

// selects says whether the reference tells more than a blob could be chosen by.
func (r *ociReference) selects() bool { return r.title != "" || r.platform != platform{} }

// apiHost is the host that answers for the registry.
func (r *ociReference) apiHost() string { return registry.Reference{Registry: r.host}.Host() }

// scope is the repository as tokens name it.
func (r *ociReference) scope() registry.Reference {
	return registry.Reference{Registry: r.apiHost(), Repository: r.repository}
}

// endpoint returns the URL of a manifest or blob of the repository.
func (r *ociReference) endpoint(kind, version string) string {
	u := url.URL{Scheme: "https", Host: r.apiHost(), Path: "/v2/" + r.repository + "/" + kind + "/" + version}
	if r.plainHTTP {
		u.Scheme = "http"
	}
	return u.String()
}
