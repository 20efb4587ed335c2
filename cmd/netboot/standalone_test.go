// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

const profileYAML = `
apiVersion: netboot.dev/v1alpha1
kind: BootProfile
metadata: {name: linux}
spec:
  platforms:
  - architecture: amd64
    kernel: {url: "file:///boot/vmlinuz", sha256: KERNEL}
    initrds:
    - {url: "file:///boot/initrd-1", sha256: INITRD}
    - {url: "file:///boot/initrd-2", insecureSkipVerify: true}
  kernelArgs: [quiet, console=tty0, "server={{ .ServerURL }}", 'hostname={{ .Machine.Hostname }}']
`

const machineYAML = `
apiVersion: netboot.dev/v1alpha1
kind: Machine
metadata: {name: node-01}
spec:
  macAddresses: ["52-54-00-AA-BB-01"]
  profileRef: {name: linux}
  kernelArgs: ["console=ttyS0", "say=\"two words\"", -quiet]
`

// sample is a folder of manifests, and one of files beside it.
func sample(t *testing.T) (dir, files string) {
	t.Helper()
	files = t.TempDir()
	for name, text := range map[string]string{"vmlinuz": "kernel", "initrd-1": "first", "initrd-2": "second"} {
		writeFile(t, filepath.Join(files, "boot", name), text)
	}
	profile := strings.NewReplacer("KERNEL", digest("kernel"), "INITRD", digest("first")).Replace(profileYAML)
	return manifests(t, map[string]string{"profile.yaml": profile, "machines/node-01.yaml": machineYAML}), files
}

// TestRenderEqualsServed holds what netboot render prints against what TFTP and HTTP serve, byte by byte.
func TestRenderEqualsServed(t *testing.T) {
	t.Parallel()
	dir, files := sample(t)
	s := start(t, "--manifests="+dir, "--files-dir="+files)
	_, tftpPort, err := net.SplitHostPort(s.tftp)
	if err != nil {
		t.Fatal(err)
	}
	for as, name := range map[string]string{
		"pxelinux": name1,
		"grub":     "grub/grub.cfg-" + mac1,
		"ipxe":     "MAC-52-54-00-aa-bb-01.ipxe",
	} {
		t.Run(as, func(t *testing.T) {
			for _, over := range []string{"tftp", "http"} {
				printed, stderr, code := netboot(t, "render", "-f", dir, "--mac", mac1, "--as", as, "--over", over,
					"--server", s.http, "--tftp-port", tftpPort)
				if code != 0 || !strings.Contains(printed, "node-01") {
					t.Fatalf("netboot render: exit code %d, %q, %q", code, printed, stderr)
				}
				var served string
				if over == "tftp" {
					var err error
					if served, err = s.getTFTP(name); err != nil {
						t.Fatal(err)
					}
				} else {
					_, served = s.getHTTP(s.http, "/"+name)
				}
				if diff := cmp.Diff(served, printed); diff != "" {
					t.Errorf("over %s, served (-) and printed (+) differ:\n%s", over, diff)
				}
			}
		})
	}
	t.Run("ipxe by query", func(t *testing.T) {
		printed, _, _ := netboot(t, "render", "-f", dir, "--mac", mac1, "--as", "ipxe", "--server", s.http, "--tftp-port", tftpPort)
		if _, served := s.getHTTP(s.http, "/ipxe?mac="+mac1); served != printed {
			t.Errorf("served (-) and printed (+) differ:\n%s", cmp.Diff(served, printed))
		}
	})
}

