// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/token"
)

// manifestOf returns an object as a manifest.
func manifestOf(t *testing.T, o client.Object) string {
	t.Helper()
	for kind, gvk := range map[string]schema.GroupVersionKind{
		"*v1.Secret": corev1.SchemeGroupVersion.WithKind("Secret"), "*v1.ConfigMap": corev1.SchemeGroupVersion.WithKind("ConfigMap"),
		"*v1alpha1.Machine": v1alpha1.GroupVersion.WithKind("Machine"), "*v1alpha1.BootProfile": v1alpha1.GroupVersion.WithKind("BootProfile"),
	} {
		if fmt.Sprintf("%T", o) == kind {
			o.GetObjectKind().SetGroupVersionKind(gvk)
		}
	}
	text, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestConfigsStandalone does what TestConfigsOfACluster does, without one.
func TestConfigsStandalone(t *testing.T) {
	t.Parallel()
	dir, data := t.TempDir(), t.TempDir()
	write := func(objects ...client.Object) {
		t.Helper()
		for _, o := range objects {
			writeFile(t, filepath.Join(dir, fmt.Sprintf("%T-%s.yaml", o, o.GetName())), manifestOf(t, o))
		}
	}
	guard := &cluster{t: t}
	objects := secretObjects("lab", guard.guardedUpstream())
	write(objects[1:]...)
	s := start(t, "--manifests="+dir, "--data-dir="+data, "--verbosity=5")
	status := "/apis/netboot.dev/v1alpha1/namespaces/lab/machines/node-01"
	says := func(want string) {
		t.Helper()
		eventually(t, func() string {
			if _, body := s.getHTTP(s.api, status); !strings.Contains(body, want) {
				return fmt.Sprintf("status is %s, want %q in it", body, want)
			}
			return ""
		})
	}
	says(v1alpha1.ReasonSecretNotFound)
	write(objects[0])
	says("the configurations of PXELINUX, GRUB and iPXE render")
	key, err := token.LoadFile(filepath.Join(data, "token-key"))
	if err != nil {
		t.Fatal(err)
	}
	tokens := s.checkTokens("lab", key)
	if status, body := s.getHTTP(s.http, "/artifacts/sha256/"+digest("a kernel")+"/vmlinuz"); status != http.StatusOK {
		t.Errorf("the kernel that needs a password: %d %q", status, body)
	}

	// A text that does not render, then a file that can't be read: the last good Secret goes on.
	secret := objects[0].(*corev1.Secret)
	secret.Data["ks.cfg"] = []byte("{{ " + secretPassword + " }}")
	write(secret)
	says("the template has an error in line 1; it is not shown")
	bad := filepath.Join(dir, fmt.Sprintf("%T-%s.yaml", secret, secret.Name))
	for _, text := range []string{
		"kind: Secret\nstringData:\n  a: *" + secretPassword + "\n", // would be an anchor
		"kind: Secret\nstringData: {a: \"" + secretPassword + "\\q\"}\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: installer, namespace: lab}\ndata: {ks.cfg: " + secretPassword + "}\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: installer, namespace: lab}\nstringData: {ks.cfg: {" + secretPassword + ": 1}}\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: installer, namespace: lab}\nstringData: [" + secretPassword + "]\n",
	} {
		before := strings.Count(s.logged(), "Manifests applied")
		writeFile(t, bad, text)
		eventually(t, func() string {
			if strings.Count(s.logged(), "Manifests applied") == before {
				return "the edit is not seen"
			}
			return ""
		})
	}
	if !strings.Contains(s.logged(), "Manifest refused") {
		t.Error("no manifest was refused")
	}
	says("the template has an error in line 1; it is not shown")

	told := map[string]string{"the log": s.logged(), "/metrics": body(s.getHTTP(s.api, "/metrics"))}
	for _, resource := range []string{"machines", "bootprofiles"} {
		told[resource] = body(s.getHTTP(s.api, "/apis/netboot.dev/v1alpha1/"+resource))
	}
	files, err := filepath.Glob(filepath.Join(data, "status", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("status files: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		told[filepath.Base(file)] = string(text)
	}
	checkSilence(t, told, append(tokens, string(key.Text()))...)
	stdout, stderr, _ := netboot(t, "lint", "-f", dir)
	checkSilence(t, map[string]string{"netboot lint": stdout + stderr})
	write(objects[0])
	secret.Data["ks.cfg"] = []byte("x")
	write(secret)
	stdout, stderr, code := netboot(t, "render", "-f", dir, "--mac", mac1, "--as", "grub")
	if code != 0 || !strings.Contains(stdout, "/m/lab/node-01/t/TOKEN/kickstart") || !strings.Contains(stderr, "put a token in the place of TOKEN") {
		t.Errorf("netboot render: exit code %d, %q, %q", code, stdout, stderr)
	}
}
