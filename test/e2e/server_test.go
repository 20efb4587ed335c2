// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/netboot-operator/netboot-operator/test/controlplane"
	"github.com/netboot-operator/netboot-operator/test/lab"
)

// serveCluster starts the server under test against an API server, as a node of a cluster would run it, then applies
// the objects and waits until they are reported ready.
func (l *site) serveCluster(t *testing.T) (kubectl func(args ...string)) {
	t.Helper()
	kubeconfig := l.startAPIServer(t)
	binaries := strings.TrimSpace(lab.Run(t, "", "../../hack/controlplane.sh"))
	kubectl = func(args ...string) {
		t.Helper()
		lab.Run(t, "", filepath.Join(binaries, "kubectl"), append([]string{"--kubeconfig", kubeconfig}, args...)...)
	}
	l.Serve(t, kubeconfig)
	kubectl("apply", "-f", l.objects(t))
	kubectl("wait", "--for=condition=Ready", "--timeout=180s", "bootprofile/debian", "machine/node-01")
	return kubectl
}

// serveStandalone starts the server under test with the objects in a folder.
func (l *site) serveStandalone(t *testing.T) {
	t.Helper()
	l.Serve(t, "", "--manifests", filepath.Dir(l.objects(t)))
}

// startAPIServer starts an API server, makes it reachable for the server under test and returns a kubeconfig.
func (l *site) startAPIServer(t *testing.T) (kubeconfig string) {
	t.Helper()
	config := controlplane.Start(t)
	address := config.Host
	if u, err := url.Parse(config.Host); err == nil && u.Host != "" {
		address = u.Host
	}
	l.Forward(t, address)

	const name = "e2e"
	file := clientcmdapi.NewConfig()
	file.Clusters[name] = &clientcmdapi.Cluster{Server: "https://" + address, CertificateAuthorityData: config.CAData}
	file.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
	}
	file.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	file.CurrentContext = name
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*file, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// objects writes testdata/objects.yaml into a folder of its own, filled in for an upstream server that it starts.
func (l *site) objects(t *testing.T) string {
	t.Helper()
	files := filepath.Join(lab.Assets(t), "files")
	l.startUpstream(t, files)
	template, err := os.ReadFile("testdata/objects.yaml")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{
		"UPSTREAM":      l.upstream.URL,
		"KERNEL_SHA256": digest(t, filepath.Join(files, "vmlinuz")),
		"INITRD_SHA256": digest(t, filepath.Join(files, "initrd.img")),
		"SECOND_SHA256": digest(t, filepath.Join(files, "second.img")),
	}
	file := filepath.Join(t.TempDir(), "objects.yaml")
	text := os.Expand(string(template), func(name string) string { return values[name] })
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// startUpstream starts the server that the kernel and the initrds come from, on the boot server's own loopback address.
// It answers nothing while l.hold is open.
func (l *site) startUpstream(t *testing.T, files string) {
	t.Helper()
	handler := http.FileServer(http.Dir(files))
	l.upstream = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.hold != nil {
			select {
			case <-l.hold:
			case <-r.Context().Done():
			case <-t.Context().Done():
			}
		}
		l.fetched.Add(1)
		handler.ServeHTTP(w, r)
	}))
	_ = l.upstream.Listener.Close() // its own, in this namespace
	l.upstream.Listener = l.Listen(t, "127.0.0.1:0")
	l.upstream.Start()
	t.Cleanup(l.upstream.Close)
}

func digest(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
