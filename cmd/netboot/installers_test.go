// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const installers = "../../config/samples/installers"

// TestInstallerSamples serves the samples, and asks as each installer would: by the URL in the kernel's arguments.
func TestInstallerSamples(t *testing.T) {
	t.Parallel()
	s := start(t, "--manifests="+installers)
	isYAML := func(t *testing.T, text string) {
		t.Helper()
		var value any
		if err := yaml.UnmarshalStrict([]byte(text), &value); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
	for name, tc := range map[string]struct {
		mac      string
		argument string // what stands before the URL
		file     string // below the URL
		want     string
		check    func(*testing.T, string) // nil: any text will do
		private  bool                     // a token is needed
	}{
		"kickstart":             {mac: "01", argument: "inst.ks=", want: "--only-use=sda", private: true},
		"AutoYaST":              {mac: "02", argument: "autoyast=", want: "<hostname>installer-autoyast</hostname>", check: isXML, private: true},
		"autoinstall":           {mac: "03", argument: "ds=nocloud;s=", file: "user-data", want: `hostname: "installer-autoinstall"`, check: isYAML, private: true},
		"autoinstall meta-data": {mac: "03", argument: "ds=nocloud;s=", file: "meta-data", want: `instance-id: "default-installer-autoinstall-1"`, check: isYAML, private: true},
		"NoCloud":               {mac: "04", argument: "ds=nocloud;s=", file: "user-data", want: "#cloud-config\n", check: isYAML},
		"NoCloud meta-data":     {mac: "04", argument: "ds=nocloud;s=", file: "meta-data", want: "instance-id: default-installer-nocloud-1\n", check: isYAML},
		"NoCloud network":       {mac: "04", argument: "ds=nocloud;s=", file: "network-config", want: "52:54:00:aa:bc:04", check: isYAML},
		"NoCloud vendor-data":   {mac: "04", argument: "ds=nocloud;s=", file: "vendor-data"},
		"Ignition":              {mac: "05", argument: "ignition.config.url=", want: "data:,installer-ignition", check: isJSON, private: true},
		"Talos":                 {mac: "06", argument: "talos.config=", want: "type: worker", check: isYAML, private: true},
		"Talos, control plane":  {mac: "07", argument: "talos.config=", want: "type: controlplane", check: isYAML, private: true},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := s.getTFTP("pxelinux.cfg/01-52-54-00-aa-bc-" + tc.mac)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, found := strings.Cut(config, " "+tc.argument+"http://"+s.http)
			if !found {
				t.Fatalf("no %s in %q", tc.argument, config)
			}
			path := strings.Fields(rest)[0] + tc.file
			status, body := s.getHTTP(s.http, path)
			if status != http.StatusOK || !strings.Contains(body, tc.want) {
				t.Fatalf("GET %s: %d %q, want %q in it", path, status, body, tc.want)
			}
			if tc.check != nil {
				tc.check(t, body)
			}
			public := regexp.MustCompile(`/t/[^/]+`).ReplaceAllString(path, "")
			if status, _ := s.getHTTP(s.http, public); (status == http.StatusForbidden) != tc.private {
				t.Errorf("GET %s: %d, want it private: %v", public, status, tc.private)
			}
		})
	}
}

func isJSON(t *testing.T, text string) {
	t.Helper()
	if !json.Valid([]byte(text)) {
		t.Errorf("no JSON: %s", text)
	}
}

func isXML(t *testing.T, text string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
}

// TestInstallerArgumentsAreDocumented looks for each argument of the table in docs/configs.md in a sample.
func TestInstallerArgumentsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/configs.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(installers + "/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var samples strings.Builder
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		samples.Write(text)
	}
	_, table, found := strings.Cut(string(page), "## Kernel arguments of each installer\n")
	if !found {
		t.Fatal("docs/configs.md has no heading of the kernel arguments")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	arguments := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(table, -1)
	if len(arguments) < 10 {
		t.Errorf("%d names and arguments in the table, want those of all installers", len(arguments))
	}
	for _, argument := range arguments {
		if !strings.Contains(samples.String(), argument[1]) {
			t.Errorf("docs/configs.md has %s, and no sample has", argument[1])
		}
	}
}
