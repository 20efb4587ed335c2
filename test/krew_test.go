// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repo_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// A krewPlugin is a manifest of krew, as https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/ has it.
type krewPlugin struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
	Spec       struct {
		Version, Homepage    string
		ShortDescription     string `yaml:"shortDescription"`
		Description, Caveats string
		Platforms            []krewPlatform
	}
}

type krewPlatform struct {
	Selector struct {
		MatchLabels struct{ OS, Arch string } `yaml:"matchLabels"`
	}
	URI, SHA256, Bin string
}

// TestKrew builds the plugin for this computer as a release does, and reads what krew would: the manifest, and in the archive the
// program, which runs.
func TestKrew(t *testing.T) {
	const version = "v1.2.3-test.1"
	out := t.TempDir()
	run(t, "hack/krew.sh", version, out, "linux/"+runtime.GOARCH)
	text, err := os.ReadFile(filepath.Join(out, "netboot.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var p krewPlugin
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&p); err != nil {
		t.Fatal(err)
	}
	got := []string{p.APIVersion, p.Kind, p.Metadata.Name, p.Spec.Version}
	if diff := cmp.Diff([]string{"krew.googlecontainertools.github.com/v1alpha2", "Plugin", "netboot", version}, got); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
	// krew-index refuses more than 50 characters by review, and "kubectl" and the plugin's own name are known already.
	if d := p.Spec.ShortDescription; d == "" || len(d) > 52 || strings.Contains(d, "kubectl") {
		t.Errorf("shortDescription: %q has %d characters", d, len(d))
	}
	if p.Spec.Description == "" || p.Spec.Homepage == "" {
		t.Error("no description or homepage")
	}
	var platforms []string
	for _, platform := range p.Spec.Platforms {
		name := platform.Selector.MatchLabels.OS + "/" + platform.Selector.MatchLabels.Arch
		platforms = append(platforms, name)
		wantURI := "https://github.com/netboot-operator/netboot-operator/releases/download/" + version +
			"/kubectl-netboot_" + strings.ReplaceAll(name, "/", "_") + ".tar.gz"
		if platform.URI != wantURI || platform.Bin != "kubectl-netboot" {
			t.Errorf("%s: uri %s, bin %s; want %s", name, platform.URI, platform.Bin, wantURI)
		}
		if name == "linux/"+runtime.GOARCH {
			checkArchive(t, filepath.Join(out, path.Base(platform.URI)), platform, version)
		}
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"}, platforms); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
}

// checkArchive compares an archive with its entry in the manifest, and runs what is in it.
func checkArchive(t *testing.T, file string, platform krewPlatform, version string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	if got := hex.EncodeToString(sum[:]); got != platform.SHA256 {
		t.Errorf("sha256 of %s is %s, the manifest has %s", filepath.Base(file), got, platform.SHA256)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for archive := tar.NewReader(unpacked); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
	if len(files["LICENSE"]) == 0 { // krew-index wants it in each archive
		t.Error("no LICENSE in the archive")
	}
	program := filepath.Join(t.TempDir(), platform.Bin)
	if err := os.WriteFile(program, files[platform.Bin], 0o700); err != nil {
		t.Fatal(err)
	}
	if got := run(t, program, "--version"); !regexp.MustCompile("^kubectl-netboot " + regexp.QuoteMeta(version) + " go").MatchString(got) {
		t.Errorf("--version printed %q", got)
	}
}