func TestStandaloneFollowsItsFolder(t *testing.T) {
	t.Parallel()
	dir, files := sample(t)
	s := start(t, "--manifests="+dir, "--files-dir="+files)
	serves := func(name, want string) {
		t.Helper()
		eventually(t, func() string {
			if config, err := s.getTFTP(name); err != nil || !strings.Contains(config, want) {
				return fmt.Sprintf("%s is %q, %v, want %q in it", name, config, err, want)
			}
			return ""
		})
	}
	logs := func(want string) {
		t.Helper()
		eventually(t, func() string {
			if strings.Contains(s.logged(), want) {
				return ""
			}
			return fmt.Sprintf("no %q in the log", want)
		})
	}
	machine := filepath.Join(dir, "machines/node-01.yaml")
	serves(name1, `console=ttyS0 say="two words" BOOTIF=`)

	writeFile(t, machine, strings.Replace(machineYAML, "ttyS0", "ttyS1", 1))
	serves(name1, "console=ttyS1")

	// A wrong MAC address and a new machine beside it: the old version of the first goes on, the second is served.
	writeFile(t, machine, strings.Replace(machineYAML, "52-54-00-AA-BB-01", "52-54-00-AA-BB", 1)+"---"+
		strings.NewReplacer("node-01", "node-02", "BB-01", "BB-02").Replace(machineYAML))
	serves(name2, "hostname=node-02")
	logs("machines/node-01.yaml:6:18: Machine default/node-01: spec.macAddresses[0]")
	serves(name1, "console=ttyS1")

	// A file that is no YAML: all of its objects go on.
	writeFile(t, machine, "kind: [Machine\n")
	logs("machines/node-01.yaml:")
	serves(name1, "console=ttyS1")
	serves(name2, "hostname=node-02")

	if err := os.Remove(machine); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if config, err := s.getTFTP(name1); err == nil {
			return fmt.Sprintf("after the file is gone %s is still %q", name1, config)
		}
		return ""
	})
}

func TestStandaloneTellsStatus(t *testing.T) {
	t.Parallel()
	dir, files := sample(t)
	data := t.TempDir()
	s := start(t, "--manifests="+dir, "--files-dir="+files, "--data-dir="+data)

	path := "/apis/netboot.dev/v1alpha1/namespaces/default/machines"
	_, body := s.getHTTP(s.api, path+"/node-01")
	var one v1alpha1.Machine
	if err := json.Unmarshal([]byte(body), &one); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if ready := meta.FindStatusCondition(one.Status.Conditions, v1alpha1.ConditionReady); ready == nil || ready.Status != metav1.ConditionTrue {
		t.Errorf("Ready is %v", ready)
	}
	_, body = s.getHTTP(s.api, path)
	var list v1alpha1.MachineList
	if err := json.Unmarshal([]byte(body), &list); err != nil || list.Kind != "MachineList" || len(list.Items) != 1 {
		t.Errorf("the list is %s", body)
	}
	if status, body := s.getHTTP(s.api, path+"/node-07"); status != http.StatusNotFound || !strings.Contains(body, `"reason":"NotFound"`) {
		t.Errorf("a machine that does not exist: %d %s", status, body)
	}

	text, err := os.ReadFile(filepath.Join(data, "status", "machine_default_node-01.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var written v1alpha1.Machine
	if err := yaml.Unmarshal(text, &written); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(one, written); diff != "" {
		t.Errorf("HTTP (-) and file (+) differ:\n%s", diff)
	}

	profilePath := "/apis/netboot.dev/v1alpha1/namespaces/default/bootprofiles/linux"
	tells := func(what string, of ...string) {
		t.Helper()
		eventually(t, func() string {
			_, body := s.getHTTP(s.api, path+"/node-01")
			_, profile := s.getHTTP(s.api, profilePath)
			for _, want := range of {
				if !strings.Contains(body+profile, want) {
					return fmt.Sprintf("%s: no %s in %s%s", what, want, body, profile)
				}
			}
			return ""
		})
	}
	tells("all artifacts are here", `"artifactsCached":"3/3"`, `"pods":"1/1"`, `"reason":"Fetched"`)

	// The manifest wants a kernel that the file is not: refused, and said so. Then the file is, and nobody has to ask for it.
	profile, err := os.ReadFile(filepath.Join(dir, "profile.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "profile.yaml"), strings.Replace(string(profile), digest("kernel"), digest("another kernel"), 1))
	tells("the file is another", v1alpha1.ReasonArtifactsNotReady, "DigestMismatch", "file:///boot/vmlinuz", `"artifactsCached":"2/3"`)
	kernel := "/artifacts/sha256/" + digest("another kernel") + "/vmlinuz"
	checkRefused(t, s, kernel, kernel, http.StatusBadGateway, "DigestMismatch")
	writeFile(t, filepath.Join(files, "boot/vmlinuz"), "another kernel")
	tells("the file is the right one", `"artifactsCached":"3/3"`, "boots its profile when it asks")
}

func TestProbes(t *testing.T) {
	t.Parallel()
	dir, files := sample(t)
	s := start(t, "--manifests="+dir, "--files-dir="+files)
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ok\n", "/metrics": "go_goroutines"} {
		if status, body := s.getHTTP(s.api, path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %q, want %q", path, status, body, want)
		}
	}
}
