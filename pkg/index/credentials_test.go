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
