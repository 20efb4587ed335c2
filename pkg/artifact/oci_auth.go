// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// errDockerConfig is the error of a .dockerconfigjson, of which nothing may be shown.
var errDockerConfig = errors.New("the .dockerconfigjson of the Secret can't be read: make it with kubectl create secret docker-registry")

// A dockerAuth is what a .dockerconfigjson says about one registry.
type dockerAuth struct {
	Auth          string `json:"auth"` // base64 of USERNAME:PASSWORD
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// credentialFor chooses what to show to the registry of a reference. The fields of their own come before a
// .dockerconfigjson.
func credentialFor(ref *ociReference, c *index.Credentials) (auth.Credential, error) {
	switch {
	case c == nil:
		return auth.EmptyCredential, nil
	case c.BearerToken != "":
		return auth.Credential{AccessToken: c.BearerToken}, nil
	case c.Username != "" || c.Password != "":
		return auth.Credential{Username: c.Username, Password: c.Password}, nil
	case len(c.DockerConfig) == 0:
		return auth.EmptyCredential, nil
	}
	var config struct {
		Auths map[string]dockerAuth `json:"auths"`
	}
	if err := json.Unmarshal(c.DockerConfig, &config); err != nil {
		return auth.EmptyCredential, errDockerConfig
	}
	best, found := "", false
	for key := range config.Auths {
		// Of two that fit, the one that says more; of two spellings of one, always the same.
		if ref.isIn(key) && (!found || len(key) > len(best) || len(key) == len(best) && key < best) {
			best, found = key, true
		}
	}
	if !found {
		return auth.EmptyCredential, nil
	}
	return config.Auths[best].credential()
}

func (d dockerAuth) credential() (auth.Credential, error) {
	c := auth.Credential{Username: d.Username, Password: d.Password, RefreshToken: d.IdentityToken, AccessToken: d.RegistryToken}
	if d.Auth != "" {
		text, err := base64.StdEncoding.DecodeString(d.Auth)
		username, password, ok := strings.Cut(string(text), ":")
		if err != nil || !ok {
			return auth.EmptyCredential, errDockerConfig
		}
		c.Username, c.Password = username, strings.TrimRight(password, "\x00")
	}
	return c, nil
}

// isIn says whether a key of a .dockerconfigjson means the repository or what it is in: HOST, HOST/PART, with or without
// a scheme before and an API version behind.
func (r *ociReference) isIn(key string) bool {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, prefix, _ := strings.Cut(strings.TrimRight(key, "/"), "/")
	if prefix == "v1" || prefix == "v2" {
		prefix = ""
	}
	mine := r.host
	if mine == "registry-1.docker.io" {
		mine = "docker.io"
	}
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		host = "docker.io"
	}
	return strings.EqualFold(host, mine) &&
		(prefix == "" || prefix == r.repository || strings.HasPrefix(r.repository, prefix+"/"))
}
