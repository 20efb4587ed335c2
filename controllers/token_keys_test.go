// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/pkg/token"
	"github.com/netboot-operator/netboot-operator/test/controlplane"
)

func someTokenKeys(t *testing.T, c client.Client, namespace string) *tokenKeys {
	t.Helper()
	ring, err := token.New(token.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &tokenKeys{Reader: c, Writer: c, Namespace: namespace, Keyring: ring, Log: logr.Discard(), looked: make(chan struct{})}
}

// TestPodsShareOneKey starts many pods at once where there is no Secret.
func TestPodsShareOneKey(t *testing.T) {
	c := controlplane.Client(t, server.Config(t))
	namespace := controlplane.Namespace(t, c)
	pods := make([]*tokenKeys, 8)
	var starting sync.WaitGroup
	for i := range pods {
		pods[i] = someTokenKeys(t, c, namespace)
		starting.Go(func() {
			if err := pods[i].load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	claim := token.Claim{Machine: "lab/n7", BootID: "1", Scope: "seed"}
	for i := range pods {
		text, err := pods[i].Keyring.Sign(claim)
		if err != nil {
			t.Fatal(err)
		}
		for j := range pods {
			if err := pods[j].Keyring.Check(claim, text); err != nil {
				t.Errorf("pod %d says to the token of pod %d: %v", j, i, err)
			}
		}
	}
}

// TestKeyIsEdited changes the Secret in the ways that people do.
func TestKeyIsEdited(t *testing.T) {
	c := controlplane.Client(t, server.Config(t))
	k := someTokenKeys(t, c, controlplane.Namespace(t, c))
	if err := k.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	claim := token.Claim{Machine: "lab/n7", BootID: "1", Scope: "seed"}
	first, err := k.Keyring.Sign(claim)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := k.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if secret.Type != corev1.SecretTypeOpaque || len(secret.Data) != 1 {
		t.Errorf("the Secret is of type %s, with %d keys", secret.Type, len(secret.Data))
	}
	original, second := secret.Data[keyCurrent], token.NewKey()
	for _, step := range []struct {
		name      string
		data      map[string][]byte
		wantErr   string // of load; empty: none
		wantFirst bool   // the first key's tokens are good
		wantNew   bool   // those of the second key are
	}{
		{"broken", map[string][]byte{keyCurrent: []byte("hunter2")}, `key "current" of Secret`, true, false},
		{"empty", nil, `key "current" of Secret`, true, false},
		{"rotated", map[string][]byte{keyCurrent: second.Text(), keyPrevious: original}, "", true, true},
		{"the previous is broken", map[string][]byte{keyCurrent: second.Text(), keyPrevious: []byte("hunter2")}, `key "previous" of Secret`, false, true},
		{"the previous is emptied", map[string][]byte{keyCurrent: second.Text(), keyPrevious: nil}, "", false, true},
		{"back", map[string][]byte{keyCurrent: original}, "", true, false},
	} {
		secret.Data = step.data
		if err := c.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		err := k.load(t.Context())
		if (err == nil) != (step.wantErr == "") || err != nil && (!strings.Contains(err.Error(), step.wantErr) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: load() error = %v, want %q", step.name, err, step.wantErr)
		}
		if err := k.Keyring.Check(claim, first); (err == nil) != step.wantFirst {
			t.Errorf("%s: a token of the first key: %v", step.name, err)
		}
		if err := k.Keyring.Check(claim, token.Sign(second, claim, time.Now().Add(time.Hour))); (err == nil) != step.wantNew {
			t.Errorf("%s: a token of the second key: %v", step.name, err)
		}
	}
	if err := c.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if err := k.load(t.Context()); err != nil || k.Keyring.Check(claim, first) == nil {
		t.Errorf("after the Secret was deleted: load() error = %v, and the old token must be wrong", err)
	}
}
