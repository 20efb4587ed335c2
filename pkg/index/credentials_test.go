// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package index_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

func TestCredentialsNeverPrint(t *testing.T) {
	secret := "hunter2"
	c := index.Credentials{Username: secret, Password: secret, BearerToken: secret, CA: []byte(secret), DockerConfig: []byte(secret)}
	a := index.Artifact{Credentials: &c}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		fmt.Fprintf(&out, verb+verb+verb+"\n", c, &c, []index.Credentials{c})
	}
	asJSON, err := json.Marshal(map[string]any{"artifact": a, "credentials": c})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(asJSON)
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("fetch", "value", c, "pointer", &c, "artifact", a)
	}
	if text := out.String(); strings.Contains(text, secret) || !strings.Contains(text, "REDACTED") {
		t.Errorf("printed:\n%s", text)
	}
}

func TestCredentialsEqual(t *testing.T) {
	full := func() *index.Credentials {
		return &index.Credentials{Username: "u", Password: "p", BearerToken: "b", CA: []byte("c"), DockerConfig: []byte("d"), Unavailable: "e"}
	}
	for name, tc := range map[string]struct {
		edit func(*index.Credentials)
		want bool
	}{
		"the same":             {func(*index.Credentials) {}, true},
		"another user name":    {func(c *index.Credentials) { c.Username = "x" }, false},
		"another password":     {func(c *index.Credentials) { c.Password = "x" }, false},
		"another token":        {func(c *index.Credentials) { c.BearerToken = "x" }, false},
		"another authority":    {func(c *index.Credentials) { c.CA = []byte("x") }, false},
		"another registry's":   {func(c *index.Credentials) { c.DockerConfig = []byte("x") }, false},
		"unavailable for once": {func(c *index.Credentials) { c.Unavailable = "x" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			other := full()
			tc.edit(other)
			if got := full().Equal(other); got != tc.want {
				t.Errorf("Equal() = %v", got)
			}
		})
	}
	var none *index.Credentials
	if !none.Equal(nil) || none.Equal(full()) || full().Equal(nil) {
		t.Error("nil is equal to itself and to nothing else")
	}
}
