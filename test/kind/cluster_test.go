// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build kind

package kind

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience bounds what takes seconds on an idle machine.
const patience = 3 * time.Minute

const (
	root      = "../.."
	namespace = "netboot-system" // the one that docs/install.md names
)

// A cluster is the one that hack/kind.sh made, seen from where its bridge is.
type cluster struct {
	bridge   string // the network that the nodes are on
	gateway  netip.Addr
	workers  []node
	control  string // the name of the node with the API server
	upstream *upstream
	usage    []usage
	logs     string
}

// A node runs one of our pods.
type node struct{ name, address string }

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{logs: filepath.Join(root, "build/kind/logs")}
	if err := os.MkdirAll(c.logs, 0o755); err != nil {
		t.Fatal(err)
	}
	c.bridge = "br-" + run(t, "docker", "network", "inspect", "kind", "--format", "{{.Id}}")[:12]
	bridge, err := net.InterfaceByName(c.bridge)
	if err != nil {
		t.Fatalf("the bridge of kind's network is not here; run hack/kind.sh in …: %v", err)
	}
	addresses, err := bridge.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if prefix := netip.MustParsePrefix(address.String()); prefix.Addr().Is4() {
			c.gateway = prefix.Addr()
		}
	}
	const columns = `{range .items[*]}{.metadata.name} {.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}`
	for line := range strings.Lines(run(t, "kubectl", "get", "nodes", "-o", "jsonpath="+columns)) {
		name, address, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasSuffix(name, "-control-plane") {
			c.control = name
		} else {
			c.workers = append(c.workers, node{name, address})
		}
	}
	if len(c.workers) != 2 || c.control == "" {
		t.Fatalf("workers %v, control plane %q: want two and one", c.workers, c.control)
	}
	c.upstream = newUpstream(t, c.gateway)
	return c
}

// run runs a command to its end and returns what it printed, without the end of the last line.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(t.Context(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// try is run for what may fail.
func try(ctx context.Context, name string, args ...string) (string, error) {
	var stderr bytes.Buffer
	command := exec.CommandContext(ctx, name, args...)
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return "", errors.Join(errors.New(strings.Join(command.Args, " ")), err, errors.New(stderr.String()+string(out)))
	}
	return strings.TrimRight(string(out), "\n"), nil
}

// apply gives YAML to kubectl.
func apply(t *testing.T, yaml string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "kubectl", "apply", "-f", file)
}

// onNode runs a command in a node.
func onNode(t *testing.T, node string, command ...string) string {
	t.Helper()
	return run(t, "docker", append([]string{"exec", node}, command...)...)
}

// eventually waits until a condition holds, and returns how long that took. what ends "waited for".
func eventually(t *testing.T, what string, within time.Duration, holds func() error) time.Duration {
	t.Helper()
	begun := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		err := holds()
		if err == nil {
			return time.Since(begun)
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited %v for %s: %v", within, what, err)
		case <-t.Context().Done():
			t.Fatalf("ended while waiting for %s: %v", what, err)
		}
	}
}

// pods returns the names of our pods that are not about to end, by node.
func (c *cluster) pods(t *testing.T) map[string]string {
	t.Helper()
	const columns = `{range .items[*]}{.spec.nodeName} {.metadata.name} {.metadata.deletionTimestamp}{"\n"}{end}`
	pods := map[string]string{}
	out := run(t, "kubectl", "get", "pods", "-n", namespace, "-l", "app.kubernetes.io/name=netboot-operator", "-o", "jsonpath="+columns)
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); len(words) == 2 {
			pods[words[0]] = words[1]
		}
	}
	return pods
}

// get asks a node by HTTP, as a machine would.
func (c *cluster) get(t *testing.T, n node, name string) string {
	t.Helper()
	return ask(t, "http://"+n.address+":8080/"+name)
}

// ask returns what a URL answers, or what went wrong.
func ask(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		return err.Error()
	}
	return body.String()
}

// An upstream is where the pods fetch from: files in memory, by path.
type upstream struct {
	url   string
	files map[string][]byte
}

func newUpstream(t *testing.T, address netip.Addr) *upstream {
	t.Helper()
	u := &upstream{files: map[string][]byte{}}
	for _, name := range []string{"vmlinuz", "initrd.img"} {
		content, err := os.ReadFile(filepath.Join(root, "build/assets/files", name))
		if err != nil {
			t.Fatalf("%v: run hack/assets.sh", err)
		}
		u.files["/"+name] = content
	}
	u.files["/linux"], u.files["/initrd.gz"] = u.files["/vmlinuz"], u.files["/initrd.img"] // as the installer's mirror calls them
	u.files["/tftp.bin"], u.files["/http.bin"] = noise(sizes().tftp), noise(sizes().http)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", netip.AddrPortFrom(address, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	u.url = "http://" + listener.Addr().String()
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := u.files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, r.URL.Path, time.Time{}, bytes.NewReader(content))
	})}
	go func() { _ = server.Serve(listener) }() // until it is closed
	t.Cleanup(func() { _ = server.Close() })
	return u
}

// noise is content that is the same in each run, and in no two places.
func noise(size int) []byte {
	content := make([]byte, 0, size+sha256.Size)
	sum := sha256.Sum256([]byte("noise"))
	for len(content) < size {
		content = append(content, sum[:]...)
		sum = sha256.Sum256(sum[:])
	}
	return content[:size]
}

// digest returns the SHA-256 of a file of the upstream.
func (u *upstream) digest(name string) string {
	sum := sha256.Sum256(u.files[name])
	return hex.EncodeToString(sum[:])
}
