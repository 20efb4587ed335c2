// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/netboot-operator/netboot-operator/test/controlplane"
)

// serveCluster starts the server under test against an API server, as a node of a cluster would run it, then applies
// the objects and waits until they are reported ready.
func (l *lab) serveCluster(t *testing.T) (kubectl func(args ...string)) {
	t.Helper()
	kubeconfig := l.startAPIServer(t)
	binaries := strings.TrimSpace(run(t, "", "../../hack/controlplane.sh"))
	kubectl = func(args ...string) {
		t.Helper()
		run(t, "", filepath.Join(binaries, "kubectl"), append([]string{"--kubeconfig", kubeconfig}, args...)...)
	}
	l.serve(t, kubeconfig)
	kubectl("apply", "-f", l.objects(t))
	kubectl("wait", "--for=condition=Ready", "--timeout=180s", "bootprofile/debian", "machine/node-01")
	return kubectl
}

// serveStandalone starts the server under test with the objects in a folder.
func (l *lab) serveStandalone(t *testing.T) {
	t.Helper()
	l.serve(t, "", "--manifests", filepath.Dir(l.objects(t)))
}

// startAPIServer starts an API server, makes it reachable for the server under test and returns a kubeconfig.
func (l *lab) startAPIServer(t *testing.T) (kubeconfig string) {
	t.Helper()
	config := controlplane.Start(t)
	address := config.Host
	if u, err := url.Parse(config.Host); err == nil && u.Host != "" {
		address = u.Host
	}
	l.forward(t, address)

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
func (l *lab) objects(t *testing.T) string {
	t.Helper()
	files := filepath.Join(assets(t), "files")
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
func (l *lab) startUpstream(t *testing.T, files string) {
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
	l.upstream.Listener = l.listen(t, "127.0.0.1:0")
	l.upstream.Start()
	t.Cleanup(l.upstream.Close)
}

// serve starts bin/netboot on its real ports in the server's namespace and waits until it is ready.
func (l *lab) serve(t *testing.T, kubeconfig string, flags ...string) {
	t.Helper()
	binary, err := filepath.Abs("../../bin/netboot")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("%v: run make build", err)
	}
	ended := l.start(t.Context(), t, l.server, "netboot", append([]string{
		"env", "KUBECONFIG=" + kubeconfig, binary, "serve", "--loaders-dir", filepath.Join(assets(t), "loaders"),
		"--data-dir", t.TempDir(), "--metrics-bind-address", "127.0.0.1:8081",
	}, flags...)...)

	ready := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (connection net.Conn, err error) {
			return connection, inside(l.server, func() error {
				connection, err = new(net.Dialer).DialContext(ctx, network, address)
				return err
			})
		},
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:8081/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := ready.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Fatal("netboot ended before it was ready")
		case <-ctx.Done():
			t.Fatalf("netboot is not ready after three minutes: %v", err)
		}
	}
}

// assets returns the folder that hack/assets.sh fills.
func assets(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs("../../build/assets")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "files/vmlinuz")); err != nil {
		t.Fatalf("%v: run hack/assets.sh", err)
	}
	return folder
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
